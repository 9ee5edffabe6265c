import Foundation
import Subprocess
import SystemPackage

/// Runs the real programs that tests talk to the platform with.
package enum Shell {
    package struct Failure: Error, CustomStringConvertible {
        package let command: String
        package let output: String
        package let errors: String
        package var description: String { "\(command) failed:\n\(output)\(errors)" }
    }

    package struct Result: Sendable {
        /// `nil` when a signal ended the program.
        package let exitCode: Int32?
        package let output: String
        package let errors: String
        package var succeeded: Bool { exitCode == 0 }
    }

    /// The standard output; any exit code but zero is a failure.
    @discardableResult
    package static func run(
        _ program: String,
        _ arguments: [String],
        input: String = "",
        environment: [String: String] = [:],
        directory: String? = nil
    ) async throws -> String {
        let result = try await attempt(program, arguments, input: input, environment: environment, directory: directory)
        guard result.succeeded else {
            let command = ([program] + arguments).joined(separator: " ")
            throw Failure(command: command, output: result.output, errors: result.errors)
        }
        return result.output
    }

    /// Runs a program whose failure is as interesting as its success.
    package static func attempt(
        _ program: String,
        _ arguments: [String],
        input: String = "",
        environment: [String: String] = [:],
        directory: String? = nil
    ) async throws -> Result {
        let variables = environment.reduce(into: [Environment.Key: String?]()) {
            $0[Environment.Key(stringLiteral: $1.key)] = $1.value
        }
        let result = try await Subprocess.run(
            program.contains("/") ? .path(.init(program)) : .name(program),
            arguments: Arguments(arguments),
            environment: .inherit.updating(variables),
            workingDirectory: directory.map { .init($0) },
            input: .string(input),
            output: .string(limit: 16 << 20),
            error: .string(limit: 16 << 20)
        )
        return Result(
            exitCode: result.terminationStatus.exitCode,
            output: result.standardOutput,
            errors: result.standardError
        )
    }
}

extension TerminationStatus {
    fileprivate var exitCode: Int32? {
        guard case .exited(let code) = self else { return nil }
        return code
    }
}
