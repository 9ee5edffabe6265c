import Foundation
import GRDB

/// Environments, what was deployed to them, and artifacts.
extension PipelineStore {
    /// Makes the environment of a job that starts a deployment, and the deployment.
    static func beginDeployment(of job: JobRecord, now: Date, in database: Database) throws {
        guard let environment = job.definition.environment, !environment.name.isEmpty else { return }
        let id = try environmentID(job.projectID, environment.name, tier: environment.tier, now: now, in: database)
        guard environment.action == .start else { return }
        let pipeline = try Row.fetchOne(
            database,
            sql: "SELECT ref, sha FROM pipelines WHERE id = ?",
            arguments: [job.pipelineID]
        )
        try insertDeployment(
            RecordedDeployment(
                projectID: job.projectID,
                environment: environment.name,
                jobID: job.id,
                userID: job.userID,
                ref: pipeline?["ref"] ?? "",
                sha: pipeline?["sha"] ?? "",
                status: .running
            ),
            environmentID: id,
            now: now,
            in: database
        )
        try database.execute(sql: "UPDATE environments SET state = 'available' WHERE id = ?", arguments: [id])
    }

    /// Notes what the end of a job makes of its environment.
    ///
    /// - Parameter url: where the job says that its deployment answers; it wins over where the platform knows it.
    static func endDeployment(
        of job: JobRecord,
        isSuccess: Bool,
        url: String?,
        now: Date,
        in database: Database
    ) throws {
        guard let environment = job.definition.environment, !environment.name.isEmpty else { return }
        let id = try environmentID(job.projectID, environment.name, tier: environment.tier, now: now, in: database)
        switch (environment.action, isSuccess) {
        case (.stop, true): try setState("stopped", ofEnvironment: id, now: now, in: database)
        case (.stop, false):
            // What could not be stopped is there still.
            let sql = "UPDATE environments SET state = 'available', updated_at = ? WHERE id = ? AND state = 'stopping'"
            try database.execute(sql: sql, arguments: [now, id])
        case (.start, true):
            guard let url else { return }
            let sql = "UPDATE environments SET external_url = ?, updated_at = ? WHERE id = ?"
            try database.execute(sql: sql, arguments: [url, now, id])
        default: break
        }
    }

    private static func setState(_ state: String, ofEnvironment id: Int, now: Date, in database: Database) throws {
        let sql = "UPDATE environments SET state = ?, updated_at = ? WHERE id = ?"
        try database.execute(sql: sql, arguments: [state, now, id])
    }

    /// The job that stops an environment: the one that the newest successful deployment names by `on_stop`, in its own pipeline.
    func stopJob(ofEnvironment id: Int) async throws -> JobRecord? {
        try await database.read { database in
            let sql =
                "SELECT job_id FROM deployments WHERE environment_id = ? AND status = 'success' ORDER BY id DESC LIMIT 1"
            guard let jobID = try Int.fetchOne(database, sql: sql, arguments: [id]),
                let deploy = try Self.job(jobID, in: database), let name = deploy.definition.environment?.onStop
            else { return nil }
            return try Self.jobs(ofPipeline: deploy.pipelineID, in: database).first { $0.name == name }
        }
    }

    private static func environmentID(
        _ projectID: Int,
        _ name: String,
        tier: String? = nil,
        now: Date,
        in database: Database
    ) throws -> Int {
        try database.execute(
            sql: """
                INSERT INTO environments (project_id, name, slug, state, tier, created_at, updated_at)
                VALUES (?, ?, ?, 'available', ?, ?, ?) ON CONFLICT DO NOTHING
                """,
            arguments: [
                projectID, name, PredefinedVariables.environmentSlug(name),
                tier ?? EnvironmentTier.guess(name).rawValue, now,
                now,
            ]
        )
        let sql = "SELECT id FROM environments WHERE project_id = ? AND name = ?"
        return try Int.fetchOne(database, sql: sql, arguments: [projectID, name]) ?? 0
    }

    private static func insertDeployment(
        _ deployment: RecordedDeployment,
        environmentID: Int,
        now: Date,
        in database: Database
    ) throws {
        try database.execute(
            sql: """
                INSERT INTO deployments (iid, project_id, environment_id, job_id, ref, sha, user_id, status, release, created_at, updated_at)
                VALUES ((SELECT COALESCE(MAX(iid), 0) + 1 FROM deployments WHERE project_id = ?1), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)
                """,
            arguments: [
                deployment.projectID, environmentID, deployment.jobID, deployment.ref, deployment.sha,
                deployment.userID,
                deployment.status.rawValue, deployment.release, now,
            ]
        )
    }

