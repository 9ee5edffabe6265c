package import Git

/// Answers git's questions from the forge: who may fetch and push, and which branches are protected.
package struct ForgeGitAccess: GitAccess, PushPolicy {
    private let forge: Forge

    package init(forge: Forge) {
        self.forge = forge
    }

    package func authorize(path: String, service: GitService, authorization: String?) async throws -> GitAuthorization {
        let principal = try await principal(authorization)
        if authorization != nil && principal == nil { return .unauthenticated }
        guard let project = try await forge.project(path: path) else {
            // Whoever is not signed in learns nothing: not even what does not exist.
            return principal == nil ? .unauthenticated : .notFound
        }
        let permission: Permission = service == .uploadPack ? .fetch : .push
        guard try await forge.allows(principal, permission, in: project) else {
            return try await refusal(principal, permission, project)
        }
        guard !(project.archived && service == .receivePack) else {
            return .forbidden("You are not allowed to push code to this project: it is archived.")
        }
        return .granted(projectID: project.id, userID: principal?.userID ?? 0, username: Self.name(of: principal))
    }

    package func verdict(on push: ProposedPush) async throws -> PushVerdict {
        guard let project = try await forge.project(push.projectID), let user = try await forge.user(push.userID) else {
            return .reject(message: "You are not allowed to push code to this project.")
        }
        let principal = Principal.user(user, scopes: Set(TokenScope.allCases))
        let protection = BranchProtection(
            rules: try await forge.protectedBranches(of: project.id),
            level: try await forge.accessLevel(of: principal, in: project),
            defaultBranch: project.defaultBranch,
            isFirstPush: try await forge.repository(of: project).isEmpty()
        )
        return protection.verdict(on: push.updates)
    }

    // MARK: - Private

    private func principal(_ authorization: String?) async throws -> Principal? {
        guard let authorization, let credential = WebAuthentication.credential(authorization: authorization) else {
            return nil
        }
        return try await forge.authenticate(credential)
    }

    private func refusal(
        _ principal: Principal?,
        _ permission: Permission,
        _ project: Project
    ) async throws
        -> GitAuthorization
    {
        guard principal != nil else { return .unauthenticated }
        let isMember = try await forge.accessLevel(of: principal, in: project) >= .guest
        let isVisible = try await forge.allows(principal, .read, in: project)
        guard isMember || isVisible else { return .notFound }
        return .forbidden(
            permission == .push
                ? "You are not allowed to push code to this project."
                : "You are not allowed to download code from this project."
        )
    }

    private static func name(of principal: Principal?) -> String {
        switch principal {
        case nil: "anonymous"
        case .user(let user, _): user.username
        case .job(let job): "job-\(job.jobID)"
        }
    }
}
