import Foundation
package import KubernetesClient
import KubernetesModel
package import Logging
import ServiceLifecycle
import Synchronization

/// The kubelet of the embedded engine: runs the pods that are bound to this node by a container runtime that speaks CRI.
///
/// Pods keep running while the agent does not; an agent that starts takes over what runs, and removes what no object stands for any
/// more. A pod that is deleted is first withdrawn from all traffic: see ``TrafficDrain``.
///
/// Needs a runtime that is ready: see ``ContainerdConfiguration``. Bounds: 250 pods, of each container its last two runs, and of a log five
/// files of 10 MiB.
package final class NodeAgent: Service {
    private static let relistInterval = Duration.seconds(10)

    let context: NodeContext
    let pods: Informer
    private let workers = Mutex<[String: PodWorker]>([:])
    private let started: AsyncStream<PodWorker>
    private let start: AsyncStream<PodWorker>.Continuation

    package convenience init(
        client: any ClusterClient,
        configuration: Configuration,
        drains: [any TrafficDrain],
        logger: Logger
    ) throws {
        let runtime = try CRIRuntime(socketPath: configuration.runtimeSocketPath)
        self.init(client: client, configuration: configuration, runtime: runtime, drains: drains, logger: logger)
    }

    init(
        client: any ClusterClient,
        configuration: Configuration,
        runtime: any ContainerRuntime,
        drains: [any TrafficDrain],
        logger: Logger
    ) {
        context = NodeContext(
            client: client,
            runtime: runtime,
            configuration: configuration,
            drains: drains,
            logger: logger
        )
        pods = Informer(client, .pods, fieldSelector: "spec.nodeName=\(configuration.nodeName)", logger: logger)
        (started, start) = AsyncStream.makeStream()
    }

    /// Runs until graceful shutdown or cancellation; the containers stay.
    package func run() async throws {
        do {
            try await cancelWhenGracefulShutdown {
                try await self.runParts()
            }
        } catch is CancellationError {
            context.logger.info("Node agent has stopped; containers go on")
        }
    }

    private func runParts() async throws {
        pods.onChange { [self] old, new in podChanged(old.map(Pod.init), new.map(Pod.init)) }
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { try await self.context.runtime.run() }
            group.addTask { try await self.context.events.run() }
            group.addTask { try await NodeRegistration(context: self.context).run() }
            group.addTask { try await self.pods.run() }
            group.addTask { await self.watchRuntime() }
            group.addTask { await self.relist() }
            for await worker in started {
                group.addTask { await self.run(worker) }
            }
        }
    }

    private func run(_ worker: PodWorker) async {
        await worker.run()
        guard !Task.isCancelled else { return }
        context.release(podUID: worker.uid)
        workers.withLock { $0[worker.uid] = nil }
    }

    // MARK: - Pods

    /// A name may pass from one pod to another between two looks: the uid tells them apart.
    private func podChanged(_ old: Pod?, _ new: Pod?) {
        if let old, old.uid != new?.uid { worker(uid: old.uid)?.podIsGone() }
        guard let new else { return }
        let fresh = workers.withLock { workers -> PodWorker? in
            if let known = workers[new.uid] {
                known.update(new)
                return nil
            }
            let worker = PodWorker(new, context)
            workers[new.uid] = worker
            return worker
        }
        if let fresh { start.yield(fresh) }
    }

    func worker(uid: String) -> PodWorker? { workers.withLock { $0[uid] } }

    private var allWorkers: [PodWorker] { workers.withLock { Array($0.values) } }

    // MARK: - The runtime

    /// Passes exits on to the pods they belong to; after a broken connection every pod is looked at again.
    private func watchRuntime() async {
        while !Task.isCancelled {
            do {
                try await context.runtime.watchEvents { [self] event in runtimeTold(event) }
            } catch {
                guard !Task.isCancelled else { return }
                context.logger.debug("The runtime's events ended", metadata: ["error": "\(error)"])
            }
            try? await Task.sleep(for: .milliseconds(200))
            for worker in allWorkers { worker.wake() }
        }
    }

    private func runtimeTold(_ event: RuntimeEvent) {
        switch event {
        case .exited(let id): context.owner(of: id).flatMap(worker(uid:))?.containerExited(id)
        case .outOfMemory(let id): context.owner(of: id).flatMap(worker(uid:))?.containerRanOutOfMemory(id)
        }
    }

    /// A slow look at everything, for what no event told: removes strangers, rotates logs, wakes every pod.
    private func relist() async {
        guard (try? await pods.waitUntilSynced()) != nil else { return }
        let rotation = LogRotation(runtime: context.runtime, logger: context.logger)
        var shims = StrayShims(socketPath: context.configuration.runtimeSocketPath)
        while !Task.isCancelled {
            do {
                try await removeStrangers()
                shims.end(except: try await runtimeIDs())
            } catch {
                context.logger.warning("The runtime could not be looked through", metadata: ["error": "\(error)"])
            }
            for worker in allWorkers {
                await rotation.rotate(worker.observed.running, now: context.now())
                worker.wake()
            }
            try? await Task.sleep(for: Self.relistInterval)
        }
    }

    /// Of all sandboxes and containers.
    private func runtimeIDs() async throws -> Set<String> {
        let sandboxes = try await context.runtime.sandboxes(podUID: nil).map(\.id)
        return try await Set(context.runtime.containers(podUID: nil).map(\.id)).union(sandboxes)
    }

    /// Removes sandboxes and folders of pods that have no object.
    private func removeStrangers() async throws {
        // In this order: whoever is made meanwhile has a worker already.
        let sandboxes = try await context.runtime.sandboxes(podUID: nil)
        let folders = (try? FileManager.default.contentsOfDirectory(atPath: context.configuration.podsDirectory)) ?? []
        let logs = (try? FileManager.default.contentsOfDirectory(atPath: context.configuration.logsDirectory)) ?? []
        let known = workers.withLock { Set($0.keys) }
        for sandbox in sandboxes where !known.contains(sandbox.podUID) {
            context.logger.info(
                "Removing a sandbox without a pod",
                metadata: ["pod": "\(sandbox.namespace)/\(sandbox.name)", "sandbox": "\(sandbox.id)"]
            )
            try await context.runtime.stopSandbox(sandbox.id)
            try await context.runtime.removeSandbox(sandbox.id)
        }
        for uid in folders where !known.contains(uid) {
            PodVolumes(client: context.client, podDirectory: context.configuration.podDirectory(uid)).tearDown()
            CgroupTree(identifier: context.configuration.identifier).removePod(uid)
        }
        for folder in logs where !known.contains(Pod.uid(ofLogFolder: folder)) {
            try? FileManager.default.removeItem(atPath: "\(context.configuration.logsDirectory)/\(folder)")
        }
    }
}

