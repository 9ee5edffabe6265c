import Foundation

/// A user as others see them.
package struct BasicUserEntity: Encodable, Sendable {
    let id: Int
    let username: String
    let name: String
    let state: String
    let webURL: String

    package init(_ user: User, externalURL: String) {
        id = user.id
        username = user.username
        name = user.name
        state = user.state.rawValue
        webURL = "\(externalURL)/\(user.username)"
    }
}

/// A user as they see themselves, and as administrators see them.
struct UserEntity: Encodable {
    let id: Int
    let username: String
    let name: String
    let state: String
    let webURL: String
    let email: String
    let publicEmail: String
    let commitEmail: String
    let createdAt: Date
    let isAdmin: Bool
    let canCreateGroup = true
    let canCreateProject = true
    let confirmedAt: Date

    init(_ user: User, externalURL: String) {
        id = user.id
        username = user.username
        name = user.name
        state = user.state.rawValue
        webURL = "\(externalURL)/\(user.username)"
        email = user.email
        publicEmail = ""
        commitEmail = user.email
        createdAt = user.createdAt
        confirmedAt = user.createdAt
        isAdmin = user.isAdministrator
    }
}

struct TokenEntity: Encodable {
    let id: Int
    let name: String
    let revoked: Bool
    let createdAt: Date
    let scopes: [String]
    let userID: Int
    let lastUsedAt: Date?
    let active: Bool
    let expiresAt: String?
    /// The secret; only in the answer that made it.
    let token: String?

    private enum CodingKeys: String, CodingKey {
        case id, name, revoked, createdAt, scopes, lastUsedAt, active, expiresAt, token
        case userID = "userId"
    }

    init(_ token: PersonalAccessToken, secret: String? = nil) {
        id = token.id
        name = token.name
        revoked = token.revoked
        createdAt = token.createdAt
        scopes = token.scopes.map(\.rawValue)
        userID = token.userID
        lastUsedAt = token.lastUsedAt
        active = token.isActive()
        expiresAt = token.expiresAt
        self.token = secret
    }
}

struct MemberEntity: Encodable {
    let id: Int
    let username: String
    let name: String
    let state: String
    let webURL: String
    let accessLevel: Int
    let createdAt: Date
    let expiresAt: String?
    let membershipState = "active"

    init(_ member: Member, externalURL: String) {
        id = member.user.id
        username = member.user.username
        name = member.user.name
        state = member.user.state.rawValue
        webURL = "\(externalURL)/\(member.user.username)"
        accessLevel = member.accessLevel.rawValue
        createdAt = member.createdAt
        expiresAt = member.expiresAt
    }
}

struct NamespaceEntity: Encodable {
    let id: Int
    let name: String
    let path: String
    let kind: String
    let fullPath: String
    let parentID: Int?
    let webURL: String

    private enum CodingKeys: String, CodingKey {
        case id, name, path, kind, fullPath, webURL
        case parentID = "parentId"
    }

    init(_ namespace: Namespace, externalURL: String) {
        id = namespace.id
        name = namespace.name
        path = namespace.path
        kind = namespace.kind.rawValue
        fullPath = namespace.fullPath
        parentID = namespace.parentID
        webURL = "\(externalURL)/\(namespace.kind == .group ? "groups/" : "")\(namespace.fullPath)"
    }
}

struct GroupEntity: Encodable {
    let id: Int
    let name: String
    let path: String
    let description: String
    let visibility: String
    let fullName: String
    let fullPath: String
    let parentID: Int?
    let webURL: String
    let createdAt: Date

    private enum CodingKeys: String, CodingKey {
        case id, name, path, description, visibility, fullName, fullPath, webURL, createdAt
        case parentID = "parentId"
    }

    init(_ group: Namespace, externalURL: String) {
        id = group.id
        name = group.name
        path = group.path
        description = group.description
        visibility = group.visibility.rawValue
        fullName = group.fullPath.replacingOccurrences(of: "/", with: " / ")
        fullPath = group.fullPath
        parentID = group.parentID
        webURL = "\(externalURL)/groups/\(group.fullPath)"
        createdAt = group.createdAt
    }
}
