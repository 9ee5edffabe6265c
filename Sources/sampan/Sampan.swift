import ArgumentParser
import CLinux
import Foundation
import Host

@main
struct Sampan: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sampan",
        abstract: "From git push to surge-proof production, in one program.",
        subcommands: [
            UpCommand.self, DownCommand.self, StatusCommand.self, DoctorCommand.self, KubeconfigCommand.self,
            TokenCommand.self, ProjectCommand.self, PipelineCommand.self, DeployCommand.self,
            ReleasesCommand.self, RollbackCommand.self, LogsCommand.self, VersionCommand.self, ServerCommand.self,
            GatewayCommand.self, LoadCommand.self,
        ]
    )

    /// Exit codes are part of the contract: 0 done, 1 failed, 2 used wrongly.
    static func main() async {
        // Lines reach a pipe as they are written, not when a buffer is full.
        clinux_buffer_output_by_line()
        clinux_keep_heap_small()
        signal(SIGPIPE, SIG_IGN)
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            fail(error)
        }
    }

    private static func fail(_ error: any Error) -> Never {
        let code = exitCode(for: error)
        if code == .success {
            print(fullMessage(for: error))
            Foundation.exit(0)
        }
        let isUsage = code == .validationFailure
        let message = isUsage || error is ExitCode ? fullMessage(for: error) : "sampan: \(error)"
        if !message.isEmpty { FileHandle.standardError.write(Data("\(message)\n".utf8)) }
        Foundation.exit(isUsage ? 2 : 1)
    }
}
