import Foundation
import Git
import HTTPTypes
import Hummingbird

extension ForgeRoutes {
    func addBranchRoutes(to router: some RouterMethods) {
        router.api(.get, "/projects/:id/repository/branches", web) { call in
            let project = try await call.project(requiring: .readCode)
            let search = try call.fields.string("search") ?? ""
            let branches = try await call.forge.repository(of: project).branches().filter { matches($0.name, search) }
            let context = try await BranchContext(project, call)
            return try call.page(branches) { context.entity($0) }
        }
        router.api(.get, "/projects/:id/repository/branches/:branch", web) { call in
            let project = try await call.project(requiring: .readCode)
            let branch = try await Self.branch(call, of: project)
            return APIResponse(try await BranchContext(project, call).entity(branch))
        }
        router.api(.post, "/projects/:id/repository/branches", web) { call in
            let project = try await call.project(requiring: .writeCode)
            let name = try call.fields.required("branch")
            let start = try call.fields.required("ref")
            let branch: Branch
            do {
                branch = try await call.forge.repository(of: project).createBranch(name, at: start)
            } catch let error as GitError where error.code == .conflict {
                throw GitLabError(.badRequest, "Branch already exists")
            } catch let error as GitError where error.code == .notFound {
                throw GitLabError(.badRequest, "Invalid reference name: \(start)")
            }
            try await Self.announce("refs/heads/\(name)", PushEvent.nothing, branch.commit.id, project, call)
            return APIResponse(try await BranchContext(project, call).entity(branch), status: .created)
        }
        router.api(.delete, "/projects/:id/repository/branches/:branch", web) { call in
            let project = try await call.project(requiring: .writeCode)
            let branch = try await Self.branch(call, of: project)
            try await Self.checkRules(
                for: "refs/heads/\(branch.name)",
                branch.commit.id,
                PushEvent.nothing,
                project,
                call
            )
            let before = try await call.forge.repository(of: project).deleteBranch(branch.name)
            try await Self.announce("refs/heads/\(branch.name)", before, PushEvent.nothing, project, call)
            return NoContent()
        }
        addTagRoutes(to: router)
    }

    private func addTagRoutes(to router: some RouterMethods) {
        let url = externalURL
        router.api(.get, "/projects/:id/repository/tags", web) { call in
            let project = try await call.project(requiring: .readCode)
            let search = try call.fields.string("search") ?? ""
            let tags = try await call.forge.repository(of: project).tags().filter { matches($0.name, search) }
            let newestFirst = tags.sorted { $0.commit.committer.date > $1.commit.committer.date }
            return try call.page(newestFirst) { TagEntity($0, project: project, externalURL: url) }
        }
        router.api(.get, "/projects/:id/repository/tags/:tag_name", web) { call in
            let project = try await call.project(requiring: .readCode)
            return APIResponse(TagEntity(try await Self.tag(call, of: project), project: project, externalURL: url))
        }
        router.api(.post, "/projects/:id/repository/tags", web) { call in
            let project = try await call.project(requiring: .writeCode)
            let user = try call.requireUser()
            let name = try call.fields.required("tag_name")
            let tag: Tag
            do {
                tag = try await call.forge.repository(of: project).createTag(
                    name,
                    at: try call.fields.required("ref"),
                    message: try call.fields.string("message") ?? "",
                    by: Signature(name: user.name, email: user.email)
                )
            } catch let error as GitError where error.code == .conflict {
                throw GitLabError(.badRequest, "Tag \(name) already exists")
            } catch let error as GitError where error.code == .notFound {
                throw GitLabError(.badRequest, "Target \(try call.fields.required("ref")) is invalid")
            }
            try await Self.announce("refs/tags/\(name)", PushEvent.nothing, tag.target, project, call)
            return APIResponse(TagEntity(tag, project: project, externalURL: url), status: .created)
        }
        router.api(.delete, "/projects/:id/repository/tags/:tag_name", web) { call in
            let project = try await call.project(requiring: .writeCode)
            let tag = try await Self.tag(call, of: project)
            let before = try await call.forge.repository(of: project).deleteTag(tag.name)
            try await Self.announce("refs/tags/\(tag.name)", before, PushEvent.nothing, project, call)
            return NoContent()
        }
    }

