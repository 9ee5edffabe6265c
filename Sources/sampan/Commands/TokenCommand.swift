import ArgumentParser
import Host

struct TokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token",
        abstract: "Personal access tokens.",
        subcommands: [Create.self]
    )

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make a personal access token and print it.")

        @OptionGroup var home: HomeOption
        @Option(help: "Whose token it is.") var user = "root"
        @Option(help: "What it allows, as in GitLab; may be repeated.") var scope: [String] = ["api"]
        @Option(help: "Its name in the list of tokens.") var name = "command line"
        @OptionGroup var output: OutputOption

        func run() async throws {
            _ = try home.settings()
            let token = try await ControlClient(home.value).createToken(user: user, scopes: scope, name: name)
            try output.print(["token": token], text: token)
        }
    }
}