// MARK: - The end of everything

extension NodeAgent {
    /// Stops and removes every sandbox and container of this home, then mounts, folders and control groups.
    ///
    /// For a platform that is going away: call it while the runtime still runs and no agent does.
    package static func removeEverything(_ configuration: Configuration) async throws {
        let runtime = try CRIRuntime(socketPath: configuration.runtimeSocketPath)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await runtime.run() }
            defer { group.cancelAll() }
            try await removeAllSandboxes(runtime, grace: .seconds(10))
        }
        await StrayShims(socketPath: configuration.runtimeSocketPath).endAll()
        MountTable.unmountAll(below: configuration.podsDirectory)
        for path in [configuration.podsDirectory, configuration.logsDirectory] {
            try? FileManager.default.removeItem(atPath: path)
        }
        CgroupTree(identifier: configuration.identifier).remove()
    }

    private static func removeAllSandboxes(_ runtime: any ContainerRuntime, grace: Duration) async throws {
        let containers = try await runtime.containers(podUID: nil)
        try await withThrowingDiscardingTaskGroup { group in
            for container in containers where container.state == .running {
                group.addTask { try await runtime.stopContainer(container.id, gracePeriod: grace) }
            }
        }
        let sandboxes = try await runtime.sandboxes(podUID: nil)
        try await withThrowingDiscardingTaskGroup { group in
            for sandbox in sandboxes {
                group.addTask {
                    try await runtime.stopSandbox(sandbox.id)
                    try await runtime.removeSandbox(sandbox.id)
                }
            }
        }
    }
}
