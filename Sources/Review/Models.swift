package import Foundation
package import GRDB

/// A person.
package struct User: Codable, Sendable, Hashable, Identifiable {
    package enum State: String, Codable, Sendable {
        case active, blocked
    }

    package let id: Int
    package var username: String
    package var name: String
    package var email: String
    package var state: State
    package var isAdministrator: Bool
    package var createdAt: Date
}

/// A group, or the personal space of a user: what projects live in.
package struct Namespace: Codable, Sendable, Hashable, Identifiable {
    package enum Kind: String, Codable, Sendable {
        case group, user
    }

    package let id: Int
    package var kind: Kind
    package var path: String
    package var fullPath: String
    package var name: String
    package var description: String
    package var visibility: Visibility
    package var parentID: Int?
    /// The user whose personal space this is.
    package var ownerID: Int?
    package var createdAt: Date
}

/// A project: a repository and everything around it.
package struct Project: Codable, Sendable, Hashable, Identifiable {
    package let id: Int
    package var namespaceID: Int
    package var path: String
    package var name: String
    package var pathWithNamespace: String
    package var description: String
    package var defaultBranch: String
    package var visibility: Visibility
    package var creatorID: Int?
    /// Where the pipeline configuration is; empty means `.gitlab-ci.yml`.
    package var ciConfigPath: String
    package var archived: Bool
    package var createdAt: Date
    package var lastActivityAt: Date

    /// The path of the namespace, without the project's own.
    package var namespacePath: String {
        pathWithNamespace.split(separator: "/").dropLast().joined(separator: "/")
    }
}

/// A user's role in a group or project.
package struct Member: Codable, Sendable, Hashable {
    package let user: User
    package let accessLevel: AccessLevel
    package let expiresAt: String?
    package let createdAt: Date
}

/// A personal access token, without its secret.
package struct PersonalAccessToken: Codable, Sendable, Hashable, Identifiable {
    package let id: Int
    package let userID: Int
    package let name: String
    package let scopes: [TokenScope]
    package let createdAt: Date
    /// The first day, `YYYY-MM-DD` in UTC, on which the token is no longer valid.
    package let expiresAt: String?
    package let lastUsedAt: Date?
    package let revoked: Bool
}

/// Rules for branches whose names match.
package struct ProtectedBranch: Codable, Sendable, Hashable, Identifiable {
    package let id: Int
    package let projectID: Int
    /// A branch's name, or a pattern with `*`.
    package var name: String
    /// The role that may push; `.none` is "no one".
    package var pushAccessLevel: AccessLevel
    package var mergeAccessLevel: AccessLevel
    package var allowForcePush: Bool
}

/// One line of the audit log.
package struct AuditEvent: Codable, Sendable, Hashable, Identifiable {
    package let id: Int
    package let createdAt: Date
    package let authorID: Int?
    package let authorName: String
    package let address: String?
    /// What happened, for example `project_created`.
    package let action: String
    /// What it happened to, for example `project:7`.
    package let target: String
    package let details: String
}

/// Rows whose columns are the snake_case names of the properties.
package protocol SnakeCaseRow: FetchableRecord, Decodable {}

extension SnakeCaseRow {
    package static var databaseColumnDecodingStrategy: DatabaseColumnDecodingStrategy { .convertFromSnakeCase }
}

extension User: SnakeCaseRow {
    private enum CodingKeys: String, CodingKey {
        case id, username, name, email, state, isAdministrator, createdAt
    }
}

extension Namespace: SnakeCaseRow {
    private enum CodingKeys: String, CodingKey {
        case id, kind, path, fullPath, name, description, visibility, createdAt
        case parentID = "parentId"
        case ownerID = "ownerId"
    }
}

extension Project: SnakeCaseRow {
    private enum CodingKeys: String, CodingKey {
        case id, path, name, pathWithNamespace, description, defaultBranch, visibility, ciConfigPath, archived
        case createdAt, lastActivityAt
        case namespaceID = "namespaceId"
        case creatorID = "creatorId"
    }
}

extension ProtectedBranch: SnakeCaseRow {
    private enum CodingKeys: String, CodingKey {
        case id, name, pushAccessLevel, mergeAccessLevel, allowForcePush
        case projectID = "projectId"
    }
}

extension AuditEvent: SnakeCaseRow {
    private enum CodingKeys: String, CodingKey {
        case id, createdAt, authorName, address, action, target, details
        case authorID = "authorId"
    }
}

extension PersonalAccessToken: FetchableRecord {
    package init(row: Row) throws {
        let names: String = row["scopes"]
        id = row["id"]
        userID = row["user_id"]
        name = row["name"]
        scopes = names.split(separator: ",").compactMap { TokenScope(rawValue: String($0)) }
        createdAt = row["created_at"]
        expiresAt = row["expires_at"]
        lastUsedAt = row["last_used_at"]
        revoked = row["revoked"]
    }
}
