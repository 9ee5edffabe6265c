import Foundation
import GRDB
import Git

/// The rows of pipelines, jobs and what belongs to them; every change is one durable transaction.
final class PipelineStore: Sendable {
    let database: DatabasePool

    static func open(path: String) async throws -> PipelineStore {
        let store = try PipelineStore(path: path)
        try await store.database.writeWithoutTransaction { database in
            try database.execute(sql: "PRAGMA synchronous = FULL")
            guard try Int.fetchOne(database, sql: "PRAGMA synchronous") == 2 else {
                throw DatabaseError(message: "SQLite did not accept synchronous=FULL")
            }
        }
        try PipelineSchema.migrator.migrate(store.database)
        return store
    }

    private init(path: String) throws {
        var options = Configuration()
        options.foreignKeysEnabled = true
        options.busyMode = .timeout(10)
        database = try DatabasePool(path: path, configuration: options)
    }

    // MARK: - Reading

    func pipeline(_ id: Int) async throws -> PipelineRecord? {
        try await database.read {
            try PipelineRecord.fetchOne($0, sql: "SELECT * FROM pipelines WHERE id = ?", arguments: [id])
        }
    }

    func pipelines(ofProject projectID: Int) async throws -> [PipelineRecord] {
        try await database.read {
            let sql = "SELECT * FROM pipelines WHERE project_id = ? ORDER BY id DESC"
            return try PipelineRecord.fetchAll($0, sql: sql, arguments: [projectID])
        }
    }

    func job(_ id: Int) async throws -> JobRecord? {
        try await database.read { try Self.job(id, in: $0) }
    }

    /// The newest job of each name, in the order of the pipeline; with `includesRetried` all.
    func jobs(ofPipeline id: Int, includesRetried: Bool = false) async throws -> [JobRecord] {
        try await database.read { try Self.jobs(ofPipeline: id, includesRetried: includesRetried, in: $0) }
    }

    func jobs(ofProject projectID: Int) async throws -> [JobRecord] {
        try await database.read {
            let sql = "SELECT * FROM jobs WHERE project_id = ? ORDER BY id DESC"
            return try JobRecord.fetchAll($0, sql: sql, arguments: [projectID])
        }
    }

    func jobs(withStatus statuses: [JobStatus]) async throws -> [JobRecord] {
        try await database.read {
            let list = statuses.map { "'\($0.rawValue)'" }.joined(separator: ",")
            return try JobRecord.fetchAll($0, sql: "SELECT * FROM jobs WHERE status IN (\(list)) ORDER BY id")
        }
    }

    func job(tokenHash: [UInt8]) async throws -> (job: JobRecord, ref: String)? {
        try await database.read { database in
            let sql = "SELECT * FROM jobs WHERE token_hash = ? AND status IN ('running', 'canceling')"
            guard let job = try JobRecord.fetchOne(database, sql: sql, arguments: [Data(tokenHash)]) else { return nil }
            let ref = try String.fetchOne(
                database,
                sql: "SELECT ref FROM pipelines WHERE id = ?",
                arguments: [job.pipelineID]
            )
            return (job, ref ?? "")
        }
    }

    func sealedToken(ofJob id: Int) async throws -> Data? {
        try await database.read {
            try Data.fetchOne($0, sql: "SELECT sealed_token FROM jobs WHERE id = ?", arguments: [id])
        }
    }

    func sealedVariables(ofJob id: Int) async throws -> Data? {
        try await database.read {
            try Data.fetchOne($0, sql: "SELECT sealed_variables FROM jobs WHERE id = ?", arguments: [id])
        }
    }

    func sealedVariables(ofPipeline id: Int) async throws -> Data? {
        try await database.read {
            try Data.fetchOne($0, sql: "SELECT sealed_variables FROM pipelines WHERE id = ?", arguments: [id])
        }
    }

    // MARK: - Creating

    struct NewPipeline: Sendable {
        var projectID: Int
        var event: PipelineEvent
        var userID: Int
        var graph: JobGraph?
        var yamlErrors: String?
        var sealedVariables: Data?
        /// The full name and commit of the ref whose processing this pipeline ends.
        var head: (ref: String, sha: String)?
    }

    /// Makes the pipeline with all its jobs and starts those that wait for nothing.
    ///
    /// - Returns: `nil` when the head that it belongs to is processed already.
    func create(_ new: NewPipeline, now: Date = Date()) async throws -> PipelineRecord? {
        let commit = try Self.json(new.event.commit)
        let definitions = try (new.graph?.jobs ?? []).map { ($0, try Self.json($0)) }
        return try await database.write { database in
            if let head = new.head, try Self.head(new.projectID, head.ref, in: database) == head.sha { return nil }
            let id = try Self.insert(new, commit: commit, now: now, in: database)
            for (job, definition) in definitions {
                try Self.insert(
                    job,
                    definition,
                    pipelineID: id,
                    projectID: new.projectID,
                    userID: new.userID,
                    now: now,
                    in: database
                )
            }
            if let head = new.head { try Self.setHead(new.projectID, head.ref, head.sha, in: database) }
            if new.graph != nil { try Self.change(id, now: now, in: database) { _ in } }
            return try PipelineRecord.fetchOne(database, sql: "SELECT * FROM pipelines WHERE id = ?", arguments: [id])
        }
    }

