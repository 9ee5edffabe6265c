import ArgumentParser
import Host

/// What `sampan up` starts in the background.
struct ServerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "server",
        abstract: "Run the server in this process.",
        shouldDisplay: false
    )

    @OptionGroup var home: HomeOption

    func run() async throws {
        try await ServerProcess(home: home.value, settings: try home.settings()).run()
    }
}
