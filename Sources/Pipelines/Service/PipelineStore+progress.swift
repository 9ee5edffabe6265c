import Foundation
import GRDB

/// The moves of jobs: the state machine decides, one transaction stores.
extension PipelineStore {
    /// Lets `body` change the pipeline's jobs, moves on what can move, and stores the result.
    @discardableResult
    static func change<Value>(
        _ pipelineID: Int,
        now: Date,
        in database: Database,
        _ body: (inout PipelineProgress) throws -> Value
    ) throws -> Value {
        let jobs = try jobs(ofPipeline: pipelineID, in: database)
        var progress = PipelineProgress(jobs: jobs.map(\.progress))
        let value = try body(&progress)
        progress.advance()
        for job in progress.changes { try setStatus(job.status, ofJob: job.id, now: now, in: database) }
        try setStatus(progress.status, ofPipeline: pipelineID, now: now, in: database)
        return value
    }

    func change<Value: Sendable>(
        _ pipelineID: Int,
        now: Date = Date(),
        _ body: @Sendable @escaping (inout PipelineProgress) throws -> Value
    ) async throws -> Value {
        try await database.write { try Self.change(pipelineID, now: now, in: $0, body) }
    }

    private static func setStatus(_ status: JobStatus, ofJob id: Int, now: Date, in database: Database) throws {
        var assignments = ["status = ?"]
        var arguments: StatementArguments = [status.rawValue]
        switch status {
        case .pending:
            assignments.append("queued_at = ?")
            arguments += [now]
        case .running:
            assignments.append("started_at = ?")
            arguments += [now]
        case _ where status.isComplete:
            assignments += ["finished_at = ?", "token_hash = NULL", "sealed_token = NULL"]
            arguments += [now]
        default: break
        }
        arguments += [id]
        try database.execute(
            sql: "UPDATE jobs SET \(assignments.joined(separator: ", ")) WHERE id = ?",
            arguments: arguments
        )
        try setDeploymentStatus(status, ofJob: id, now: now, in: database)
    }

    private static func setStatus(_ status: PipelineStatus, ofPipeline id: Int, now: Date, in database: Database) throws
    {
        try database.execute(
            sql: """
                UPDATE pipelines SET status = ?1, updated_at = ?2,
                    started_at = COALESCE(started_at, (SELECT MIN(started_at) FROM jobs WHERE pipeline_id = ?4)),
                    finished_at = CASE WHEN ?3 THEN ?2 ELSE NULL END
                WHERE id = ?4 AND (status <> ?1 OR started_at IS NULL)
                """,
            arguments: [status.rawValue, now, status.isComplete, id]
        )
    }

    private static func setDeploymentStatus(_ status: JobStatus, ofJob id: Int, now: Date, in database: Database) throws
    {
        let deployment: DeploymentStatus
        switch status {
        case .success: deployment = .success
        case .failed: deployment = .failed
        case .canceled, .skipped: deployment = .canceled
        default: return
        }
        try database.execute(
            sql:
                "UPDATE deployments SET status = ?, updated_at = ? WHERE job_id = ? AND status IN ('created', 'running')",
            arguments: [deployment.rawValue, now, id]
        )
    }

    // MARK: - Running

    /// Marks as running what may run now, at most `room` jobs, and answers with them.
    ///
    /// Projects take turns: the one with the fewest running jobs goes first. Of a resource group one job runs at a time.
    func take(
        room: Int,
        token: @Sendable @escaping (Int) throws -> JobToken,
        now: Date = Date()
    ) async throws -> [JobRecord] {
        guard room > 0 else { return [] }
        return try await database.write { database in
            var taken: [JobRecord] = []
            while taken.count < room, let job = try Self.nextJob(now: now, in: database) {
                let token = try token(job.id)
                try database.execute(
                    sql: "UPDATE jobs SET token_hash = ?, sealed_token = ? WHERE id = ?",
                    arguments: [token.hash, token.sealed, job.id]
                )
                try Self.change(job.pipelineID, now: now, in: database) { $0.set(.running, of: job.id) }
                try Self.beginDeployment(of: job, now: now, in: database)
                taken.append(try Self.job(job.id, in: database)!)
            }
            return taken
        }
    }

    private static func nextJob(now: Date, in database: Database) throws -> JobRecord? {
        let blocked = """
            SELECT 1 FROM jobs AS other WHERE other.project_id = jobs.project_id AND other.resource_group = jobs.resource_group
                AND other.status IN ('running', 'canceling')
            """
        let waiting = try JobRecord.fetchAll(
            database,
            sql: "SELECT * FROM jobs WHERE status = 'pending' AND resource_group IS NOT NULL AND EXISTS (\(blocked))"
        )
        for job in waiting {
            try change(job.pipelineID, now: now, in: database) { $0.set(.waitingForResource, of: job.id) }
        }
        return try JobRecord.fetchOne(
            database,
            sql: """
                SELECT * FROM jobs WHERE status IN ('pending', 'waiting_for_resource')
                    AND (resource_group IS NULL OR NOT EXISTS (\(blocked)))
                ORDER BY (SELECT COUNT(*) FROM jobs AS running WHERE running.project_id = jobs.project_id
                    AND running.status = 'running'), id
                LIMIT 1
                """
        )
    }

