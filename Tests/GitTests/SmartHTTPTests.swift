import Foundation
import Hummingbird
import NIOCore
import Subprocess
import SystemPackage
import Testing

@testable import Git

@Suite struct GitStreamTests {
    private struct SlowWriter: ResponseBodyWriter {
        let collected: Collected

        mutating func write(_ buffer: ByteBuffer) async throws {
            // The process is long gone before the second chunk is asked for.
            try await Task.sleep(for: .milliseconds(100))
            collected.count += buffer.readableBytes
        }

        consuming func finish(_ trailingHeaders: HTTPFields?) async throws {}
    }

    private final class Collected: @unchecked Sendable {
        // Only the one task that runs the stream touches it.
        var count = 0
    }

    @Test func whatAnEndedProcessWroteIsNotLost() async throws {
        let git = GitProgram(configurationFile: "/dev/null", home: "/")
        let configuration = git.configuration("sh", ["-c", "head -c 60000 /dev/zero; echo oops >&2; exit 3"])
        let collected = Collected()
        var writer: any ResponseBodyWriter = SlowWriter(collected: collected)
        let outcome = try await GitStream(configuration: configuration, input: nil).run(writingTo: &writer)
        #expect(collected.count == 60000)
        #expect(outcome.written == 60000)
        #expect(outcome.status == 3)
        #expect(outcome.errorText == "oops\n")
    }

    @Test func aProcessThatDoesNotListenEndsCleanly() async throws {
        let git = GitProgram(configurationFile: "/dev/null", home: "/")
        let configuration = git.configuration("sh", ["-c", "exec <&-; echo done"])
        let collected = Collected()
        var writer: any ResponseBodyWriter = SlowWriter(collected: collected)
        let body = RequestBody(buffer: ByteBuffer(repeating: 0, count: 1 << 20))
        let outcome = try await GitStream(configuration: configuration, input: BodyReader(body)).run(writingTo: &writer)
        #expect(outcome.status == 0)
        #expect(collected.count == 5)
    }
}

