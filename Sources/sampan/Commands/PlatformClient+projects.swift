import Host

extension PlatformClient {
    /// Throws with the names that there are, when there is no such project.
    func requireProject(_ project: String) async throws {
        struct Project: Decodable {
            let path: String

            enum CodingKeys: String, CodingKey { case path = "path_with_namespace" }
        }
        let found: Project? = try await find("projects/\(escape(project))")
        guard found == nil else { return }
        let all: [Project] = try await get("projects?per_page=100")
        throw HostError("there is no project \(project); \(Self.naming(all.map(\.path)))")
    }

    /// Throws with the names that there are, when the project has no such environment.
    func requireEnvironment(_ environment: String, of project: String) async throws {
        struct Environment: Decodable { let name: String }
        let all: [Environment] = try await get("projects/\(escape(project))/environments?per_page=100")
        guard !all.contains(where: { $0.name == environment }) else { return }
        throw HostError("\(project) has no environment \(environment); \(Self.naming(all.map(\.name)))")
    }

    private static func naming(_ names: [String]) -> String {
        names.isEmpty ? "there is none yet" : "there are: \(names.sorted().joined(separator: ", "))"
    }
}
