import Foundation
import GRDB

/// What it takes to make a user.
package struct NewUser: Sendable {
    package var username: String
    package var name: String
    package var email: String
    package var password: String
    package var isAdministrator: Bool

    package init(username: String, name: String, email: String, password: String, isAdministrator: Bool = false) {
        self.username = username
        self.name = name
        self.email = email
        self.password = password
        self.isAdministrator = isAdministrator
    }
}

extension Forge {
    /// Makes a user and their personal namespace.
    /// - Throws: `GitLabError` 400 for a bad field, 409 when name or address is taken.
    package func createUser(_ new: NewUser, by author: Author) async throws -> User {
        try PathRule.check(new.username, field: "username")
        guard new.email.contains("@"), new.email.utf8.count <= 254 else {
            throw GitLabError.invalid("email", "is invalid")
        }
        guard new.password.utf8.count >= 8, new.password.utf8.count <= 128 else {
            throw GitLabError.invalid("password", "must have 8 to 128 bytes")
        }
        let hash = try await hasher.hash(new.password)
        return try await database.write { database in
            try Self.ensureFree(new, in: database)
            let now = Date()
            try database.execute(
                sql: """
                    INSERT INTO users (username, name, email, password_hash, is_administrator, created_at)
                    VALUES (?, ?, ?, ?, ?, ?)
                    """,
                arguments: [new.username, new.name, new.email, hash, new.isAdministrator, now]
            )
            let id = Int(database.lastInsertedRowID)
            try database.execute(
                sql: """
                    INSERT INTO namespaces (kind, path, full_path, name, visibility, owner_id, created_at)
                    VALUES ('user', ?, ?, ?, 'public', ?, ?)
                    """,
                arguments: [new.username, new.username, new.name, id, now]
            )
            try Self.audit("user_created", of: "user:\(id)", details: new.username, by: author, in: database)
            return try User.fetchOne(database, sql: "SELECT * FROM users WHERE id = ?", arguments: [id])!
        }
    }

    package func user(_ id: Int) async throws -> User? {
        try await database.read { try User.fetchOne($0, sql: "SELECT * FROM users WHERE id = ?", arguments: [id]) }
    }

    package func user(named username: String) async throws -> User? {
        try await database.read {
            try User.fetchOne($0, sql: "SELECT * FROM users WHERE username = ?", arguments: [username])
        }
    }

    /// Users in the order of their ids, with those whose name or address contains `search`.
    package func users(search: String = "", username: String? = nil) async throws -> [User] {
        let pattern = Self.containsPattern(search)
        return try await database.read {
            try User.fetchAll(
                $0,
                sql: """
                    SELECT * FROM users
                    WHERE (?1 IS NULL OR username = ?1)
                      AND (username LIKE ?2 ESCAPE '\\' OR name LIKE ?2 ESCAPE '\\' OR email LIKE ?2 ESCAPE '\\')
                    ORDER BY id
                    """,
                arguments: [username, pattern]
            )
        }
    }

    /// Gives a user a new password.
    package func setPassword(_ password: String, ofUser id: Int, by author: Author) async throws {
        guard password.utf8.count >= 8, password.utf8.count <= 128 else {
            throw GitLabError.invalid("password", "must have 8 to 128 bytes")
        }
        let hash = try await hasher.hash(password)
        try await database.write { database in
            try database.execute(sql: "UPDATE users SET password_hash = ? WHERE id = ?", arguments: [hash, id])
            try Self.audit("password_changed", of: "user:\(id)", by: author, in: database)
        }
        credentials.forget()
    }

    /// Blocks a user, or lets them in again. A blocked user cannot sign in by any means.
    package func setState(_ state: User.State, ofUser id: Int, by author: Author) async throws {
        try await database.write { database in
            try database.execute(sql: "UPDATE users SET state = ? WHERE id = ?", arguments: [state.rawValue, id])
            try Self.audit("user_\(state.rawValue)", of: "user:\(id)", by: author, in: database)
        }
        credentials.forget()
    }

    // MARK: - Private

    static func containsPattern(_ text: String) -> String {
        let escaped = text.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "%", with: "\\%")
            .replacingOccurrences(of: "_", with: "\\_")
        return "%\(escaped)%"
    }

    private static func ensureFree(_ new: NewUser, in database: Database) throws {
        let names = "SELECT 1 FROM namespaces WHERE full_path = ?1 UNION SELECT 1 FROM users WHERE username = ?1"
        if try Int.fetchOne(database, sql: names, arguments: [new.username]) != nil {
            throw GitLabError.conflict("Username has already been taken")
        }
        if try Int.fetchOne(database, sql: "SELECT 1 FROM users WHERE email = ?", arguments: [new.email]) != nil {
            throw GitLabError.conflict("Email has already been taken")
        }
    }
}
