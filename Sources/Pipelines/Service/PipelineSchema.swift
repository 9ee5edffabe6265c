import GRDB

/// The tables of pipelines and all that belongs to them.
enum PipelineSchema {
    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("pipelines") { database in
            try database.execute(sql: pipelines)
            try database.execute(sql: settings)
        }
        migrator.registerMigration("variables of jobs") { database in
            try database.execute(sql: "ALTER TABLE jobs ADD COLUMN sealed_variables BLOB")
        }
        return migrator
    }

    private static let pipelines = """
        CREATE TABLE pipelines (
            id INTEGER PRIMARY KEY AUTOINCREMENT, iid INTEGER NOT NULL, project_id INTEGER NOT NULL, name TEXT,
            ref TEXT NOT NULL, is_tag BOOLEAN NOT NULL, sha TEXT NOT NULL, before_sha TEXT, source TEXT NOT NULL,
            status TEXT NOT NULL, user_id INTEGER NOT NULL, yaml_errors TEXT, "commit" TEXT NOT NULL, sealed_variables BLOB,
            created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL, started_at DATETIME, finished_at DATETIME,
            UNIQUE (project_id, iid)
        );
        CREATE INDEX pipelines_by_commit ON pipelines (project_id, sha);
        CREATE INDEX pipelines_by_ref ON pipelines (project_id, ref, status);
        CREATE TABLE jobs (
            id INTEGER PRIMARY KEY AUTOINCREMENT, pipeline_id INTEGER NOT NULL REFERENCES pipelines ON DELETE CASCADE,
            project_id INTEGER NOT NULL, name TEXT NOT NULL, stage TEXT NOT NULL, stage_index INTEGER NOT NULL,
            status TEXT NOT NULL, definition TEXT NOT NULL, allows_failure BOOLEAN NOT NULL, is_retried BOOLEAN NOT NULL,
            attempt INTEGER NOT NULL, failure_reason TEXT, exit_code INTEGER, message TEXT, user_id INTEGER NOT NULL,
            resource_group TEXT, token_hash BLOB, sealed_token BLOB, created_at DATETIME NOT NULL, queued_at DATETIME,
            started_at DATETIME, finished_at DATETIME, erased_at DATETIME
        );
        CREATE INDEX jobs_by_pipeline ON jobs (pipeline_id);
        CREATE INDEX jobs_by_status ON jobs (status);
        CREATE UNIQUE INDEX jobs_by_token ON jobs (token_hash) WHERE token_hash IS NOT NULL;
        CREATE TABLE artifacts (
            job_id INTEGER PRIMARY KEY REFERENCES jobs ON DELETE CASCADE, size INTEGER NOT NULL, entries TEXT NOT NULL,
            created_at DATETIME NOT NULL, expire_at DATETIME
        );
        CREATE TABLE heads (
            project_id INTEGER NOT NULL, ref TEXT NOT NULL, sha TEXT NOT NULL, PRIMARY KEY (project_id, ref)
        );
        """

    private static let settings = """
        CREATE TABLE variables (
            id INTEGER PRIMARY KEY AUTOINCREMENT, scope TEXT NOT NULL, scope_id INTEGER NOT NULL, key TEXT NOT NULL,
            sealed_value BLOB NOT NULL, variable_type TEXT NOT NULL, is_protected BOOLEAN NOT NULL,
            is_masked BOOLEAN NOT NULL, is_raw BOOLEAN NOT NULL, environment_scope TEXT NOT NULL, description TEXT,
            UNIQUE (scope, scope_id, key, environment_scope)
        );
        CREATE TABLE environments (
            id INTEGER PRIMARY KEY AUTOINCREMENT, project_id INTEGER NOT NULL, name TEXT NOT NULL, slug TEXT NOT NULL,
            external_url TEXT, state TEXT NOT NULL, tier TEXT NOT NULL, created_at DATETIME NOT NULL,
            updated_at DATETIME NOT NULL, UNIQUE (project_id, name)
        );
        CREATE TABLE deployments (
            id INTEGER PRIMARY KEY AUTOINCREMENT, iid INTEGER NOT NULL, project_id INTEGER NOT NULL,
            environment_id INTEGER NOT NULL REFERENCES environments ON DELETE CASCADE, job_id INTEGER, ref TEXT NOT NULL,
            sha TEXT NOT NULL, user_id INTEGER NOT NULL, status TEXT NOT NULL, release INTEGER,
            created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL, UNIQUE (project_id, iid)
        );
        CREATE INDEX deployments_by_job ON deployments (job_id);
        """
}
