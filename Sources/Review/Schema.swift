import GRDB

/// The tables of the forge. A migration that was ever released is never edited.
enum Schema {
    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1 people, groups, projects") { database in
            try database.execute(sql: people)
            try database.execute(sql: projects)
            try database.execute(sql: rules)
        }
        migrator.registerMigration("2 former paths of projects") { database in
            try database.execute(sql: formerPaths)
        }
        return migrator
    }

    private static let people = """
        CREATE TABLE users (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            username TEXT NOT NULL UNIQUE COLLATE NOCASE,
            name TEXT NOT NULL,
            email TEXT NOT NULL UNIQUE COLLATE NOCASE,
            password_hash TEXT NOT NULL,
            state TEXT NOT NULL DEFAULT 'active',
            is_administrator BOOLEAN NOT NULL DEFAULT 0,
            created_at DATETIME NOT NULL
        );
        CREATE TABLE tokens (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
            name TEXT NOT NULL,
            digest BLOB NOT NULL UNIQUE,
            scopes TEXT NOT NULL,
            created_at DATETIME NOT NULL,
            expires_at TEXT,
            last_used_at DATETIME,
            revoked BOOLEAN NOT NULL DEFAULT 0
        );
        CREATE INDEX tokens_of_user ON tokens(user_id);
        """

    private static let projects = """
        CREATE TABLE namespaces (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            kind TEXT NOT NULL,
            path TEXT NOT NULL,
            full_path TEXT NOT NULL UNIQUE COLLATE NOCASE,
            name TEXT NOT NULL,
            description TEXT NOT NULL DEFAULT '',
            visibility TEXT NOT NULL,
            parent_id INTEGER REFERENCES namespaces(id) ON DELETE CASCADE,
            owner_id INTEGER REFERENCES users(id) ON DELETE CASCADE,
            created_at DATETIME NOT NULL
        );
        CREATE TABLE projects (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            namespace_id INTEGER NOT NULL REFERENCES namespaces(id) ON DELETE CASCADE,
            path TEXT NOT NULL,
            name TEXT NOT NULL,
            path_with_namespace TEXT NOT NULL UNIQUE COLLATE NOCASE,
            description TEXT NOT NULL DEFAULT '',
            default_branch TEXT NOT NULL,
            visibility TEXT NOT NULL,
            creator_id INTEGER REFERENCES users(id) ON DELETE SET NULL,
            ci_config_path TEXT NOT NULL DEFAULT '',
            archived BOOLEAN NOT NULL DEFAULT 0,
            created_at DATETIME NOT NULL,
            last_activity_at DATETIME NOT NULL
        );
        CREATE INDEX projects_of_namespace ON projects(namespace_id);
        """

    private static let formerPaths = """
        CREATE TABLE former_paths (
            path TEXT PRIMARY KEY COLLATE NOCASE,
            project_id INTEGER NOT NULL REFERENCES projects(id) ON DELETE CASCADE
        );
        CREATE INDEX former_paths_of_project ON former_paths(project_id);
        """

    private static let rules = """
        CREATE TABLE members (
            source TEXT NOT NULL,
            source_id INTEGER NOT NULL,
            user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
            access_level INTEGER NOT NULL,
            expires_at TEXT,
            created_at DATETIME NOT NULL,
            PRIMARY KEY (source, source_id, user_id)
        );
        CREATE INDEX members_of_user ON members(user_id);
        CREATE TABLE protected_branches (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            project_id INTEGER NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
            name TEXT NOT NULL,
            push_access_level INTEGER NOT NULL,
            merge_access_level INTEGER NOT NULL,
            allow_force_push BOOLEAN NOT NULL DEFAULT 0,
            UNIQUE (project_id, name)
        );
        CREATE TABLE audit_events (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            created_at DATETIME NOT NULL,
            author_id INTEGER,
            author_name TEXT NOT NULL,
            address TEXT,
            action TEXT NOT NULL,
            target TEXT NOT NULL,
            details TEXT NOT NULL DEFAULT ''
        );
        CREATE INDEX audit_events_of_target ON audit_events(target);
        """
}
