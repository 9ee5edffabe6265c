import ArgumentParser

struct ReleasesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "releases",
        abstract: "List the releases of an environment, newest first."
    )

    @Argument(help: "GROUP/NAME of the project.") var project: String
    @Option(help: "The environment, such as daily or production.") var environment = "daily"
    @OptionGroup var platform: PlatformOption
    @OptionGroup var output: OutputOption

    func run() async throws {
        let client = try await platform.client()
        try await client.requireProject(project)
        let path = "projects/\(client.escape(project))/environments/\(client.escape(environment))/releases"
        let releases: [ReleaseSummary] = try await client.get(path)
        if releases.isEmpty { try await client.requireEnvironment(environment, of: project) }
        let rows = releases.map { release in
            [
                String(release.number), release.phase, String(release.commit?.prefix(8) ?? ""), release.createdAt,
                release.message ?? "",
            ]
        }
        try output.print(releases, text: tableText(["RELEASE", "STATUS", "COMMIT", "CREATED", "MESSAGE"], rows))
    }
}

struct ReleaseSummary: Codable {
    let number: Int
    let phase: String
    let commit: String?
    let createdAt: String
    let message: String?

    enum CodingKeys: String, CodingKey {
        case number, phase, commit, message
        case createdAt = "created_at"
    }
}
