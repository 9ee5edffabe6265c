import Foundation
import GRDB

extension Forge {
    package func namespace(_ id: Int) async throws -> Namespace? {
        try await database.read {
            try Namespace.fetchOne($0, sql: "SELECT * FROM namespaces WHERE id = ?", arguments: [id])
        }
    }

    /// The group or personal namespace with a full path such as `shop/backend`.
    package func namespace(path fullPath: String) async throws -> Namespace? {
        try await database.read {
            try Namespace.fetchOne($0, sql: "SELECT * FROM namespaces WHERE full_path = ?", arguments: [fullPath])
        }
    }

    /// Makes a group; its author becomes the owner.
    /// - Throws: `GitLabError` 400 for a bad or taken path.
    package func createGroup(
        path: String,
        name: String,
        parentID: Int? = nil,
        description: String = "",
        visibility: Visibility = .private,
        by author: Author
    ) async throws -> Namespace {
        try PathRule.check(path, isFirst: parentID == nil)
        return try await database.write { database in
            let parent = try parentID.map { id in
                guard let parent = try Namespace.fetchOne(database, key: id, table: "namespaces"), parent.kind == .group
                else {
                    throw GitLabError.notFound("Group")
                }
                return parent
            }
            let fullPath = parent.map { "\($0.fullPath)/\(path)" } ?? path
            try Self.ensureFree(fullPath, in: database)
            try database.execute(
                sql: """
                    INSERT INTO namespaces (kind, path, full_path, name, description, visibility, parent_id, created_at)
                    VALUES ('group', ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [path, fullPath, name, description, visibility.rawValue, parentID, Date()]
            )
            let id = Int(database.lastInsertedRowID)
            if let userID = author.userID {
                try Self.setMember(userID, level: .owner, expiresAt: nil, source: "namespace", id: id, in: database)
            }
            try Self.audit("group_created", of: "group:\(id)", details: fullPath, by: author, in: database)
            return try Namespace.fetchOne(database, key: id, table: "namespaces")!
        }
    }

    /// All groups and personal namespaces, by path.
    package func namespaces(search: String = "", kind: Namespace.Kind? = nil) async throws -> [Namespace] {
        try await database.read {
            try Namespace.fetchAll(
                $0,
                sql: """
                    SELECT * FROM namespaces
                    WHERE (?1 IS NULL OR kind = ?1) AND (full_path LIKE ?2 ESCAPE '\\' OR name LIKE ?2 ESCAPE '\\')
                    ORDER BY full_path
                    """,
                arguments: [kind?.rawValue, Self.containsPattern(search)]
            )
        }
    }

    /// The groups directly below a group, by path.
    package func subgroups(of groupID: Int) async throws -> [Namespace] {
        try await database.read {
            try Namespace.fetchAll(
                $0,
                sql: "SELECT * FROM namespaces WHERE parent_id = ? ORDER BY full_path",
                arguments: [groupID]
            )
        }
    }

    /// Removes a group with all groups and projects in it.
    package func deleteGroup(_ group: Namespace, by author: Author) async throws {
        precondition(group.kind == .group, "A personal namespace goes only with its user.")
        let projects = try await projects(below: group)
        for project in projects { try await deleteProject(project, by: author) }
        try await database.write { database in
            try database.execute(sql: "DELETE FROM namespaces WHERE id = ?", arguments: [group.id])
            try Self.audit("group_deleted", of: "group:\(group.id)", details: group.fullPath, by: author, in: database)
        }
    }

    // MARK: - Members

    /// Gives a user a role in a group, or changes it.
    package func setMember(
        _ userID: Int,
        of namespace: Namespace,
        level: AccessLevel,
        expiresAt: String? = nil,
        by author: Author
    ) async throws {
        try await setMember(userID, source: "namespace", id: namespace.id, level, expiresAt, by: author)
    }

    /// Gives a user a role in a project, or changes it.
    package func setMember(
        _ userID: Int,
        of project: Project,
        level: AccessLevel,
        expiresAt: String? = nil,
        by author: Author
    ) async throws {
        try await setMember(userID, source: "project", id: project.id, level, expiresAt, by: author)
    }

    package func removeMember(_ userID: Int, of namespace: Namespace, by author: Author) async throws {
        try await removeMember(userID, source: "namespace", id: namespace.id, by: author)
    }

    package func removeMember(_ userID: Int, of project: Project, by author: Author) async throws {
        try await removeMember(userID, source: "project", id: project.id, by: author)
    }

    /// The members of a project by name; with `inherited` also those of its groups, each with the highest role.
    package func members(of project: Project, inherited: Bool) async throws -> [Member] {
        try await members(source: "project", id: project.id, above: inherited ? project.namespaceID : nil)
    }

    /// The members of a group by name; with `inherited` also those of the groups above.
    package func members(of namespace: Namespace, inherited: Bool) async throws -> [Member] {
        try await members(source: "namespace", id: namespace.id, above: inherited ? namespace.id : nil)
    }

    // MARK: - Private

    /// - Parameter projectID: the project that may have its own earlier path back.
    static func ensureFree(_ fullPath: String, for projectID: Int? = nil, in database: Database) throws {
        let taken = """
            SELECT 1 FROM namespaces WHERE full_path = ?1 UNION SELECT 1 FROM projects WHERE path_with_namespace = ?1
            UNION SELECT 1 FROM former_paths WHERE path = ?1 AND project_id IS NOT ?2
            """
        if try Int.fetchOne(database, sql: taken, arguments: [fullPath, projectID]) != nil {
            throw GitLabError.invalid("path", "has already been taken")
        }
    }

    private func setMember(
        _ userID: Int,
        source: String,
        id: Int,
        _ level: AccessLevel,
        _ expiresAt: String?,
        by author: Author
    ) async throws {
        let expiry = try expiresAt.map(Day.parse)
        try await database.write { database in
            try Self.setMember(userID, level: level, expiresAt: expiry, source: source, id: id, in: database)
            let details = "user:\(userID) level:\(level.rawValue)"
            try Self.audit("member_set", of: "\(source):\(id)", details: details, by: author, in: database)
        }
    }

    private func removeMember(_ userID: Int, source: String, id: Int, by author: Author) async throws {
        try await database.write { database in
            try database.execute(
                sql: "DELETE FROM members WHERE source = ? AND source_id = ? AND user_id = ?",
                arguments: [source, id, userID]
            )
            try Self.audit("member_removed", of: "\(source):\(id)", details: "user:\(userID)", by: author, in: database)
        }
    }

    static func setMember(
        _ userID: Int,
        level: AccessLevel,
        expiresAt: String?,
        source: String,
        id: Int,
        in database: Database
    ) throws {
        try database.execute(
            sql: """
                INSERT INTO members (source, source_id, user_id, access_level, expires_at, created_at)
                VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT DO UPDATE SET access_level = excluded.access_level, expires_at = excluded.expires_at
                """,
            arguments: [source, id, userID, level.rawValue, expiresAt, Date()]
        )
    }

    private func members(source: String, id: Int, above namespaceID: Int?) async throws -> [Member] {
        try await database.read { database in
            let rows = try Row.fetchAll(
                database,
                sql: """
                    WITH RECURSIVE above(id, parent_id) AS (
                        SELECT id, parent_id FROM namespaces WHERE id = ?3
                        UNION ALL SELECT n.id, n.parent_id FROM namespaces n JOIN above ON n.id = above.parent_id
                    )
                    SELECT users.*, max(members.access_level) AS level, members.expires_at AS member_expires_at,
                           members.created_at AS member_created_at
                    FROM members JOIN users ON users.id = members.user_id
                    WHERE (source = ?1 AND source_id = ?2)
                       OR (source = 'namespace' AND source_id IN (SELECT id FROM above))
                    GROUP BY users.id ORDER BY users.username
                    """,
                arguments: [source, id, namespaceID]
            )
            return try rows.map(Self.member)
        }
    }

    private static func member(_ row: Row) throws -> Member {
        Member(
            user: try User(row: row),
            accessLevel: AccessLevel(rawValue: row["level"]) ?? .none,
            expiresAt: row["member_expires_at"],
            createdAt: row["member_created_at"]
        )
    }
}

extension SnakeCaseRow {
    static func fetchOne(_ database: Database, key: Int, table: String) throws -> Self? {
        try fetchOne(database, sql: "SELECT * FROM \(table) WHERE id = ?", arguments: [key])
    }
}
