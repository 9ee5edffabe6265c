import Foundation
package import Subprocess
import SystemPackage

/// Runs the real `git` with an environment of ours: no system or user configuration, no prompts, no inherited variables.
///
/// Every run is bounded in time and output. Cancelling the calling task ends the whole process group.
package struct GitProgram: Sendable {
    /// What a finished run printed.
    package struct Output: Sendable {
        package let status: Int32
        package let standardOutput: [UInt8]
        package let standardError: String

        package var text: String { String(decoding: standardOutput, as: UTF8.self) }
        package var line: String { text.trimmingCharacters(in: .whitespacesAndNewlines) }
    }

    /// The largest answer that a run may give unless its caller states another bound: 32 MiB.
    package static let defaultLimit = 32 << 20

    let configurationFile: String
    let home: String

    /// - Parameters:
    ///   - configurationFile: the only configuration that git reads beside the repository's own.
    ///   - home: an empty folder that git takes for the user's home.
    package init(configurationFile: String, home: String) {
        self.configurationFile = configurationFile
        self.home = home
    }

    /// Runs git and returns what it printed, whatever its exit status.
    ///
    /// - Throws: `GitError` with `.tooLarge` when more than `limit` bytes came, `.timedOut` after `timeout`.
    package func output(
        _ arguments: [String],
        in directory: String? = nil,
        input: [UInt8] = [],
        environment: [String: String] = [:],
        limit: Int = GitProgram.defaultLimit,
        timeout: Duration = .seconds(60)
    ) async throws -> Output {
        let configuration = configuration("git", arguments, in: directory, environment: environment)
        return try await withDeadline(timeout, describing: arguments.first ?? "git") {
            try await Self.collect(configuration, input: input, limit: limit)
        }
    }

    /// Runs git and returns what it printed; a failure exit is an error that carries git's own words.
    package func run(
        _ arguments: [String],
        in directory: String? = nil,
        input: [UInt8] = [],
        environment: [String: String] = [:],
        limit: Int = GitProgram.defaultLimit,
        timeout: Duration = .seconds(60)
    ) async throws -> Output {
        let result = try await output(
            arguments,
            in: directory,
            input: input,
            environment: environment,
            limit: limit,
            timeout: timeout
        )
        guard result.status == 0 else {
            let words = result.standardError.trimmingCharacters(in: .whitespacesAndNewlines)
            throw GitError(.failed, "git \(arguments.first ?? "") failed: \(words)")
        }
        return result
    }

    /// Runs another program than git in the same environment and within the same bounds.
    func program(
        _ executable: String,
        _ arguments: [String],
        in directory: String? = nil,
        timeout: Duration
    ) async throws -> Output {
        let configuration = configuration(executable, arguments, in: directory)
        return try await withDeadline(timeout, describing: executable) {
            try await Self.collect(configuration, input: [], limit: Self.defaultLimit)
        }
    }

    /// The configuration to run a program (git, or a shell that runs git) in our environment and its own process group.
    package func configuration(
        _ executable: String,
        _ arguments: [String],
        in directory: String? = nil,
        environment: [String: String] = [:]
    ) -> Configuration {
        var options = PlatformOptions()
        options.processGroupID = 0
        options.teardownSequence = [
            .gracefulShutDown(toProcessGroup: true, allowedDurationToNextStep: .seconds(2))
        ]
        var variables: [Environment.Key: String] = [:]
        for (name, value) in self.environment.merging(environment, uniquingKeysWith: { $1 }) {
            variables[Environment.Key(rawValue: name)!] = value
        }
        return Configuration(
            executable: .name(executable),
            arguments: Arguments(arguments),
            environment: .custom(variables),
            workingDirectory: directory.map { FilePath($0) },
            platformOptions: options
        )
    }

    // MARK: - Private

    private var environment: [String: String] {
        [
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": home,
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": configurationFile,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ADVICE": "0",
            "GIT_OPTIONAL_LOCKS": "0",
        ]
    }

    @concurrent
    private static func collect(_ configuration: Configuration, input: [UInt8], limit: Int) async throws -> Output {
        do {
            let result = try await Subprocess.run(
                configuration,
                input: .array(input),
                output: .bytes(limit: limit),
                error: .string(limit: 256 << 10)
            )
            return Output(
                status: result.terminationStatus.exitCode,
                standardOutput: result.standardOutput,
                standardError: result.standardError
            )
        } catch let error as SubprocessError where error.code == .outputLimitExceeded {
            throw GitError(.tooLarge, "the answer is larger than \(limit) bytes")
        }
    }
}

extension TerminationStatus {
    /// The exit code, or 128 + the signal's number as a shell would say it.
    package var exitCode: Int32 {
        switch self {
        case .exited(let code): code
        case .signaled(let signal): 128 + signal
        }
    }
}

/// Runs `body`, and cancels it with `GitError(.timedOut)` after `timeout`.
func withDeadline<Result: Sendable>(
    _ timeout: Duration,
    describing what: String,
    _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    try await withThrowingTaskGroup(of: Result.self) { group in
        defer { group.cancelAll() }
        group.addTask { try await body() }
        group.addTask {
            try await Task.sleep(for: timeout)
            throw GitError(.timedOut, "git \(what) did not finish within \(timeout)")
        }
        guard let first = try await group.next() else { throw CancellationError() }
        return first
    }
}
