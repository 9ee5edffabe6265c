import Foundation
import KubernetesClient
import KubernetesModel
import Logging
import Synchronization

extension PodWorker {
    /// After the traffic and the hook a container has at least this long between SIGTERM and SIGKILL.
    private static let minimumGrace = Duration.seconds(2)

    /// Stops the pod for good: withdraw its traffic, stop its containers, remove what it has, delete the object.
    func terminate() async throws {
        await observePatiently()
        await publishStatus()
        let grace = kill.isOpen ? .zero : pod.gracePeriod
        logger.info("Pod stops", metadata: ["gracePeriod": "\(grace)"])
        let deadline = ContinuousClock.now + grace
        _ = try? await kill.unlessOpened {
            await self.withdrawTraffic(until: deadline)
            await self.stopContainers(until: deadline)
        }
        try await stopWhatIsLeft()
        await observePatiently()
        await publishStatus()
        try await removeRemains()
        await deleteObject()
    }

    // MARK: - Traffic

    /// Returns when every drain has confirmed, or at the deadline.
    private func withdrawTraffic(until deadline: ContinuousClock.Instant) async {
        let (address, hasRun) = state.withLock { state in
            (state.memory.addresses.first, !state.observed.running.isEmpty)
        }
        guard let address, hasRun, !pod.namespaces.usesHostNetwork, !context.drains.isEmpty else { return }
        let start = ContinuousClock.now
        await withTaskGroup(of: Bool.self) { group in
            for drain in context.drains { group.addTask { await self.withdraw(address, by: drain, until: deadline) } }
            group.addTask {
                try? await Task.sleep(until: deadline)
                return false
            }
            var missing = context.drains.count
            while missing > 0, let hasConfirmed = await group.next(), hasConfirmed { missing -= 1 }
            group.cancelAll()
        }
        logger.info(
            "Traffic is withdrawn",
            metadata: ["address": "\(address)", "took": "\(ContinuousClock.now - start)"]
        )
    }

    private func withdraw(
        _ address: String,
        by drain: any TrafficDrain,
        until deadline: ContinuousClock.Instant
    ) async -> Bool {
        do {
            try await drain.withdraw(podIP: address, deadline: deadline)
        } catch {
            logger.warning("A drain failed", metadata: ["address": "\(address)", "error": "\(error)"])
        }
        return true
    }

    // MARK: - Containers

    /// The main containers at the same time, then the sidecars in the reverse of their order.
    private func stopContainers(until deadline: ContinuousClock.Instant) async {
        let (pod, running) = state.withLock { ($0.pod, $0.observed.running) }
        let sidecars = pod.initContainers.filter(\.isSidecar).map(\.name)
        await withDiscardingTaskGroup { group in
            for container in running where !sidecars.contains(container.name) {
                group.addTask { await self.stopLogged(container, until: deadline) }
            }
        }
        for name in sidecars.reversed() {
            for container in running where container.name == name { await stopLogged(container, until: deadline) }
        }
    }

    private func stopLogged(_ container: Container, until deadline: ContinuousClock.Instant) async {
        do {
            try await stop(
                container.id,
                container.name,
                reason: "Stopping container \(container.name)",
                grace: max(ContinuousClock.now.duration(to: deadline), Self.minimumGrace)
            )
        } catch {
            logger.warning(
                "Container was not stopped",
                metadata: ["container": "\(container.name)", "error": "\(error)"]
            )
        }
    }

    /// Stops one container of a pod that goes on.
    func stop(_ id: String, _ name: String, reason: String) async throws {
        let unhealthy = memory.unhealthy[id] != nil
        let own = unhealthy ? pod.container(name)?.probe(.liveness)?.gracePeriod : nil
        try await stop(id, name, reason: reason, grace: own ?? pod.gracePeriod)
    }

    /// The hook and what follows it share `grace`.
    private func stop(_ id: String, _ name: String, reason: String, grace: Duration) async throws {
        context.events.record(.normal, pod.json, reason: "Killing", reason)
        logger.info("Container stops", metadata: ["container": "\(name)", "id": "\(id)", "reason": "\(reason)"])
        let deadline = ContinuousClock.now + grace
        if let definition = pod.container(name), let hook = definition.hook("preStop"), grace > .zero {
            await runPreStopHook(hook, id, definition, grace: grace)
        }
        let rest = ContinuousClock.now.duration(to: deadline)
        try await context.runtime.stopContainer(id, gracePeriod: grace > .zero ? max(rest, Self.minimumGrace) : .zero)
    }

    private func runPreStopHook(_ hook: JSON, _ id: String, _ definition: ContainerDefinition, grace: Duration) async {
        let target = target(id, definition)
        let outcome = await withTaskGroup(of: ProbeOutcome.self) { group in
            group.addTask { await self.context.prober.perform(ProbeAction(hook), on: target, timeout: grace) }
            group.addTask {
                try? await Task.sleep(for: grace)
                return .failure("it took longer than the grace period")
            }
            defer { group.cancelAll() }
            return await group.next() ?? .success
        }
        guard !outcome.isSuccess, !Task.isCancelled else { return }
        context.events.record(.warning, pod.json, reason: "FailedPreStopHook", "PreStopHook failed: \(outcome.message)")
    }

    // MARK: - Remains

    /// What is still running is killed: the grace is over, or there was none.
    private func stopWhatIsLeft() async throws {
        try await untilItWorks("stop containers") {
            try await self.observe()
            for container in self.observed.containers where container.state != .exited {
                try await self.context.runtime.stopContainer(container.id, gracePeriod: .zero)
            }
            for sandbox in self.observed.sandboxes { try await self.context.runtime.stopSandbox(sandbox.id) }
        }
    }

    private func removeRemains() async throws {
        let ids = observed.sandboxes.map(\.id)
        try await untilItWorks("remove sandboxes") {
            for id in ids { try await self.context.runtime.removeSandbox(id) }
        }
        let (volumes, pod) = state.withLock { ($0.volumes, $0.pod) }
        volumes.tearDown()
        try? FileManager.default.removeItem(atPath: "\(context.configuration.logsDirectory)/\(pod.logFolder)")
        CgroupTree(identifier: context.configuration.identifier).removePod(uid)
        logger.info("Pod is gone")
    }

    private func deleteObject() async {
        let pod = pod
        try? await untilItWorks("delete the object") {
            do {
                let options = DeleteOptions(gracePeriodSeconds: 0, uid: pod.uid)
                _ = try await self.context.client.delete(
                    .pods,
                    namespace: pod.namespace,
                    name: pod.name,
                    options: options
                )
            } catch let error as StatusError where error.isNotFound || error.isConflict {
                // Another object has the name, or none: either way this one is gone.
            }
        }
    }

    private func observePatiently() async {
        try? await untilItWorks("observe") { try await self.observe() }
    }

    /// The runtime and the API may be away for a while; giving up would leave things behind.
    private func untilItWorks(_ what: String, _ body: () async throws -> Void) async throws {
        var delay = Duration.milliseconds(100)
        while true {
            do {
                return try await body()
            } catch {
                try Task.checkCancellation()
                logger.warning("Will try again", metadata: ["what": "\(what)", "error": "\(error)"])
                try await Task.sleep(for: delay)
                delay = min(delay * 2, .seconds(5))
            }
        }
    }
}