    func record(_ deployment: RecordedDeployment, now: Date = Date()) async throws {
        try await database.write { database in
            let id = try Self.environmentID(deployment.projectID, deployment.environment, now: now, in: database)
            let sql = """
                UPDATE deployments SET status = ?, release = COALESCE(?, release), updated_at = ?
                WHERE id = (SELECT MAX(id) FROM deployments WHERE job_id = ? AND environment_id = ?)
                """
            if let jobID = deployment.jobID {
                try database.execute(
                    sql: sql,
                    arguments: [deployment.status.rawValue, deployment.release, now, jobID, id]
                )
            }
            if deployment.jobID == nil || database.changesCount == 0 {
                try Self.insertDeployment(deployment, environmentID: id, now: now, in: database)
            }
            guard deployment.status == .success else { return }
            try database.execute(
                sql:
                    "UPDATE environments SET state = 'available', external_url = COALESCE(?, external_url), updated_at = ? WHERE id = ?",
                arguments: [deployment.url, now, id]
            )
        }
    }

    func environments(ofProject projectID: Int) async throws -> [EnvironmentRecord] {
        try await database.read {
            let sql = "SELECT * FROM environments WHERE project_id = ? ORDER BY name"
            return try EnvironmentRecord.fetchAll($0, sql: sql, arguments: [projectID])
        }
    }

    func setState(_ state: String, ofEnvironment id: Int, now: Date = Date()) async throws {
        try await database.write { try Self.setState(state, ofEnvironment: id, now: now, in: $0) }
    }

    /// Changes what people may change; nil leaves a setting.
    func updateEnvironment(_ id: Int, url: String?, tier: String?, now: Date = Date()) async throws {
        try await database.write {
            let sql = """
                UPDATE environments SET external_url = COALESCE(?, external_url), tier = COALESCE(?, tier), updated_at = ?
                WHERE id = ?
                """
            try $0.execute(sql: sql, arguments: [url, tier, now, id])
        }
    }

    func createEnvironment(
        _ projectID: Int,
        name: String,
        url: String?,
        tier: String?,
        now: Date = Date()
    ) async throws -> Int {
        try await database.write { database in
            let id = try Self.environmentID(projectID, name, tier: tier, now: now, in: database)
            try database.execute(sql: "UPDATE environments SET external_url = ? WHERE id = ?", arguments: [url, id])
            return id
        }
    }

    func deleteEnvironment(_ id: Int) async throws {
        try await database.write { try $0.execute(sql: "DELETE FROM environments WHERE id = ?", arguments: [id]) }
    }

    func deployments(ofProject projectID: Int) async throws -> [DeploymentRecord] {
        try await database.read {
            let sql = "SELECT * FROM deployments WHERE project_id = ? ORDER BY id"
            return try DeploymentRecord.fetchAll($0, sql: sql, arguments: [projectID])
        }
    }

    // MARK: - Artifacts

    func setArtifacts(
        ofJob id: Int,
        entries: [ArchiveEntry],
        size: Int,
        expireAt: Date?,
        now: Date = Date()
    ) async throws {
        let index = try Self.json(entries)
        try await database.write { database in
            try database.execute(
                sql:
                    "INSERT OR REPLACE INTO artifacts (job_id, size, entries, created_at, expire_at) VALUES (?, ?, ?, ?, ?)",
                arguments: [id, size, index, now, expireAt]
            )
        }
    }

    func artifacts(ofJob id: Int) async throws -> ArtifactRecord? {
        try await database.read {
            try ArtifactRecord.fetchOne($0, sql: "SELECT * FROM artifacts WHERE job_id = ?", arguments: [id])
        }
    }

    func deleteArtifacts(ofJob id: Int) async throws {
        try await database.write { try $0.execute(sql: "DELETE FROM artifacts WHERE job_id = ?", arguments: [id]) }
    }

    /// The jobs whose artifacts are no longer kept; they are forgotten.
    func takeExpiredArtifacts(now: Date = Date()) async throws -> [Int] {
        try await database.write { database in
            let ids = try Int.fetchAll(
                database,
                sql: "SELECT job_id FROM artifacts WHERE expire_at <= ?",
                arguments: [now]
            )
            try database.execute(sql: "DELETE FROM artifacts WHERE expire_at <= ?", arguments: [now])
            return ids
        }
    }
}

/// Tells pipelines what became of a deployment.
package protocol DeploymentRecorder: Sendable {
    /// Notes a deployment: that of the job when there is one, else a new one (a rollback).
    func recordDeployment(_ deployment: RecordedDeployment) async throws
}

package struct RecordedDeployment: Hashable, Sendable {
    package var projectID: Int
    package var environment: String
    package var jobID: Int?
    package var userID: Int
    /// The branch or tag, without `refs/…/`.
    package var ref: String
    package var sha: String
    /// The number of the release that was deployed.
    package var release: Int?
    package var status: DeploymentStatus
    /// Where the deployed application answers.
    package var url: String?

    package init(
        projectID: Int,
        environment: String,
        jobID: Int?,
        userID: Int,
        ref: String,
        sha: String,
        release: Int? = nil,
        status: DeploymentStatus,
        url: String? = nil
    ) {
        self.projectID = projectID
        self.environment = environment
        self.jobID = jobID
        self.userID = userID
        self.ref = ref
        self.sha = sha
        self.release = release
        self.status = status
        self.url = url
    }
}
