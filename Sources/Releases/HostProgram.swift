import Subprocess
import SystemPackage

/// A program of the host as a value: what runs, with which arguments, and nothing of our own environment.
struct HostProgram: Hashable, Sendable {
    var name: String
    var arguments: [String]
    var environment: [String: String] = [:]
    var folder: String = "/"

    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// Runs the program as a process group of its own, which is killed when the task is cancelled; `output` gets what it writes as it
    /// comes. Answers with the exit code, 128 plus the signal's number for a program that was killed.
    @concurrent func run(_ output: @Sendable ([UInt8]) -> Void) async throws -> Int {
        let result = try await Subprocess.run(
            .name(name),
            arguments: Arguments(arguments),
            environment: processEnvironment,
            workingDirectory: FilePath(folder),
            platformOptions: Self.platformOptions,
            input: .none,
            output: .sequence,
            error: .combinedWithOutput
        ) { execution in
            for try await part in execution.standardOutput {
                output(part.withUnsafeBytes { Array($0) })
            }
        }
        try Task.checkCancellation()
        return result.terminationStatus.code
    }

    /// Runs the program with `input` and `output` as its files.
    @concurrent func run(from input: FileDescriptor, to output: FileDescriptor) async throws -> Int {
        let result = try await Subprocess.run(
            .name(name),
            arguments: Arguments(arguments),
            environment: processEnvironment,
            workingDirectory: FilePath(folder),
            platformOptions: Self.platformOptions,
            input: .fileDescriptor(input, closeAfterSpawningProcess: false),
            output: .fileDescriptor(output, closeAfterSpawningProcess: false),
            error: .discarded
        )
        try Task.checkCancellation()
        return result.terminationStatus.code
    }

    /// What the program prints, at most `limit` bytes; throws with its errors when it fails.
    @concurrent func text(limit: Int = 1 << 20) async throws -> String {
        let result = try await Subprocess.run(
            .name(name),
            arguments: Arguments(arguments),
            environment: processEnvironment,
            workingDirectory: FilePath(folder),
            platformOptions: Self.platformOptions,
            output: .string(limit: limit),
            error: .string(limit: 64 << 10)
        )
        guard result.terminationStatus.isSuccess else {
            throw Failure(description: "\(name) \(arguments.first ?? "") failed: \(result.standardError)")
        }
        return result.standardOutput
    }

    private var processEnvironment: Environment {
        var variables = ["PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"]
        variables.merge(environment) { _, own in own }
        let pairs = variables.map { (Environment.Key(stringLiteral: $0.key), $0.value) }
        return .custom(Dictionary(uniqueKeysWithValues: pairs))
    }

    private static var platformOptions: PlatformOptions {
        var options = PlatformOptions()
        options.processGroupID = 0
        options.teardownSequence = [
            .send(signal: .kill, toProcessGroup: true, allowedDurationToNextStep: .seconds(5))
        ]
        return options
    }
}

extension TerminationStatus {
    fileprivate var code: Int {
        switch self {
        case .exited(let code): Int(code)
        case .signaled(let signal): 128 + Int(signal)
        }
    }
}
