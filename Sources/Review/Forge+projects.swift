import Foundation
import GRDB
package import Git
import Logging

/// What can be changed about a project; nil leaves it.
package struct ProjectChange: Sendable {
    package var name: String?
    package var path: String?
    package var description: String?
    package var defaultBranch: String?
    package var visibility: Visibility?
    package var ciConfigPath: String?
    package var archived: Bool?

    package init() {}
}

extension Forge {
    package func project(_ id: Int) async throws -> Project? {
        try await database.read { try Project.fetchOne($0, key: id, table: "projects") }
    }

    /// The project with a full path such as `shop/web`.
    ///
    /// A project that was renamed is found by its earlier paths, too: remotes of clones and images of releases are named by them. So
    /// nobody else gets these paths for as long as the project exists.
    package func project(path: String) async throws -> Project? {
        try await database.read {
            let sql = """
                SELECT * FROM projects WHERE path_with_namespace = ?1
                    OR id = (SELECT project_id FROM former_paths WHERE path = ?1)
                """
            return try Project.fetchOne($0, sql: sql, arguments: [path])
        }
    }

    /// The repository of a project.
    package func repository(of project: Project) throws -> Repository {
        try repositories.repository(ofProject: project.id)
    }

    /// Makes a project by its full path, and the groups above it when they are missing.
    package func createProject(
        path fullPath: String,
        visibility: Visibility = .private,
        by author: Author
    ) async throws -> Project {
        let parts = fullPath.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count >= 2, let path = parts.last else {
            throw GitLabError.invalid("path", "must be GROUP/NAME")
        }
        var parent: Namespace?
        for end in 1..<parts.count {
            let groupPath = parts[..<end].joined(separator: "/")
            if let existing = try await namespace(path: groupPath) {
                parent = existing
            } else {
                let name = parts[end - 1]
                parent = try await createGroup(path: name, name: name, parentID: parent?.id, by: author)
            }
        }
        guard let parent else { throw GitLabError.notFound("Namespace") }
        return try await createProject(path: path, name: path, in: parent, visibility: visibility, by: author)
    }