    func addProtectedBranchRoutes(to router: some RouterMethods) {
        router.api(.get, "/projects/:id/protected_branches", web) { call in
            let project = try await call.project(requiring: .readCode)
            return try call.page(try await call.forge.protectedBranches(of: project.id)) { ProtectedBranchEntity($0) }
        }
        router.api(.get, "/projects/:id/protected_branches/:name", web) { call in
            let project = try await call.project(requiring: .readCode)
            return APIResponse(ProtectedBranchEntity(try await Self.rule(call, of: project)))
        }
        router.api(.post, "/projects/:id/protected_branches", web) { call in
            let project = try await call.project(requiring: .maintain)
            let rule = try await call.forge.protectBranch(
                try call.fields.required("name"),
                of: project,
                pushLevel: try call.accessLevel("push_access_level") ?? .maintainer,
                mergeLevel: try call.accessLevel("merge_access_level") ?? .maintainer,
                allowForcePush: try call.fields.bool("allow_force_push") ?? false,
                by: try await call.author()
            )
            return APIResponse(ProtectedBranchEntity(rule), status: .created)
        }
        router.api(.patch, "/projects/:id/protected_branches/:name", web) { call in
            let project = try await call.project(requiring: .maintain)
            let rule = try await call.forge.updateProtectedBranch(
                try await Self.rule(call, of: project),
                pushLevel: try call.accessLevel("push_access_level"),
                allowForcePush: try call.fields.bool("allow_force_push"),
                by: try await call.author()
            )
            return APIResponse(ProtectedBranchEntity(rule))
        }
        router.api(.delete, "/projects/:id/protected_branches/:name", web) { call in
            let project = try await call.project(requiring: .maintain)
            try await call.forge.unprotectBranch(try await Self.rule(call, of: project), by: try await call.author())
            return NoContent()
        }
    }

    // MARK: - Moving references

    /// Passes when the rules for branches let who asks move a reference, as they would a push.
    static func checkRules(
        for ref: String,
        _ before: String,
        _ after: String,
        _ project: Project,
        _ call: APICall
    ) async throws {
        let push = ProposedPush(
            projectID: project.id,
            userID: try call.requirePrincipal().userID,
            updates: [.init(ref: ref, before: before, after: after)]
        )
        if case .reject(let message) = try await ForgeGitAccess(forge: call.forge).verdict(on: push) {
            throw GitLabError(.forbidden, message)
        }
    }

    /// Tells the observers and the audit log that the API moved a reference.
    static func announce(
        _ ref: String,
        _ before: String,
        _ after: String,
        _ project: Project,
        _ call: APICall
    ) async throws {
        let user = try call.requireUser()
        let event = PushEvent(
            projectID: project.id,
            ref: ref,
            before: before,
            after: after,
            userID: user.id,
            username: user.username
        )
        try await call.forge.audit(
            "reference_moved",
            of: "project:\(project.id)",
            details: "\(ref) \(before) \(after)",
            by: try await call.author()
        )
        await call.forge.pushed(event)
    }

    // MARK: - Private

    private static func branch(_ call: APICall, of project: Project) async throws -> Branch {
        do {
            return try await call.forge.repository(of: project).branch(try call.parameter("branch"))
        } catch let error as GitError where error.code == .notFound {
            throw GitLabError.notFound("Branch")
        }
    }

    private static func tag(_ call: APICall, of project: Project) async throws -> Tag {
        do {
            return try await call.forge.repository(of: project).tag(try call.parameter("tag_name"))
        } catch let error as GitError where error.code == .notFound {
            throw GitLabError.notFound("Tag")
        }
    }

    private static func rule(_ call: APICall, of project: Project) async throws -> ProtectedBranch {
        let name = try call.parameter("name")
        guard let rule = try await call.forge.protectedBranches(of: project.id).first(where: { $0.name == name }) else {
            throw GitLabError(.notFound, "404 Not found")
        }
        return rule
    }
}

/// Whether a name contains a search text; `^` and `$` at its ends bind it, as with GitLab.
private func matches(_ name: String, _ search: String) -> Bool {
    let isPrefix = search.hasPrefix("^")
    let isSuffix = search.hasSuffix("$") && search.count > (isPrefix ? 1 : 0)
    let text = search.dropFirst(isPrefix ? 1 : 0).dropLast(isSuffix ? 1 : 0).lowercased()
    let name = name.lowercased()
    switch (isPrefix, isSuffix) {
    case (true, true): return name == text
    case (true, false): return name.hasPrefix(text)
    case (false, true): return name.hasSuffix(text)
    case (false, false): return text.isEmpty || name.contains(text)
    }
}

/// What every branch of one answer needs.
private struct BranchContext {
    let project: Project
    let rules: [ProtectedBranch]
    let level: AccessLevel
    let externalURL: String

    init(_ project: Project, _ call: APICall) async throws {
        self.project = project
        rules = try await call.forge.protectedBranches(of: project.id)
        level = try await call.forge.accessLevel(of: call.principal, in: project)
        externalURL = call.forge.configuration.externalURL
    }

    func entity(_ branch: Branch) -> BranchEntity {
        BranchEntity(branch, project: project, rules: rules, level: level, externalURL: externalURL)
    }
}
