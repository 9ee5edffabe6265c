import Foundation
import Git
package import Logging
import NIOCore
package import Review
import ServiceLifecycle
import Synchronization
import SystemPackage

/// Pipelines from the push to the last job.
///
/// Every change of state is a transaction before anything acts on it. After a crash, `run()` takes up the jobs that still run, and makes
/// the pipelines of pushes that nobody processed.
package final class PipelineService: Service, Sendable {
    package struct Configuration: Sendable {
        /// The folder of the database, traces, artifacts and caches.
        package var directory: String
        package var server: PredefinedVariables.Server
        /// For jobs without an `image:`.
        package var defaultImage: String
        package var concurrency = 4
        /// Seconds, for jobs without a `timeout:`.
        package var jobTimeout = 3600
        package var artifactLifetime = Duration.seconds(30 * 86_400)

        package init(directory: String, server: PredefinedVariables.Server, defaultImage: String) {
            self.directory = directory
            self.server = server
            self.defaultImage = defaultImage
        }
    }

    let configuration: Configuration
    let forge: Forge
    let store: PipelineStore
    let archives: ArchiveStorage
    let box: SecretBox
    let executor: any JobExecutor
    let access: (any EnvironmentAccess)?
    let logger: Logger
    /// Between two tries of what the disk refused.
    static let retryPause = Duration.seconds(1)
    private let wake: AsyncStream<Void>.Continuation
    private let wakes: AsyncStream<Void>
    /// Yields when there may be pushes without a pipeline.
    let missedPush: AsyncStream<Void>.Continuation
    let missedPushes: AsyncStream<Void>
    private let running = Mutex<Set<Int>>([])
    private let stopping = Mutex<Set<Int>>([])

    /// Opens the database. Give the service to `forge.setJobTokenResolver` and `forge.pushObservers.add` before requests are served.
    package static func open(
        _ configuration: Configuration,
        forge: Forge,
        box: SecretBox,
        executor: any JobExecutor,
        access: (any EnvironmentAccess)? = nil,
        logger: Logger
    ) async throws -> PipelineService {
        let traces = "\(configuration.directory)/traces"
        try FileManager.default.createDirectory(atPath: traces, withIntermediateDirectories: true)
        let store = try await PipelineStore.open(path: "\(configuration.directory)/pipelines.sqlite")
        let archives = try ArchiveStorage(root: configuration.directory)
        return PipelineService(configuration, forge, store, archives, box, executor, access, logger)
    }

    private init(
        _ configuration: Configuration,
        _ forge: Forge,
        _ store: PipelineStore,
        _ archives: ArchiveStorage,
        _ box: SecretBox,
        _ executor: any JobExecutor,
        _ access: (any EnvironmentAccess)?,
        _ logger: Logger
    ) {
        self.configuration = configuration
        self.forge = forge
        self.store = store
        self.archives = archives
        self.box = box
        self.executor = executor
        self.access = access
        self.logger = logger
        (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        (missedPushes, missedPush) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        missedPush.yield()
    }

    /// Says that there may be something to start or to stop.
    func poke() { wake.yield() }

    func tracePath(_ jobID: Int) -> String { "\(configuration.directory)/traces/\(jobID).log" }

    // MARK: - Life

    package func run() async throws {
        let interrupted = try await store.jobs(withStatus: [.running, .canceling])
        try await prepareExecutor(keeping: Set(interrupted.map(\.id)))
        try await withThrowingDiscardingTaskGroup { group in
            for job in interrupted { start(job, isResuming: true, in: &group) }
            group.addTask { await self.catchUpWithMissedPushes() }
            group.addTask { await self.removeExpiredArtifacts() }
            poke()
            for await _ in wakes.cancelOnGracefulShutdown() { await act(in: &group) }
            group.cancelAll()
        }
    }

    /// Starts and stops what the database asks for; where it cannot be written, as on a full disk, tries again a little later.
    private func act(in group: inout ThrowingDiscardingTaskGroup<any Error>) async {
        do {
            try await startJobs(in: &group)
            try await stopJobs(in: &group)
        } catch {
            logger.error("jobs cannot be started or stopped", metadata: ["error": "\(error)"])
            group.addTask {
                try? await Task.sleep(for: Self.retryPause)
                self.poke()
            }
        }
    }

    /// The cluster may still be starting: without it no job runs, but everything else does.
    private func prepareExecutor(keeping jobIDs: Set<Int>) async throws {
        var pause = Duration.milliseconds(100)
        while !Task.isCancelled {
            do {
                return try await executor.start(keeping: jobIDs)
            } catch {
                logger.warning("jobs cannot run yet", metadata: ["error": "\(error)"])
            }
            try await Task.sleep(for: pause)
            pause = min(pause * 2, .seconds(5))
        }
    }

    private func startJobs(in group: inout ThrowingDiscardingTaskGroup<any Error>) async throws {
        let room = configuration.concurrency - running.withLock { $0.count }
        let box = box
        let jobs = try await store.take(room: room, token: { try JobToken.make(jobID: $0, box: box) })
        for job in jobs {
            logger.info(
                "job started",
                metadata: ["job": "\(job.id)", "name": "\(job.name)", "pipeline": "\(job.pipelineID)"]
            )
            start(job, isResuming: false, in: &group)
        }
    }

    private func start(_ job: JobRecord, isResuming: Bool, in group: inout ThrowingDiscardingTaskGroup<any Error>) {
        guard running.withLock({ $0.insert(job.id).inserted }) else { return }
        group.addTask {
            await self.runJob(job, isResuming: isResuming)
            self.running.withLock { _ = $0.remove(job.id) }
            self.poke()
        }
    }

    private func stopJobs(in group: inout ThrowingDiscardingTaskGroup<any Error>) async throws {
        for job in try await store.jobs(withStatus: [.canceling]) {
            guard stopping.withLock({ $0.insert(job.id).inserted }) else { continue }
            group.addTask {
                await self.stop(job.id)
                self.stopping.withLock { _ = $0.remove(job.id) }
            }
        }
    }

    /// Asks again until the job has ended: the first time may come before its pod is there.
    private func stop(_ jobID: Int) async {
        while running.withLock({ $0.contains(jobID) }), !Task.isCancelled {
            do {
                try await executor.stop(jobID: jobID)
            } catch {
                logger.warning("a job could not be stopped yet", metadata: ["job": "\(jobID)", "error": "\(error)"])
            }
            try? await Task.sleep(for: .seconds(1))
        }
    }

    private func removeExpiredArtifacts() async {
        while !Task.isCancelled {
            do {
                for id in try await store.takeExpiredArtifacts() { archives.remove(archives.artifacts(ofJob: id)) }
            } catch {
                logger.error("expired artifacts could not be removed", metadata: ["error": "\(error)"])
            }
            try? await Task.sleep(for: .seconds(600))
        }
    }

    // MARK: - One job

    /// Follows a job to its end. What cannot be stored, because the disk is full, is tried again until it can.
    private func runJob(_ job: JobRecord, isResuming: Bool) async {
        var isResuming = isResuming
        while !Task.isCancelled {
            do {
                return try await follow(job, isResuming: isResuming)
            } catch is CancellationError {
                break
            } catch {
                logger.error("a job cannot be followed", metadata: ["job": "\(job.id)", "error": "\(error)"])
            }
            isResuming = true
            try? await Task.sleep(for: Self.retryPause)
        }
        // The program ends; the job goes on, and the next start takes it up.
        logger.info("job left running", metadata: ["job": "\(job.id)"])
    }

    private func follow(_ job: JobRecord, isResuming: Bool) async throws {
        let trace = try JobTrace(path: tracePath(job.id))
        let outcome = try await outcome(of: job, trace, isResuming: isResuming)
        let isCanceled = try await store.job(job.id)?.status == .canceling
        try trace.appendOnce(Self.conclusion(outcome, isCanceled: isCanceled), section: "conclusion")
        try await finish(job, outcome, trace)
    }

    private func outcome(of job: JobRecord, _ trace: JobTrace, isResuming: Bool) async throws -> JobOutcome {
        do {
            let assignment = try await assignment(for: job)
            try trace.appendOnce(Self.heading(job, assignment), section: "heading")
            return try await executor.run(assignment, trace: trace, isResuming: isResuming)
        } catch let error as CancellationError {
            throw error
        } catch {
            if Task.isCancelled { throw CancellationError() }
            // The job goes on without us: it is taken up again when its trace can be written.
            if error as? Errno == .noSpace { throw error }
            return .failed(.runnerSystemFailure, exitCode: nil, message: "the job could not be run: \(error)")
        }
    }

    private func finish(_ job: JobRecord, _ outcome: JobOutcome, _ trace: JobTrace) async throws {
        let url = outcome == .success ? try await environmentURL(of: job) : nil
        let next = try await store.finish(job.id, outcome, environmentURL: url)
        logger.info("job ended", metadata: ["job": "\(job.id)", "outcome": "\(outcome)"])
        do {
            if let next {
                logger.info("job is tried again", metadata: ["job": "\(job.id)", "next": "\(next.id)"])
                try trace.append("Retrying as job \(next.id) (try \(next.attempt))\n")
            }
            try await executor.remove(jobID: job.id)
        } catch {
            // The next start removes what is left.
            logger.warning("an ended job was not cleared away", metadata: ["job": "\(job.id)", "error": "\(error)"])
        }
    }

    private static func heading(_ job: JobRecord, _ assignment: JobAssignment) -> String {
        var lines = ["Running job \(job.id) with Sampan", "Using image \(assignment.image.name)"]
        if let environment = job.definition.environment {
            lines.append(
                assignment.account.map { "Reaching the cluster in the namespace \($0.namespace)" }
                    ?? "Not reaching the cluster: who started this job may not deploy to \(environment.name)"
            )
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func conclusion(_ outcome: JobOutcome, isCanceled: Bool) -> String {
        guard !isCanceled else { return "\u{1b}[31;1mERROR: Job failed: canceled\u{1b}[0;m\n" }
        return switch outcome {
        case .success: "\u{1b}[32;1mJob succeeded\u{1b}[0;m\n"
        case .failed(_, _, let message): "\u{1b}[31;1mERROR: Job failed: \(message)\u{1b}[0;m\n"
        case .gone: "\u{1b}[31;1mERROR: Job failed: the pod that ran this job is gone\u{1b}[0;m\n"
        }
    }
}

extension JobToken {
    /// A new token for a job: only its hash recognizes it, only the key file opens it.
    static func make(jobID: Int, box: SecretBox) throws -> JobToken {
        let token = "glcbt-" + Secrets.text(32)
        return JobToken(hash: Data(Secrets.digest(token)), sealed: try box.seal(token, context: "job:\(jobID)"))
    }
}

extension PipelineService: JobTokenResolver {
    package func job(withToken token: String) async throws -> JobIdentity? {
        guard token.hasPrefix("glcbt-"), let found = try await store.job(tokenHash: Secrets.digest(token)) else {
            return nil
        }
        return JobIdentity(
            jobID: found.job.id,
            projectID: found.job.projectID,
            userID: found.job.userID,
            ref: found.ref
        )
    }
}

extension PipelineService: DeploymentRecorder {
    package func recordDeployment(_ deployment: RecordedDeployment) async throws {
        try await store.record(deployment)
    }
}
