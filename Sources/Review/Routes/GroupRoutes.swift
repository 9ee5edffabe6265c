import Foundation
import HTTPTypes
import Hummingbird

extension ForgeRoutes {
    func addGroupRoutes(to router: some RouterMethods) {
        let url = externalURL
        router.api(.get, "/groups", web) { call in
            let search = try call.fields.string("search") ?? ""
            let topOnly = try call.fields.bool("top_level_only") ?? false
            let groups = try await Self.visible(try await call.forge.namespaces(search: search, kind: .group), call)
            return try call.page(groups.filter { !topOnly || $0.parentID == nil }) { GroupEntity($0, externalURL: url) }
        }
        router.api(.post, "/groups", web) { call in
            APIResponse(GroupEntity(try await Self.createGroup(call), externalURL: url), status: .created)
        }
        router.api(.get, "/groups/:id", web) { call in
            APIResponse(GroupEntity(try await Self.group(call), externalURL: url))
        }
        router.api(.delete, "/groups/:id", web) { call in
            let group = try await Self.group(call, minimum: .owner)
            try await call.forge.deleteGroup(group, by: try await call.author())
            return APIResponse(["message": "202 Accepted"], status: .accepted)
        }
        router.api(.get, "/groups/:id/subgroups", web) { call in
            let groups = try await call.forge.subgroups(of: try await Self.group(call).id)
            return try call.page(try await Self.visible(groups, call)) { GroupEntity($0, externalURL: url) }
        }
        router.api(.get, "/groups/:id/projects", web) { call in
            let group = try await Self.group(call)
            let isDeep = try call.fields.bool("include_subgroups") ?? false
            let all = isDeep ? try await call.forge.projects(below: group) : try await call.forge.projects(in: group)
            var projects: [Project] = []
            for project in all where try await call.forge.allows(call.principal, .read, in: project) {
                projects.append(project)
            }
            return try await Self.page(projects, call)
        }
        router.api(.get, "/namespaces", web) { call in
            _ = try call.requireUser(scopes: [.api, .readAPI])
            let search = try call.fields.string("search") ?? ""
            let namespaces = try await Self.visible(
                try await call.forge.namespaces(search: search),
                call,
                members: true
            )
            return try call.page(namespaces) { NamespaceEntity($0, externalURL: url) }
        }
        router.api(.get, "/namespaces/:id", web) { call in
            _ = try call.requireUser(scopes: [.api, .readAPI])
            return APIResponse(NamespaceEntity(try await Self.namespace(call, what: "Namespace"), externalURL: url))
        }
    }

    /// The group of `/groups/:id`, when who asks may see it or has a role in it.
    static func group(_ call: APICall, minimum: AccessLevel = .none) async throws -> Namespace {
        let group = try await namespace(call, what: "Group")
        guard group.kind == .group else { throw GitLabError.notFound("Group") }
        guard minimum > .none else { return group }
        _ = try call.requireUser()
        guard try await call.forge.accessLevel(of: call.principal, in: group) >= minimum else {
            throw GitLabError.forbidden()
        }
        return group
    }

    // MARK: - Private

    private static func namespace(_ call: APICall, what: String) async throws -> Namespace {
        let reference = try call.parameter("id")
        let found =
            if let id = Int(reference) { try await call.forge.namespace(id) } else {
                try await call.forge.namespace(path: reference)
            }
        guard let found, try await isVisible(found, call) else { throw GitLabError.notFound(what) }
        return found
    }

    private static func isVisible(_ namespace: Namespace, _ call: APICall) async throws -> Bool {
        if case .user(_, let scopes) = call.principal, scopes.isDisjoint(with: [.api, .readAPI]) { return false }
        if Forge.isVisible(namespace.visibility, to: call.principal) { return true }
        return try await call.forge.accessLevel(of: call.principal, in: namespace) > .none
    }

    private static func visible(_ all: [Namespace], _ call: APICall, members: Bool = false) async throws -> [Namespace]
    {
        var visible: [Namespace] = []
        for namespace in all {
            let shows =
                members
                ? try await call.forge.accessLevel(of: call.principal, in: namespace) > .none
                : try await isVisible(namespace, call)
            if shows { visible.append(namespace) }
        }
        return visible
    }

    private static func createGroup(_ call: APICall) async throws -> Namespace {
        _ = try call.requireUser()
        let parentID = try call.fields.int("parent_id")
        if let parentID {
            guard let parent = try await call.forge.namespace(parentID), try await isVisible(parent, call) else {
                throw GitLabError.notFound("Group")
            }
            guard try await call.forge.accessLevel(of: call.principal, in: parent) >= .maintainer else {
                throw GitLabError.forbidden()
            }
        }
        return try await call.forge.createGroup(
            path: try call.fields.required("path"),
            name: try call.fields.required("name"),
            parentID: parentID,
            description: try call.fields.string("description") ?? "",
            visibility: try call.fields.choice("visibility", of: Visibility.self) ?? .private,
            by: try await call.author()
        )
    }
}