    /// Stores how a running job ended, what that makes of its environment, and its next try when it gets one.
    ///
    /// - Returns: the new try.
    func finish(
        _ id: Int,
        _ outcome: JobOutcome,
        environmentURL: String? = nil,
        now: Date = Date()
    ) async throws -> JobRecord? {
        try await database.write { database in
            guard let job = try Self.job(id, in: database), [.running, .canceling].contains(job.status) else {
                return nil
            }
            let end = JobEnd(job, outcome)
            try database.execute(
                sql: "UPDATE jobs SET failure_reason = ?, exit_code = ?, message = ?, allows_failure = ? WHERE id = ?",
                arguments: [end.reason?.rawValue, end.exitCode, end.message, end.allowsFailure, id]
            )
            if !end.isRetried {
                let isSuccess = end.status == .success
                try Self.endDeployment(of: job, isSuccess: isSuccess, url: environmentURL, now: now, in: database)
            }
            return try Self.change(job.pipelineID, now: now, in: database) { progress in
                progress.set(end.status, of: id)
                guard end.isRetried else { return nil }
                // The old try ends before it leaves the progress, so its row is written here.
                try Self.setStatus(end.status, ofJob: id, now: now, in: database)
                let next = try Self.repeated(job, userID: job.userID, now: now, in: database)
                progress.replace(id, with: next.progress)
                return next
            }
        }
    }

    // MARK: - Asked for by people

    /// Starts a manual job, with the variables that were given with the request. Whoever starts it is who it acts for, and not whoever
    /// made the pipeline.
    ///
    /// - Returns: whether the job was waiting for that.
    func play(
        _ job: JobRecord,
        userID: Int,
        sealedVariables: Data? = nil,
        now: Date = Date()
    ) async throws -> Bool {
        try await database.write { database in
            let isPlayed = try Self.change(job.pipelineID, now: now, in: database) { $0.play(job.id) }
            if isPlayed {
                let sql = "UPDATE jobs SET user_id = ?, sealed_variables = COALESCE(?, sealed_variables) WHERE id = ?"
                try database.execute(sql: sql, arguments: [userID, sealedVariables, job.id])
            }
            return isPlayed
        }
    }

    /// Tries a finished job again.
    func retry(_ job: JobRecord, userID: Int, now: Date = Date()) async throws -> JobRecord {
        try await database.write { database in
            try Self.change(job.pipelineID, now: now, in: database) { progress in
                let next = try Self.repeated(job, userID: userID, now: now, in: database)
                progress.replace(job.id, with: next.progress)
                return next
            }
        }
    }

    /// Tries all failed and canceled jobs of a pipeline again.
    func retryFailed(pipelineID: Int, userID: Int, now: Date = Date()) async throws {
        try await database.write { database in
            let jobs = try Self.jobs(ofPipeline: pipelineID, in: database)
            try Self.change(pipelineID, now: now, in: database) { progress in
                for job in jobs where job.status == .failed || job.status == .canceled {
                    var next = try Self.repeated(job, userID: userID, now: now, in: database)
                    // Those that come later wait for the earlier ones again.
                    try database.execute(sql: "UPDATE jobs SET status = 'created' WHERE id = ?", arguments: [next.id])
                    next.status = .created
                    progress.replace(job.id, with: next.progress)
                }
            }
        }
    }

    func delete(pipelineID: Int) async throws {
        try await database.write { try $0.execute(sql: "DELETE FROM pipelines WHERE id = ?", arguments: [pipelineID]) }
    }

    func markErased(_ jobID: Int, now: Date = Date()) async throws {
        try await database.write { database in
            try database.execute(sql: "UPDATE jobs SET erased_at = ? WHERE id = ?", arguments: [now, jobID])
            try database.execute(sql: "DELETE FROM artifacts WHERE job_id = ?", arguments: [jobID])
        }
    }
}

/// A job's token, as it is stored: its hash to recognize it, and sealed to hide it in traces after a restart.
struct JobToken: Sendable {
    var hash: Data
    var sealed: Data
}

/// What the outcome of a run makes of a job. Pure.
struct JobEnd: Hashable {
    var status: JobStatus
    var reason: FailureReason?
    var exitCode: Int?
    var message: String?
    var allowsFailure: Bool
    var isRetried = false

    init(_ job: JobRecord, _ outcome: JobOutcome) {
        allowsFailure = job.allowsFailure
        guard job.status != .canceling else {
            status = .canceled
            return
        }
        switch outcome {
        case .success:
            status = .success
        case .failed(let reason, let exitCode, let message):
            status = .failed
            self.reason = reason
            self.exitCode = exitCode
            self.message = message
        case .gone:
            status = .failed
            reason = .runnerSystemFailure
            message = "the pod that ran this job is gone"
        }
        guard let reason else { return }
        if case .exitCodes(let codes) = job.definition.allowFailure, let exitCode {
            allowsFailure = codes.contains(exitCode)
        }
        // What the platform lost it repeats once by itself.
        isRetried =
            (outcome == .gone && job.attempt == 1)
            || RetryDecision.retries(job.definition.retry, reason: reason, exitCode: exitCode, attempts: job.attempt)
    }
}