    private static func head(_ projectID: Int, _ ref: String, in database: Database) throws -> String? {
        let sql = "SELECT sha FROM heads WHERE project_id = ? AND ref = ?"
        return try String.fetchOne(database, sql: sql, arguments: [projectID, ref])
    }

    private static func insert(_ new: NewPipeline, commit: String, now: Date, in database: Database) throws -> Int {
        let iid = try Int.fetchOne(
            database,
            sql: "SELECT COALESCE(MAX(iid), 0) + 1 FROM pipelines WHERE project_id = ?",
            arguments: [new.projectID]
        )
        let isFailed = new.yamlErrors != nil
        try database.execute(
            sql: """
                INSERT INTO pipelines (iid, project_id, name, ref, is_tag, sha, before_sha, source, status, user_id, yaml_errors,
                    "commit", sealed_variables, created_at, updated_at, finished_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                iid, new.projectID, new.graph?.name, new.event.ref, new.event.isTag, new.event.commit.sha,
                new.event.beforeSHA,
                new.event.source.rawValue, (isFailed ? PipelineStatus.failed : .created).rawValue, new.userID,
                new.yamlErrors,
                commit, new.sealedVariables, now, now, isFailed ? now : nil,
            ]
        )
        return Int(database.lastInsertedRowID)
    }

    private static func insert(
        _ job: CompiledJob,
        _ definition: String,
        pipelineID: Int,
        projectID: Int,
        userID: Int,
        attempt: Int = 1,
        status: JobStatus = .created,
        now: Date,
        in database: Database
    ) throws {
        try database.execute(
            sql: """
                INSERT INTO jobs (pipeline_id, project_id, name, stage, stage_index, status, definition, allows_failure, is_retried,
                    attempt, user_id, resource_group, created_at, queued_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?)
                """,
            arguments: [
                pipelineID, projectID, job.name, job.stage, job.stageIndex, status.rawValue, definition,
                job.allowFailure == .yes,
                attempt, userID, job.resourceGroup, now, status == .pending ? now : nil,
            ]
        )
    }

    // MARK: - Heads

    func heads(ofProject projectID: Int) async throws -> [String: String] {
        try await database.read { database in
            let rows = try Row.fetchAll(
                database,
                sql: "SELECT ref, sha FROM heads WHERE project_id = ?",
                arguments: [projectID]
            )
            return rows.reduce(into: [:]) { $0[$1["ref"]] = $1["sha"] }
        }
    }

    /// Notes the commit up to which a ref is processed; `nil` forgets the ref.
    func setHead(_ projectID: Int, _ ref: String, _ sha: String?) async throws {
        try await database.write { try Self.setHead(projectID, ref, sha, in: $0) }
    }

    private static func setHead(_ projectID: Int, _ ref: String, _ sha: String?, in database: Database) throws {
        if let sha {
            let sql =
                "INSERT INTO heads (project_id, ref, sha) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET sha = excluded.sha"
            try database.execute(sql: sql, arguments: [projectID, ref, sha])
        } else {
            try database.execute(
                sql: "DELETE FROM heads WHERE project_id = ? AND ref = ?",
                arguments: [projectID, ref]
            )
        }
    }

    // MARK: - Rows

    static func job(_ id: Int, in database: Database) throws -> JobRecord? {
        try JobRecord.fetchOne(database, sql: "SELECT * FROM jobs WHERE id = ?", arguments: [id])
    }

    static func jobs(ofPipeline id: Int, includesRetried: Bool = false, in database: Database) throws -> [JobRecord] {
        let condition = includesRetried ? "" : "AND is_retried = 0"
        let sql = "SELECT * FROM jobs WHERE pipeline_id = ? \(condition) ORDER BY stage_index, id"
        return try JobRecord.fetchAll(database, sql: sql, arguments: [id])
    }

    static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    /// A new try of a job, which takes its place in the pipeline.
    static func repeated(_ job: JobRecord, userID: Int, now: Date, in database: Database) throws -> JobRecord {
        try database.execute(sql: "UPDATE jobs SET is_retried = 1 WHERE id = ?", arguments: [job.id])
        try insert(
            job.definition,
            try json(job.definition),
            pipelineID: job.pipelineID,
            projectID: job.projectID,
            userID: userID,
            attempt: job.attempt + 1,
            status: .pending,
            now: now,
            in: database
        )
        let id = Int(database.lastInsertedRowID)
        let sql = "UPDATE jobs SET sealed_variables = (SELECT sealed_variables FROM jobs WHERE id = ?) WHERE id = ?"
        try database.execute(sql: sql, arguments: [job.id, id])
        return try Self.job(id, in: database)!
    }
}
