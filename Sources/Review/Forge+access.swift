import Foundation
import GRDB

/// How somebody shows who they are.
package enum Credential: Sendable {
    /// `PRIVATE-TOKEN`, `Authorization: Bearer` or `?private_token=`.
    case token(String)
    /// `JOB-TOKEN` or `?job_token=`.
    case jobToken(String)
    /// HTTP Basic: a password, a personal access token, or a job token with the user `gitlab-ci-token`.
    case basic(username: String, secret: String)
}

extension Forge {
    /// Who a credential belongs to, or nil when it is wrong, over, revoked, or its user is blocked.
    package func authenticate(_ credential: Credential) async throws -> Principal? {
        switch credential {
        case .token(let secret): try await principal(token: secret)
        case .jobToken(let secret): try await principal(jobToken: secret)
        case .basic(let username, let secret): try await principal(username: username, secret: secret)
        }
    }

    /// The role that a principal has in a project, from the project, its groups and being an administrator.
    ///
    /// Visibility gives no role: see `require`.
    package func accessLevel(of principal: Principal?, in project: Project) async throws -> AccessLevel {
        guard let principal else { return .none }
        switch principal {
        case .user(let user, _):
            return try await accessLevel(ofUser: user, in: project)
        case .job(let job):
            guard let user = try await user(job.userID), user.state == .active else { return .none }
            let level = try await accessLevel(ofUser: user, in: project)
            return job.projectID == project.id ? level : min(level, .reporter)
        }
    }

    /// The role of a principal in a group or personal namespace.
    package func accessLevel(of principal: Principal?, in namespace: Namespace) async throws -> AccessLevel {
        guard case .user(let user, _) = principal else { return .none }
        if user.isAdministrator || namespace.ownerID == user.id { return .owner }
        return try await database.read { try Self.level(user.id, namespaceID: namespace.id, in: $0) }
    }

    /// Whether a principal may do something in a project. Says no instead of throwing.
    package func allows(_ principal: Principal?, _ permission: Permission, in project: Project) async throws -> Bool {
        guard Self.scopesSuffice(principal, for: permission, in: project) else { return false }
        let level = try await accessLevel(of: principal, in: project)
        if level >= permission.minimumLevel { return true }
        return permission.isOpenToVisitors && Self.isVisible(project.visibility, to: principal)
    }

    /// Passes when a principal may do something in a project.
    ///
    /// - Throws: `GitLabError`: 404 when they may not even know that the project exists, 401 when signing in could help,
    ///   else 403.
    package func require(_ principal: Principal?, _ permission: Permission, in project: Project) async throws {
        if try await allows(principal, permission, in: project) { return }
        guard try await allows(principal, .read, in: project) else {
            // Scopes may hide what the role shows: then 403 tells no secret.
            if try await accessLevel(of: principal, in: project) >= .guest {
                throw GitLabError.forbidden("the token's scopes do not allow this")
            }
            throw GitLabError.notFound("Project")
        }
        if principal == nil { throw GitLabError.unauthorized }
        throw GitLabError.forbidden()
    }

    // MARK: - Private

    private func principal(token secret: String) async throws -> Principal? {
        guard let token = try await token(withSecret: secret), token.isActive(),
            let user = try await user(token.userID), user.state == .active
        else {
            return try await principal(jobToken: secret)
        }
        try await touch(token)
        return .user(user, scopes: Set(token.scopes))
    }

    private func principal(jobToken secret: String) async throws -> Principal? {
        guard let job = try await jobTokenResolver?.job(withToken: secret) else { return nil }
        guard let user = try await user(job.userID), user.state == .active else { return nil }
        return .job(job)
    }

    private func principal(username: String, secret: String) async throws -> Principal? {
        guard !secret.isEmpty, secret.utf8.count <= 1024 else { return nil }
        if username == "gitlab-ci-token" { return try await principal(jobToken: secret) }
        // A token is its own proof: as with GitLab, the name beside it does not matter.
        if let principal = try await principal(token: secret) { return principal }
        return try await principal(username: username, password: secret)
    }

    private func principal(username: String, password: String) async throws -> Principal? {
        if let id = credentials.userID(name: username, secret: password) {
            guard let user = try await user(id), user.state == .active else { return nil }
            return .user(user, scopes: Set(TokenScope.allCases))
        }
        let row = try await database.read {
            try StoredPassword.fetchOne(
                $0,
                sql: "SELECT id, password_hash FROM users WHERE username = ?",
                arguments: [username]
            )
        }
        // An unknown name takes as long as a wrong password.
        let hash = row?.passwordHash ?? Self.hashOfNothing
        guard try await hasher.matches(password, hash: hash), let id = row?.id else { return nil }
        guard let user = try await user(id), user.state == .active else { return nil }
        credentials.remember(userID: id, name: username, secret: password)
        return .user(user, scopes: Set(TokenScope.allCases))
    }

    private struct StoredPassword: SnakeCaseRow {
        let id: Int
        let passwordHash: String
    }

    private static let hashOfNothing = "scrypt$16384$8$1$AAAAAAAAAAAAAAAAAAAAAA==$AA=="

    private func accessLevel(ofUser user: User, in project: Project) async throws -> AccessLevel {
        if user.isAdministrator { return .owner }
        return try await database.read { database in
            let direct = try Self.memberLevel(user.id, source: "project", id: project.id, in: database)
            return max(direct, try Self.level(user.id, namespaceID: project.namespaceID, in: database))
        }
    }

    /// The highest role in a namespace or one above it.
    static func level(_ userID: Int, namespaceID: Int, in database: Database) throws -> AccessLevel {
        let levels = try Int.fetchAll(
            database,
            sql: """
                WITH RECURSIVE above(id, parent_id, owner_id) AS (
                    SELECT id, parent_id, owner_id FROM namespaces WHERE id = ?1
                    UNION ALL
                    SELECT n.id, n.parent_id, n.owner_id FROM namespaces n JOIN above ON n.id = above.parent_id
                )
                SELECT 50 FROM above WHERE owner_id = ?2
                UNION ALL
                SELECT access_level FROM members JOIN above ON members.source_id = above.id
                WHERE members.source = 'namespace' AND members.user_id = ?2
                  AND (members.expires_at IS NULL OR members.expires_at > ?3)
                """,
            arguments: [namespaceID, userID, Day.text(Date())]
        )
        return levels.max().flatMap(AccessLevel.init(rawValue:)) ?? .none
    }

    static func memberLevel(_ userID: Int, source: String, id: Int, in database: Database) throws -> AccessLevel {
        let level = try Int.fetchOne(
            database,
            sql: """
                SELECT access_level FROM members
                WHERE source = ? AND source_id = ? AND user_id = ? AND (expires_at IS NULL OR expires_at > ?)
                """,
            arguments: [source, id, userID, Day.text(Date())]
        )
        return level.flatMap(AccessLevel.init(rawValue:)) ?? .none
    }

    static func isVisible(_ visibility: Visibility, to principal: Principal?) -> Bool {
        switch visibility {
        case .public: true
        case .internal: principal != nil
        case .private: false
        }
    }

    private static func scopesSuffice(_ principal: Principal?, for permission: Permission, in project: Project) -> Bool
    {
        switch principal {
        case nil: return true
        case .user(_, let scopes): return !scopes.isDisjoint(with: permission.scopes)
        case .job(let job): return job.projectID == project.id ? permission.isOpenToJobs : permission.isOpenToVisitors
        }
    }
}
