import Subprocess

/// A run of one of the machine's network programs (`ip`, `nft`, `conntrack`).
enum NetworkCommand {
    /// Why a program refused, in its own words.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// The output; more than a mebibyte of it, or any exit code but zero, is a failure.
    @discardableResult
    static func run(_ program: String, _ arguments: [String], input: String = "") async throws -> String {
        let result = try await Subprocess.run(
            .name(program),
            arguments: Arguments(arguments),
            environment: .inherit.updating(["PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL": "C"]),
            input: .string(input),
            output: .string(limit: 1 << 20),
            error: .string(limit: 1 << 16)
        )
        guard result.terminationStatus.isSuccess else {
            let reason = result.standardError
            let command = ([program] + arguments).joined(separator: " ")
            throw Failure(description: "\(command) failed: \(reason.split(separator: "\n").first ?? "no reason given")")
        }
        return result.standardOutput
    }
}
