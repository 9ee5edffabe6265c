package import KubernetesClient
import KubernetesModel
package import Logging
import ServiceLifecycle
import Synchronization

/// Deploys and rolls back: one release at a time in each environment, environments side by side.
///
/// A release that has begun goes on when whoever asked for it goes away. One that the platform did not finish is resumed when
/// ``run()`` starts again.
package final class ReleaseService: Service {
    package struct Configuration: Sendable {
        /// Folder for manifests on their way.
        package var workspace: String
        /// Host and port of the registry, as nodes reach it.
        package var registry: String
        /// Applications answer at `<namespace>.<domain>`.
        package var domain: String
        /// The gateway's port, for the addresses that people are told.
        package var gatewayPort = 80
        /// How long a release may take until it is ready.
        package var deadline: Duration = .seconds(300)
        /// How long a pod may find no node.
        package var schedulingGrace: Duration = .seconds(20)

        package init(workspace: String, registry: String, domain: String) {
            self.workspace = workspace
            self.registry = registry
            self.domain = domain
        }
    }

    let configuration: Configuration
    let access: any ReleaseAccess
    let images: ImageBuildStore
    let client: any ClusterClient
    private let observer: (any ReleaseObserver)?
    private let clock: any Clock<Duration>
    let logger: Logger
    private let lanes: EnvironmentLanes

    package init(
        configuration: Configuration,
        client: any ClusterClient,
        access: any ReleaseAccess,
        images: ImageBuildStore,
        observer: (any ReleaseObserver)? = nil,
        clock: any Clock<Duration> = ContinuousClock(),
        logger: Logger
    ) {
        self.configuration = configuration
        self.client = client
        self.access = access
        self.images = images
        self.observer = observer
        self.clock = clock
        self.logger = logger
        lanes = EnvironmentLanes()
    }

    /// Carries out what is asked for until the task is cancelled or shut down.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                group.addTask { await self.resumeUnfinished() }
                await self.lanes.run(in: &group)
            }
        }
    }

    /// Carries out `work` when the environment is free, and gives the exit code; does not stop when the caller is cancelled.
    ///
    /// - Parameter deadline: How long the release may take until it is ready; the configured time when `nil`.
    func perform(
        in environment: ReleaseEnvironment,
        _ output: ProgressOutput,
        deadline: Duration? = nil,
        _ work: @escaping @Sendable (Rollout) async throws -> Void
    ) async throws -> Int {
        let rollout = rollout(in: environment, output, deadline: deadline)
        let (results, result) = AsyncStream<Int>.makeStream()
        let isQueued = try lanes.submit(environment.namespace) { [logger] in
            do {
                try await work(rollout)
                result.yield(0)
            } catch {
                output.line("error: \(error)")
                logger.info("A release was not made", metadata: ["namespace": "\(environment.namespace)"])
                result.yield(1)
            }
            result.finish()
        }
        if isQueued { output.line("waiting: another release of \(environment.name) is on its way") }
        for await code in results { return code }
        throw CancellationError()
    }

    // MARK: - Private

    private func rollout(
        in environment: ReleaseEnvironment,
        _ output: ProgressOutput,
        deadline: Duration? = nil
    ) -> Rollout {
        Rollout(
            applier: BundleApplier(client: client, environment: environment),
            store: ReleaseStore(client: client),
            watch: RolloutWatch(
                client: client,
                namespace: environment.namespace,
                clock: clock,
                deadline: deadline ?? configuration.deadline,
                schedulingGrace: configuration.schedulingGrace,
                logger: logger
            ),
            observer: observer,
            output: output,
            gatewayPort: configuration.gatewayPort,
            logger: logger
        )
    }

    private func resumeUnfinished() async {
        var backoff = Backoff()
        while !Task.isCancelled {
            do {
                for release in try await ReleaseStore(client: client).unfinished() { try resume(release) }
                return
            } catch {
                logger.info("Unfinished releases cannot be read yet", metadata: ["error": "\(error)"])
                try? await clock.sleep(for: backoff.next())
            }
        }
    }

    private func resume(_ release: Release) throws {
        let project = ReleaseProject(id: release.projectID, path: release.projectPath, webURL: "")
        let environment = ReleaseEnvironment(
            project: project,
            name: release.environmentName,
            namespace: release.namespace
        )
        let rollout = rollout(in: environment, ProgressOutput())
        logger.info("Release resumed", metadata: ["namespace": "\(release.namespace)", "release": "\(release.number)"])
        _ = try lanes.submit(environment.namespace) { [logger] in
            do {
                try await rollout.resume(release)
            } catch {
                logger.info(
                    "A resumed release failed",
                    metadata: ["release": "\(release.number)", "error": "\(error)"]
                )
            }
        }
    }
}

/// Runs work one after the other in each lane, lanes side by side.
final class EnvironmentLanes: Sendable {
    typealias Work = @Sendable () async -> Void

    /// As many may wait in one lane; more are refused.
    static let limit = 20

    private let waiting = Mutex<[String: [Work]]>([:])
    private let started: AsyncStream<String>
    private let start: AsyncStream<String>.Continuation

    init() {
        (started, start) = AsyncStream.makeStream()
    }

    /// Answers whether other work is before it.
    func submit(_ lane: String, _ work: @escaping Work) throws -> Bool {
        let isFirst = try waiting.withLock { waiting in
            let before = waiting[lane]
            guard (before?.count ?? 0) < Self.limit else {
                throw ReleaseError("\(Self.limit) releases wait already in this environment; try again later")
            }
            waiting[lane] = (before ?? []) + [work]
            return before == nil
        }
        if isFirst { start.yield(lane) }
        return !isFirst
    }

    func run(in group: inout DiscardingTaskGroup) async {
        for await lane in started {
            group.addTask {
                while let work = self.next(lane) { await work() }
            }
        }
    }

    /// `nil` when the lane is empty; then it is forgotten.
    private func next(_ lane: String) -> Work? {
        waiting.withLock { waiting in
            guard var line = waiting[lane], !line.isEmpty else {
                waiting[lane] = nil
                return nil
            }
            let work = line.removeFirst()
            waiting[lane] = line
            return work
        }
    }
}
