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

/// What can be changed about a user; nil leaves it.
package struct UserChange: Sendable {
    package var username: String?
    package var name: String?
    package var email: String?
    package var password: String?

    package init() {}
}

extension Forge {
    /// Makes a user and their personal namespace.
    /// - Throws: `GitLabError` 400 for a bad field, 409 when name or address is taken.
    package func createUser(_ new: NewUser, by author: Author) async throws -> User {
        try PathRule.check(new.username, field: "username")
        try Self.check(email: new.email)
        try Self.check(password: new.password)
        let hash = try await hasher.hash(new.password)
        return try await database.write { database in
            try Self.ensureFree(username: new.username, in: database)
            try Self.ensureFree(email: new.email, in: database)
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

    /// Changes a user as a whole or not at all. A new username moves their personal namespace and its projects.
    /// - Throws: `GitLabError` 400 for a bad field, 409 when name or address is taken.
    package func updateUser(_ user: User, _ change: UserChange, by author: Author) async throws -> User {
        if let email = change.email { try Self.check(email: email) }
        if let username = change.username { try PathRule.check(username, field: "username") }
        if let name = change.name, name.isEmpty { throw GitLabError.invalid("name", "can't be blank") }
        if let password = change.password { try Self.check(password: password) }
        let hash: String? = if let password = change.password { try await hasher.hash(password) } else { nil }
        let changed = try await database.write { database in
            if let username = change.username, username != user.username {
                try Self.rename(user, to: username, in: database)
            }
            if let email = change.email, email.lowercased() != user.email.lowercased() {
                try Self.ensureFree(email: email, in: database)
            }
            try database.execute(
                sql: """
                    UPDATE users SET name = COALESCE(?, name), email = COALESCE(?, email),
                        password_hash = COALESCE(?, password_hash) WHERE id = ?
                    """,
                arguments: [change.name, change.email, hash, user.id]
            )
            let sql = "UPDATE namespaces SET name = COALESCE(?, name) WHERE owner_id = ? AND kind = 'user'"
            try database.execute(sql: sql, arguments: [change.name, user.id])
            try Self.audit("user_updated", of: "user:\(user.id)", by: author, in: database)
            if hash != nil { try Self.audit("password_changed", of: "user:\(user.id)", by: author, in: database) }
            return try User.fetchOne(database, key: user.id, table: "users")!
        }
        credentials.forget()
        noteProjectChange()
        return changed
    }

    /// Gives a user a new password.
    package func setPassword(_ password: String, ofUser id: Int, by author: Author) async throws {
        try Self.check(password: password)
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

    private static func check(email: String) throws {
        guard email.contains("@"), email.utf8.count <= 254 else { throw GitLabError.invalid("email", "is invalid") }
    }

    private static func check(password: String) throws {
        guard password.utf8.count >= 8, password.utf8.count <= 128 else {
            throw GitLabError.invalid("password", "must have 8 to 128 bytes")
        }
    }

    private static func rename(_ user: User, to username: String, in database: Database) throws {
        if username.lowercased() != user.username.lowercased() {
            try ensureFree(username: username, in: database)
        }
        try database.execute(sql: "UPDATE users SET username = ? WHERE id = ?", arguments: [username, user.id])
        try database.execute(
            sql: "UPDATE namespaces SET path = ?1, full_path = ?1 WHERE owner_id = ?2 AND kind = 'user'",
            arguments: [username, user.id]
        )
        let projects = try Project.fetchAll(
            database,
            sql: """
                SELECT * FROM projects
                WHERE namespace_id IN (SELECT id FROM namespaces WHERE owner_id = ? AND kind = 'user')
                """,
            arguments: [user.id]
        )
        for project in projects {
            let path = "\(username)/\(project.path)"
            if path.lowercased() != project.pathWithNamespace.lowercased() {
                try ensureFree(path, for: project.id, in: database)
                try noteFormerPath(of: project, new: path, in: database)
            }
            let sql = "UPDATE projects SET path_with_namespace = ? WHERE id = ?"
            try database.execute(sql: sql, arguments: [path, project.id])
        }
    }

    private static func ensureFree(username: String, in database: Database) throws {
        let names = "SELECT 1 FROM namespaces WHERE full_path = ?1 UNION SELECT 1 FROM users WHERE username = ?1"
        if try Int.fetchOne(database, sql: names, arguments: [username]) != nil {
            throw GitLabError.conflict("Username has already been taken")
        }
    }

    private static func ensureFree(email: String, in database: Database) throws {
        if try Int.fetchOne(database, sql: "SELECT 1 FROM users WHERE email = ?", arguments: [email]) != nil {
            throw GitLabError.conflict("Email has already been taken")
        }
    }
}
