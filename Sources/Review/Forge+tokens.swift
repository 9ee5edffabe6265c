package import Foundation
import GRDB

/// A token that was just made: the only moment at which its secret is known.
package struct IssuedToken: Sendable {
    package let token: PersonalAccessToken
    package let secret: String
}

extension Forge {
    /// Makes a personal access token. Only its SHA-256 is kept.
    /// - Parameter expiresAt: `YYYY-MM-DD`, the first day on which it is no longer valid; nil means a year from now.
    package func createToken(
        ofUser userID: Int,
        name: String,
        scopes: [TokenScope],
        expiresAt: String? = nil,
        by author: Author
    ) async throws -> IssuedToken {
        guard !scopes.isEmpty else { throw GitLabError.badParameter("scopes", "is missing") }
        guard !name.isEmpty, name.utf8.count <= 255 else { throw GitLabError.badParameter("name", "is missing") }
        let expiry = try expiresAt.map(Day.parse) ?? Day.text(Date(timeIntervalSinceNow: 365 * 86400))
        let secret = "glpat-" + Secrets.text(20)
        let token = try await database.write { database in
            try database.execute(
                sql: """
                    INSERT INTO tokens (user_id, name, digest, scopes, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    userID, name, Data(Secrets.digest(secret)), scopes.map(\.rawValue).joined(separator: ","), Date(),
                    expiry,
                ]
            )
            let id = Int(database.lastInsertedRowID)
            try Self.audit("token_created", of: "user:\(userID)", details: name, by: author, in: database)
            return try PersonalAccessToken.fetchOne(
                database,
                sql: "SELECT * FROM tokens WHERE id = ?",
                arguments: [id]
            )!
        }
        return IssuedToken(token: token, secret: secret)
    }

    package func token(_ id: Int) async throws -> PersonalAccessToken? {
        try await database.read {
            try PersonalAccessToken.fetchOne($0, sql: "SELECT * FROM tokens WHERE id = ?", arguments: [id])
        }
    }

    /// The token that a secret belongs to, even when it is revoked or over.
    package func token(withSecret secret: String) async throws -> PersonalAccessToken? {
        let digest = Data(Secrets.digest(secret))
        return try await database.read {
            try PersonalAccessToken.fetchOne($0, sql: "SELECT * FROM tokens WHERE digest = ?", arguments: [digest])
        }
    }

    /// The tokens of a user, or of all.
    package func tokens(ofUser userID: Int? = nil) async throws -> [PersonalAccessToken] {
        try await database.read {
            try PersonalAccessToken.fetchAll(
                $0,
                sql: "SELECT * FROM tokens WHERE ?1 IS NULL OR user_id = ?1 ORDER BY id",
                arguments: [userID]
            )
        }
    }

    package func revokeToken(_ id: Int, by author: Author) async throws {
        try await database.write { database in
            try database.execute(sql: "UPDATE tokens SET revoked = 1 WHERE id = ?", arguments: [id])
            try Self.audit("token_revoked", of: "token:\(id)", by: author, in: database)
        }
    }

    /// Notes that a token was used; at most once a minute, so that reading stays reading.
    func touch(_ token: PersonalAccessToken, now: Date = Date()) async throws {
        if let last = token.lastUsedAt, now.timeIntervalSince(last) < 60 { return }
        try await database.write {
            try $0.execute(sql: "UPDATE tokens SET last_used_at = ? WHERE id = ?", arguments: [now, token.id])
        }
    }
}

extension PersonalAccessToken {
    /// Whether the token opens anything at a moment.
    package func isActive(now: Date = Date()) -> Bool {
        guard !revoked else { return false }
        guard let expiresAt else { return true }
        return Day.text(now) < expiresAt
    }
}

/// Days in UTC as `YYYY-MM-DD`, which sort as text.
enum Day {
    static func text(_ date: Date) -> String {
        date.formatted(.iso8601.year().month().day())
    }

    static func parse(_ text: String) throws -> String {
        guard let date = try? Date(text, strategy: .iso8601.year().month().day()), Day.text(date) == text else {
            throw GitLabError.badParameter("expires_at", "is invalid: it must be a date like 2030-12-31")
        }
        return text
    }
}
