import Foundation
import Git
import HTTPTypes
import Hummingbird

extension ForgeRoutes {
    func addProjectRoutes(to router: some RouterMethods) {
        router.api(.get, "/projects", web) { call in
            let isMember = try call.fields.bool("membership") ?? false || call.fields.bool("owned") ?? false
            let search = try call.fields.string("search") ?? ""
            var projects = try await call.forge.projects(
                visibleTo: call.principal,
                search: search,
                membership: isMember
            )
            if let visibility = try call.fields.choice("visibility", of: Visibility.self) {
                projects = projects.filter { $0.visibility == visibility }
            }
            if try call.fields.string("sort") == "asc" { projects.reverse() }
            return try await Self.page(projects, call)
        }
        router.api(.post, "/projects", web) { call in
            APIResponse(try await Self.entity(of: try await Self.createProject(call), call), status: .created)
        }
        router.api(.get, "/projects/:id", web) { call in
            APIResponse(try await Self.entity(of: try await call.project(requiring: .read), call))
        }
        router.api(.put, "/projects/:id", web) { call in
            let project = try await call.project(requiring: .maintain)
            let change = try Self.change(call.fields)
            if change.path != nil || change.visibility != nil || change.archived != nil {
                try await call.forge.require(call.principal, .own, in: project)
            }
            let changed = try await call.forge.updateProject(project, change, by: try await call.author())
            return APIResponse(try await Self.entity(of: changed, call))
        }
        router.api(.delete, "/projects/:id", web) { call in
            let project = try await call.project(requiring: .own)
            try await call.forge.deleteProject(project, by: try await call.author())
            return APIResponse(["message": "202 Accepted"], status: .accepted)
        }
        for (verb, archived) in [("archive", true), ("unarchive", false)] {
            router.api(.post, "/projects/:id/\(verb)", web) { call in
                let project = try await call.project(requiring: .own)
                var change = ProjectChange()
                change.archived = archived
                let changed = try await call.forge.updateProject(project, change, by: try await call.author())
                return APIResponse(try await Self.entity(of: changed, call), status: .created)
            }
        }
    }

    /// A page of projects: only those on the page are looked into.
    static func page(_ projects: [Project], _ call: APICall) async throws -> APIResponse<[ProjectEntity]> {
        let page = try Page(call.fields)
        var entities: [ProjectEntity] = []
        for project in page.slice(projects) { entities.append(try await entity(of: project, call)) }
        let url = call.forge.configuration.externalURL
        return APIResponse(
            entities,
            headers: page.headers(total: projects.count, request: call.request, externalURL: url)
        )
    }

    // MARK: - Private

    private static func entity(of project: Project, _ call: APICall) async throws -> ProjectEntity {
        guard let namespace = try await call.forge.namespace(project.namespaceID) else {
            throw GitLabError.notFound("Namespace")
        }
        return ProjectEntity(
            project,
            namespace: namespace,
            isEmpty: try await call.forge.repository(of: project).isEmpty(),
            level: try await call.forge.accessLevel(of: call.principal, in: project),
            externalURL: call.forge.configuration.externalURL
        )
    }

    private static func createProject(_ call: APICall) async throws -> Project {
        let user = try call.requireUser()
        let name = try call.fields.string("name")
        guard let path = try call.fields.string("path") ?? name.map(slug), !path.isEmpty else {
            throw GitLabError(.badRequest, "name, path are missing, at least one parameter must be provided")
        }
        let namespace = try await namespaceForProject(of: user, call)
        guard try await call.forge.accessLevel(of: call.principal, in: namespace) >= .developer else {
            throw GitLabError.forbidden()
        }
        let branch = try call.fields.string("default_branch") ?? "main"
        let author = try await call.author()
        let project = try await call.forge.createProject(
            path: path,
            name: name ?? path,
            in: namespace,
            description: try call.fields.string("description") ?? "",
            visibility: try call.fields.choice("visibility", of: Visibility.self) ?? .private,
            defaultBranch: branch,
            by: author
        )
        if try call.fields.bool("initialize_with_readme") ?? false { try await addReadme(to: project, by: user, call) }
        return project
    }

    private static func namespaceForProject(of user: User, _ call: APICall) async throws -> Namespace {
        let namespace =
            if let id = try call.fields.int("namespace_id") { try await call.forge.namespace(id) } else {
                try await call.forge.namespace(path: user.username)
            }
        guard let namespace else { throw GitLabError.invalid("namespace", "is not valid") }
        return namespace
    }

    private static func addReadme(to project: Project, by user: User, _ call: APICall) async throws {
        try await commit(
            actions: [.init(.create, "README.md", content: Array("# \(project.name)\n".utf8))],
            message: "Initial commit",
            to: project.defaultBranch,
            in: project,
            by: user,
            call
        )
    }

    private static func change(_ fields: RequestFields) throws -> ProjectChange {
        var change = ProjectChange()
        change.name = try fields.string("name")
        change.path = try fields.string("path")
        change.description = try fields.string("description")
        change.defaultBranch = try fields.string("default_branch")
        change.visibility = try fields.choice("visibility", of: Visibility.self)
        change.ciConfigPath = try fields.string("ci_config_path")
        change.archived = try fields.bool("archived")
        return change
    }

    /// A path made from a name: `My Shop` becomes `my-shop`.
    static func slug(_ name: String) -> String {
        let characters = name.lowercased().map { character -> Character in
            character.isASCII && (character.isLetter || character.isNumber || "_.".contains(character))
                ? character : "-"
        }
        let words = String(characters).split(separator: "-").joined(separator: "-")
        return words.trimmingCharacters(in: CharacterSet(charactersIn: "."))
    }
}
