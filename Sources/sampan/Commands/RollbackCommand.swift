import ArgumentParser

struct RollbackCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollback",
        abstract: "Put an earlier release of an environment back; the previous one unless --to names another."
    )

    @Argument(help: "GROUP/NAME of the project.") var project: String
    @Option(help: "The environment, such as daily or production.") var environment = "daily"
    @Option(help: "Number of the release, as 'sampan releases' lists it.") var to: Int?
    @OptionGroup var platform: PlatformOption

    func run() async throws {
        let client = try await platform.client()
        try await client.requireProject(project)
        let query = to.map { "?to=\($0)" } ?? ""
        let path = "projects/\(client.escape(project))/environments/\(client.escape(environment))/rollback\(query)"
        if try await client.stream(path, body: nil) != 0 { throw ExitCode(1) }
    }
}
