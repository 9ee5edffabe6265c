import ArgumentParser
import Foundation
import Host

struct ProjectCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "project",
        abstract: "Projects.",
        subcommands: [Create.self]
    )

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Create a project, with its group where that is missing, and print its clone URL."
        )

        @Argument(help: "GROUP/NAME") var path: String
        @OptionGroup var platform: PlatformOption
        @OptionGroup var output: OutputOption

        func run() async throws {
            let names = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
            guard names.count >= 2, names.allSatisfy({ !$0.isEmpty }) else {
                throw ValidationError("name the project as GROUP/NAME, such as demo/shop")
            }
            let client = try await platform.client()
            let project = try await create(names, client)
            try output.print(project, text: project.httpURLToRepo)
        }

        private func create(_ names: [String], _ client: PlatformClient) async throws -> CreatedProject {
            if let existing: CreatedProject = try await client.find("projects/\(client.escape(path))") {
                return existing
            }
            var parent: Int?
            for depth in 1..<names.count {
                parent = try await group(Array(names.prefix(depth)), parent: parent, client)
            }
            return try await client.post(
                "projects",
                ["name": names.last, "path": names.last, "namespace_id": parent.map(String.init)]
            )
        }

        private func group(_ names: [String], parent: Int?, _ client: PlatformClient) async throws -> Int {
            let path = names.joined(separator: "/")
            if let existing: CreatedGroup = try await client.find("groups/\(client.escape(path))") {
                return existing.id
            }
            let fields = ["name": names.last, "path": names.last, "parent_id": parent.map(String.init)]
            let created: CreatedGroup = try await client.post("groups", fields)
            return created.id
        }
    }

    private struct CreatedGroup: Decodable {
        let id: Int
    }

    struct CreatedProject: Codable {
        let id: Int
        let pathWithNamespace: String
        let httpURLToRepo: String

        enum CodingKeys: String, CodingKey {
            case id
            case pathWithNamespace = "path_with_namespace"
            case httpURLToRepo = "http_url_to_repo"
        }
    }
}