@Suite(.serialized) struct SmartHTTPTests {
    @Test func cloneCommitPushFetch() async throws {
        try await withGitWorld { world in
            try await world.client.check(["clone", "--quiet", world.url(), "one"], in: world.folder)
            let one = "\(world.folder)/one"
            try await world.client.check(["checkout", "-q", "-b", "main"], in: one)
            try await world.client.check(["commit", "-q", "--allow-empty", "-m", "First"], in: one)
            try await world.client.check(["push", "-q", "-o", "ci.skip", "origin", "main"], in: one)
            let commit = try await world.repository.resolve("main")
            #expect(
                world.pushes.all == [
                    PushEvent(
                        projectID: 1,
                        ref: "refs/heads/main",
                        before: PushEvent.nothing,
                        after: commit,
                        userID: 7,
                        username: "ada",
                        options: ["ci.skip"]
                    )
                ]
            )
            try await world.client.check(["clone", "--quiet", world.url(user: "bob:secret"), "two"], in: world.folder)
            let next = try await world.repository.write(["README.md": "x\n"])
            try await world.client.check(["fetch", "-q"], in: "\(world.folder)/two")
            #expect(try await world.client.check(["rev-parse", "origin/main"], in: "\(world.folder)/two") == next.id)
        }
    }

    @Test func protocolVersionsAndShallowClones() async throws {
        try await withGitWorld { world in
            for number in 1...4 { try await world.repository.write(["f": "\(number)\n"]) }
            for version in ["0", "2"] {
                let arguments = [
                    "-c", "protocol.version=\(version)", "clone", "-q", "--depth", "2", world.url(), "v\(version)",
                ]
                try await world.client.check(arguments, in: world.folder)
                let count = try await world.client.check(
                    ["rev-list", "--count", "HEAD"],
                    in: "\(world.folder)/v\(version)"
                )
                #expect(count == "2")
            }
        }
    }

    @Test func compressedRequestsAreUnderstood() async throws {
        try await withGitWorld { world in
            // So many wants that the client compresses its request.
            let commit = try await world.repository.write(["f": "0\n"])
            for number in 1...40 {
                let action = CommitAction(.create, "g", content: Array("\(number)".utf8))
                let request = CommitRequest(
                    branch: "b\(number)",
                    start: commit.id,
                    message: "\(number)",
                    author: someone,
                    actions: [action]
                )
                _ = try await world.repository.commit(request)
            }
            let trace = try await world.client.check(
                ["-c", "protocol.version=0", "clone", "-q", world.url(), "many"],
                in: world.folder
            )
            #expect(trace.isEmpty)
            let branches = try await world.client.check(["branch", "-r"], in: "\(world.folder)/many")
            #expect(branches.split(separator: "\n").count == 42)
        }
    }

    @Test(arguments: [
        ("ada:wrong", "shop/web.git", "Authentication failed"), ("ada:secret", "shop/none.git", "not found"),
        (nil, "shop/web.git", "could not read Username"),
    ])
    func strangersLearnNothing(_ user: String?, _ path: String, _ words: String) async throws {
        try await withGitWorld { world in
            let result = try await world.client.run(
                ["clone", world.url(user: user, path: path), "x"],
                in: world.folder
            )
            #expect(!result.isSuccess)
            #expect(result.text.contains(words), "\(result.text)")
        }
    }

    @Test func readersCannotPush() async throws {
        try await withGitWorld { world in
            try await world.repository.write(["f": "1"])
            try await world.client.check(["clone", "-q", world.url(user: "bob:secret"), "x"], in: world.folder)
            try await world.client.check(["commit", "-q", "--allow-empty", "-m", "m"], in: "\(world.folder)/x")
            let result = try await world.client.run(["push", "origin", "main"], in: "\(world.folder)/x")
            #expect(!result.isSuccess)
            #expect(result.text.contains("403"), "\(result.text)")
            #expect(world.pushes.all.isEmpty)
        }
    }

    @Test func aRefusedPushSaysWhyAndMovesNothing() async throws {
        try await withGitWorld { world in
            let before = try await world.repository.write(["f": "1"])
            try await world.client.check(["clone", "-q", world.url(), "x"], in: world.folder)
            let folder = "\(world.folder)/x"
            try await world.client.check(["commit", "-q", "--allow-empty", "-m", "m"], in: folder)
            let result = try await world.client.run(["push", "origin", "main", "main:locked"], in: folder)
            #expect(!result.isSuccess)
            let words = "remote: GitLab: You are not allowed to push code to protected branches on this project."
            #expect(result.text.contains(words), "\(result.text)")
            #expect(result.text.contains("pre-receive hook declined"))
            #expect(try await world.repository.heads().map(\.target) == [before.id])
            #expect(world.pushes.all.isEmpty)
        }
    }

    @Test func onlyUnprotectedBranchesMayBeRewritten() async throws {
        try await withGitWorld { world in
            try await world.repository.write(["f": "1"])
            try await world.repository.write(["f": "2"])
            _ = try await world.repository.createBranch("free", at: "main")
            try await world.client.check(["clone", "-q", world.url(), "x"], in: world.folder)
            let folder = "\(world.folder)/x"
            try await world.client.check(["commit", "-q", "--amend", "-m", "rewritten"], in: folder)
            let refused = try await world.client.run(["push", "--force", "origin", "main"], in: folder)
            #expect(refused.text.contains("GitLab: You are not allowed to force push"), "\(refused.text)")
            #expect(!refused.isSuccess)
            try await world.client.check(["push", "--force", "-q", "origin", "main:free"], in: folder)
            try await world.client.check(["push", "-q", "origin", ":free"], in: folder)
            #expect(world.pushes.all.map(\.ref) == ["refs/heads/free", "refs/heads/free"])
            #expect(world.pushes.all.last?.isDeletion == true)
        }
    }

    @Test func theDumbProtocolIsRefused() async throws {
        try await withGitWorld { world in
            let result = try await Subprocess.run(
                .name("curl"),
                arguments: ["-s", "-o", "/dev/null", "-w", "%{http_code}", "\(world.url())/info/refs"],
                output: .string(limit: 100)
            )
            #expect(result.standardOutput == "403")
        }
    }

    @Test func aLargePackStreamsInBoundedMemory() async throws {
        try await withGitWorld { world in
            try await world.client.check(["init", "-q", "-b", "main", "big"], in: world.folder)
            let folder = "\(world.folder)/big"
            try await world.client.check(["config", "core.compression", "0"], in: folder)
            try writeNoise(to: "\(folder)/noise", megabytes: 200)
            try await world.client.check(["add", "."], in: folder)
            try await world.client.check(["commit", "-q", "-m", "Noise"], in: folder)
            let before = try peakMemory()
            try await world.client.check(["push", "-q", world.url(), "main"], in: folder)
            try await world.client.check(["clone", "-q", "--bare", world.url(), "copy"], in: world.folder)
            #expect(try peakMemory() - before < 100 << 20)
            let head = try await world.client.check(["rev-parse", "main"], in: "\(world.folder)/copy")
            #expect(try await world.repository.resolve("main") == head)
        }
    }

    @Test func aClientThatDiesLeavesTheRepositoryAsItWas() async throws {
        try await withGitWorld { world in
            let before = try await world.repository.write(["f": "1"])
            try await world.client.check(["clone", "-q", world.url(), "x"], in: world.folder)
            let folder = "\(world.folder)/x"
            try await world.client.check(["config", "core.compression", "0"], in: folder)
            try writeNoise(to: "\(folder)/noise", megabytes: 100)
            try await world.client.check(["add", "."], in: folder)
            try await world.client.check(["commit", "-q", "-m", "Noise"], in: folder)
            let configuration = world.client.configuration(["push", "-q", "origin", "main"], in: folder)
            let objects = "\(world.repository.path)/objects"
            let result = try await Subprocess.run(
                configuration,
                input: .none,
                output: .discarded,
                error: .discarded
            ) { execution in
                try await eventually("the push never arrived") { try quarantines(in: objects) > 0 }
                try execution.send(signal: .kill, toProcessGroup: true)
            }
            #expect(!result.terminationStatus.isSuccess)
            try await eventually("the quarantine stayed") { try quarantines(in: objects) == 0 }
            #expect(try await world.repository.heads().map(\.target) == [before.id])
            let fsck = try await world.repository.git.output(["fsck", "--strict"], in: world.repository.path)
            #expect(fsck.status == 0)
            #expect(world.pushes.all.isEmpty)
        }
    }
}

/// Folders in which git keeps objects of a push that is not accepted yet.
private func quarantines(in objects: String) throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: objects)
        .filter { $0.hasPrefix("incoming-") || $0.hasPrefix("tmp_objdir") }.count
}

private func writeNoise(to path: String, megabytes: Int) throws {
    let source = try #require(FileHandle(forReadingAtPath: "/dev/urandom"))
    try #require(FileManager.default.createFile(atPath: path, contents: nil))
    let target = try #require(FileHandle(forWritingAtPath: path))
    for _ in 0..<megabytes { try target.write(contentsOf: try #require(try source.read(upToCount: 1 << 20))) }
    try target.close()
    try source.close()
}

/// The most memory that this process ever held, in bytes.
private func peakMemory() throws -> Int {
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
    let kilobytes = try #require(Int(line.split(separator: " ")[1].trimmingCharacters(in: .whitespaces)))
    return kilobytes << 10
}