    /// Makes a project with its empty repository; the default branch is protected from the start, and gives way to the first
    /// branch that comes if that is another one.
    ///
    /// Row first, repository second: when the repository cannot be made, the row goes again; when the process dies between
    /// the two, `ensureRepositories` makes what is missing.
    package func createProject(
        path: String,
        name: String,
        in namespace: Namespace,
        description: String = "",
        visibility: Visibility = .private,
        defaultBranch: String = "main",
        by author: Author
    ) async throws -> Project {
        try PathRule.check(path, isFirst: false)
        let project = try await database.write { database in
            let fullPath = "\(namespace.fullPath)/\(path)"
            try Self.ensureFree(fullPath, in: database)
            let now = Date()
            try database.execute(
                sql: """
                    INSERT INTO projects (namespace_id, path, name, path_with_namespace, description, default_branch,
                                          visibility, creator_id, created_at, last_activity_at)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    namespace.id, path, name, fullPath, description, defaultBranch, visibility.rawValue, author.userID,
                    now,
                    now,
                ]
            )
            let id = Int(database.lastInsertedRowID)
            try database.execute(
                sql: """
                    INSERT INTO protected_branches (project_id, name, push_access_level, merge_access_level)
                    VALUES (?, ?, 40, 40)
                    """,
                arguments: [id, defaultBranch]
            )
            try Self.audit("project_created", of: "project:\(id)", details: fullPath, by: author, in: database)
            return try Project.fetchOne(database, key: id, table: "projects")!
        }
        do {
            try await repositories.create(projectID: project.id, defaultBranch: defaultBranch)
        } catch {
            try await database.write {
                try $0.execute(sql: "DELETE FROM projects WHERE id = ?", arguments: [project.id])
            }
            throw error
        }
        logger.info("project created", metadata: ["project": "\(project.pathWithNamespace)"])
        return project
    }

    /// Makes the repositories that a crash kept from being made, and follows first pushes that it kept from being noted. Call it
    /// once at start.
    package func ensureRepositories() async throws {
        let projects = try await database.read { try Project.fetchAll($0, sql: "SELECT * FROM projects") }
        for project in projects {
            guard (try? repositories.repository(ofProject: project.id)) == nil else {
                try await adoptDefaultBranch(of: project)
                continue
            }
            try await repositories.create(projectID: project.id, defaultBranch: project.defaultBranch)
            logger.notice("made a missing repository", metadata: ["project": "\(project.pathWithNamespace)"])
        }
    }

    /// Changes a project. A new path moves no file.
    package func updateProject(_ project: Project, _ change: ProjectChange, by author: Author) async throws -> Project {
        if let path = change.path { try PathRule.check(path, isFirst: false) }
        if let branch = change.defaultBranch { try await setDefaultBranch(branch, of: project) }
        defer { noteProjectChange() }
        return try await database.write { database in
            let path = change.path ?? project.path
            let fullPath = "\(project.namespacePath)/\(path)"
            if fullPath.lowercased() != project.pathWithNamespace.lowercased() {
                try Self.ensureFree(fullPath, for: project.id, in: database)
                try Self.noteFormerPath(of: project, new: fullPath, in: database)
            }
            try database.execute(
                sql: """
                    UPDATE projects SET name = ?, path = ?, path_with_namespace = ?, description = ?, default_branch = ?,
                        visibility = ?, ci_config_path = ?, archived = ?, last_activity_at = ? WHERE id = ?
                    """,
                arguments: [
                    change.name ?? project.name, path, fullPath, change.description ?? project.description,
                    change.defaultBranch ?? project.defaultBranch, (change.visibility ?? project.visibility).rawValue,
                    change.ciConfigPath ?? project.ciConfigPath, change.archived ?? project.archived, Date(),
                    project.id,
                ]
            )
            try Self.audit("project_updated", of: "project:\(project.id)", details: fullPath, by: author, in: database)
            return try Project.fetchOne(database, key: project.id, table: "projects")!
        }
    }

    /// Removes a project with its repository. Ids are never used again.
    package func deleteProject(_ project: Project, by author: Author) async throws {
        try await database.write { database in
            try database.execute(sql: "DELETE FROM projects WHERE id = ?", arguments: [project.id])
            try database.execute(
                sql: "DELETE FROM members WHERE source = 'project' AND source_id = ?",
                arguments: [project.id]
            )
            let path = project.pathWithNamespace
            try Self.audit("project_deleted", of: "project:\(project.id)", details: path, by: author, in: database)
        }
        noteProjectChange()
        try repositories.delete(projectID: project.id)
        logger.info("project deleted", metadata: ["project": "\(project.pathWithNamespace)"])
    }

    /// Whether there was a project of this number that somebody deleted. Numbers are never used again.
    package func wasProjectDeleted(_ id: Int) async throws -> Bool {
        try await database.read {
            let sql = "SELECT 1 FROM audit_events WHERE target = ? AND action = 'project_deleted'"
            return try Int.fetchOne($0, sql: sql, arguments: ["project:\(id)"]) != nil
        }
    }

    /// Every project, by id. For services that look after all of them.
    package func allProjects() async throws -> [Project] {
        try await database.read { try Project.fetchAll($0, sql: "SELECT * FROM projects ORDER BY id") }
    }

    /// The projects that a principal may see, newest activity first, whose path or name contains `search`.
    package func projects(
        visibleTo principal: Principal?,
        search: String = "",
        membership: Bool = false
    ) async throws
        -> [Project]
    {
        let pattern = Self.containsPattern(search)
        let candidates = try await database.read {
            try Project.fetchAll(
                $0,
                sql: """
                    SELECT * FROM projects WHERE path_with_namespace LIKE ?1 ESCAPE '\\' OR name LIKE ?1 ESCAPE '\\'
                    ORDER BY id DESC
                    """,
                arguments: [pattern]
            )
        }
        var visible: [Project] = []
        for project in candidates {
            let isVisible =
                membership
                ? try await accessLevel(of: principal, in: project) > .none
                : try await allows(principal, .read, in: project)
            if isVisible { visible.append(project) }
        }
        return visible
    }

    /// The projects in a group and all groups below it.
    package func projects(below namespace: Namespace) async throws -> [Project] {
        try await database.read {
            try Project.fetchAll(
                $0,
                sql: """
                    WITH RECURSIVE below(id) AS (
                        SELECT ?1 UNION ALL SELECT n.id FROM namespaces n JOIN below ON n.parent_id = below.id
                    )
                    SELECT * FROM projects WHERE namespace_id IN (SELECT id FROM below) ORDER BY path_with_namespace
                    """,
                arguments: [namespace.id]
            )
        }
    }

    /// The projects directly in a namespace.
    package func projects(in namespace: Namespace) async throws -> [Project] {
        try await database.read {
            try Project.fetchAll(
                $0,
                sql: "SELECT * FROM projects WHERE namespace_id = ? ORDER BY path_with_namespace",
                arguments: [namespace.id]
            )
        }
    }

    /// Keeps the path of a project that gets another one.
    static func noteFormerPath(of project: Project, new: String, in database: Database) throws {
        try database.execute(sql: "DELETE FROM former_paths WHERE path = ?", arguments: [new])
        try database.execute(
            sql: "INSERT INTO former_paths (path, project_id) VALUES (?, ?)",
            arguments: [project.pathWithNamespace, project.id]
        )
    }

    /// Notes that something happened in a project.
    package func touchProject(_ id: Int) async throws {
        try await database.write {
            try $0.execute(sql: "UPDATE projects SET last_activity_at = ? WHERE id = ?", arguments: [Date(), id])
        }
    }
}
