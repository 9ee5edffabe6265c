import Foundation
import Subprocess
import SystemPackage
import Testing

@testable import Pipelines

/// A folder of its own that is gone after the test.
func withTemporaryFolder<Value>(_ body: (String) async throws -> Value) async throws -> Value {
    let path = "/tmp/sampan-pipelines-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await body(path)
}

struct ShellResult {
    var output: String
    var exitCode: Int
}

/// Runs a program with nothing on its standard input, and gives both of its outputs as one.
func shell(_ program: [String], environment: [String: String] = [:], folder: String? = nil) async throws -> ShellResult
{
    var variables: [Environment.Key: String] = ["PATH": "/usr/bin:/bin"]
    for (name, value) in environment { variables[Environment.Key(rawValue: name)!] = value }
    let result = try await run(
        .path("/bin/sh"),
        arguments: Arguments(["-c", "exec \"$@\" 2>&1", "sh"] + program),
        environment: .custom(variables),
        workingDirectory: folder.map { FilePath($0) },
        output: .string(limit: 4 << 20),
        error: .discarded
    )
    let code = if case .exited(let code) = result.terminationStatus { Int(code) } else { -1 }
    return ShellResult(output: result.standardOutput, exitCode: code)
}

struct JobScriptTests {
    static let shells = [["/bin/sh"], ["/bin/bash"], ["/bin/busybox", "sh"]]

    private func run(_ commands: [String], in shell: [String]) async throws -> ShellResult {
        try await withTemporaryFolder { folder in
            try JobScript.script(commands).write(toFile: "\(folder)/script", atomically: true, encoding: .utf8)
            return try await PipelinesTests.shell(shell + ["\(folder)/script"], folder: folder)
        }
    }

    @Test(arguments: shells)
    func showsEachCommandAndItsOutput(_ shell: [String]) async throws {
        let result = try await run(["echo 'it''s' \"$((1 + 1))\"", "X=5", "echo $X\necho more"], in: shell)
        #expect(result.exitCode == 0)
        #expect(result.output.contains("\u{1b}[32;1m$ echo 'it''s' \"$((1 + 1))\"\u{1b}[0;m\nits 2\n"))
        #expect(result.output.contains("$ echo $X # collapsed multi-line command\u{1b}[0;m\n5\nmore\n"))
    }

    @Test(arguments: shells, [("false", 1), ("exit 7", 7), ("sh -c 'exit 42'", 42), ("no-such-command-here", 127)])
    func stopsAtTheFirstFailure(_ shell: [String], _ row: (command: String, code: Int)) async throws {
        let result = try await run(["echo before", row.command, "echo after"], in: shell)
        #expect(result.exitCode == row.code)
        #expect(result.output.contains("\nbefore\n"))
        #expect(!result.output.contains("\nafter\n"))
    }

    @Test func aPipeFailsWithItsFirstPartWhereTheShellCan() async throws {
        #expect(try await run(["false | cat"], in: ["/bin/bash"]).exitCode == 1)
        #expect(try await run(["false | cat"], in: ["/bin/busybox", "sh"]).exitCode == 1)
    }

    @Test(arguments: ["plain", "it's", "a\nb", "$HOME `id` \\ \"x\"", "*", "", "'''", "ünïcode"])
    func quotedTextArrivesUnchanged(_ text: String) async throws {
        let result = try await shell(["/bin/sh", "-c", "printf %s \(JobScript.quoted(text))"])
        #expect(result.output == text)
    }

    @Test func environmentIsExportedAndFilesAreNamed() async throws {
        let variables = [
            JobVariable("A", "x y'z"), JobVariable("KEY", "secret", isFile: true), JobVariable("not a name", "x"),
        ]
        let text = JobScript.environment(variables, folder: "/job")
        let result = try await shell(["/bin/sh", "-c", "\(text)\nsh -c 'echo \"$A\" $KEY'"])
        #expect(result.output == "x y'z /job/file.KEY\n")
    }

    @Test(arguments: [
        ("out/", "./out/a/b", true), ("out", "./out", true), ("out", "./output", false), ("*.txt", "./a.txt", true),
        ("*.txt", "./x/a.txt", false), ("**/*.txt", "./x/a.txt", true), ("/builds/p/bin", "./bin/x", true),
        (".", "./anything", true), ("a.b", "./axb", false),
    ])
    func selectsFiles(_ pattern: String, _ path: String, _ expected: Bool) async throws {
        let expression = JobScript.selection([pattern], projectFolder: "/builds/p")
        let result = try await shell([
            "/bin/busybox", "sh", "-c",
            "printf %s \(JobScript.quoted(expression)) >/dev/null; echo \(path) | grep -E \(JobScript.quoted(expression.trimmed))",
        ])
        #expect((result.exitCode == 0) == expected)
    }

    @Test(arguments: ["../x", "/etc/passwd", "a/../../b", "/builds/other"])
    func pathsOutsideOfTheProjectSelectNothing(_ path: String) {
        #expect(JobScript.selection([path], projectFolder: "/builds/p") == "")
    }
}

struct TraceFilterTests {
    private func filtered(_ text: String, secrets: [String], cut: Int) -> String {
        var filter = TraceFilter(secrets: secrets)
        var output: [UInt8] = []
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: cut) {
            output += filter.append(bytes[start..<min(start + cut, bytes.count)])
        }
        return String(decoding: output + filter.finish(), as: UTF8.self)
    }

    @Test(arguments: [1, 2, 3, 7, 1000])
    func secretsAreMaskedHoweverTheBytesAreCut(_ cut: Int) {
        let text = "a topsecret1 b topsecret12 topsecre topsecret1topsecret1 end topse"
        let expected = "a [MASKED] b [MASKED] topsecre [MASKED][MASKED] end topse"
        #expect(filtered(text, secrets: ["topsecret1", "topsecret12", "short"], cut: cut) == expected)
    }

    @Test func everyLineOfASecretIsMasked() {
        #expect(filtered("x second-line y", secrets: ["first-line\nsecond-line"], cut: 4) == "x [MASKED] y")
    }

    @Test func shortValuesAreNotMasked() {
        #expect(filtered("main main", secrets: ["main"], cut: 2) == "main main")
    }

    @Test func theTraceIsBoundedAndSaysSo() {
        var filter = TraceFilter(secrets: [], limit: 10)
        let first = filter.append(Array("12345678".utf8))
        let second = filter.append(Array("90abc".utf8))
        let third = filter.append(Array("more".utf8)) + filter.finish()
        #expect(first.count == 8)
        #expect(String(decoding: second, as: UTF8.self).hasPrefix("90\n"))
        #expect(String(decoding: second, as: UTF8.self).contains("exceeded limit of 10 bytes"))
        #expect(third.isEmpty)
    }
}
