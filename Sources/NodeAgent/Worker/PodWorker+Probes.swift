import KubernetesClient
import KubernetesModel
import Logging
import Synchronization

extension PodWorker {
    /// Starts the probes of containers that run and are not probed yet.
    func startProbes(_ group: inout DiscardingTaskGroup) {
        let unprobed = state.withLock { state -> [(Container, ContainerDefinition)] in
            let running = state.observed.running.compactMap { container in
                state.pod.container(container.name).map { (container, $0) }
            }
            let fresh = running.filter { state.probed.insert($0.0.id).inserted }
            state.probed.formIntersection(running.map(\.0.id))
            return fresh.filter { pair in Probe.Kind.allCases.contains { pair.1.probe($0) != nil } }
        }
        for (container, definition) in unprobed {
            group.addTask { await self.probe(container, definition) }
        }
    }

    /// The startup probe alone until it succeeds, then the two others side by side.
    private func probe(_ container: Container, _ definition: ContainerDefinition) async {
        if let startup = definition.probe(.startup), !memory.started.contains(container.id) {
            await run(startup, container, definition)
        }
        await withDiscardingTaskGroup { group in
            for probe in [Probe.Kind.readiness, .liveness].compactMap(definition.probe) {
                group.addTask { await self.run(probe, container, definition) }
            }
        }
    }

    /// Tries the probe until the container no longer runs, or for a startup probe until it has succeeded.
    private func run(_ probe: Probe, _ container: Container, _ definition: ContainerDefinition) async {
        var count = ProbeCount(probe, hasSucceeded: probe.kind == .readiness && memory.ready.contains(container.id))
        await sleepInitialDelay(probe, container)
        while isRunning(container.id), !Task.isCancelled {
            let target = target(container.id, definition)
            let outcome = await context.prober.perform(probe.action, on: target, timeout: probe.timeout)
            guard isRunning(container.id), !Task.isCancelled else { return }
            if !outcome.isSuccess, count.countsFailures { tellFailure(probe, outcome) }
            let (verdict, delay) = count.record(outcome)
            apply(verdict, of: probe, to: container)
            if probe.kind == .startup, verdict == .succeeded { return }
            try? await Task.sleep(for: delay)
        }
    }

    private func sleepInitialDelay(_ probe: Probe, _ container: Container) async {
        let age = container.startedAt.map { context.now().duration(since: $0) } ?? .zero
        let rest = probe.initialDelay - age
        if rest > .zero { try? await Task.sleep(for: rest) }
    }

    private func isRunning(_ id: String) -> Bool {
        state.withLock { state in
            !state.exited.contains(id) && state.observed.running.contains { $0.id == id }
        }
    }

    private func tellFailure(_ probe: Probe, _ outcome: ProbeOutcome) {
        context.events.record(
            .warning,
            pod.json,
            reason: "Unhealthy",
            "\(probe.kind.title) probe failed: \(outcome.message)"
        )
    }

    private func apply(_ verdict: ProbeCount.Verdict, of probe: Probe, to container: Container) {
        guard verdict != .unchanged else { return }
        state.withLock { state in
            switch (probe.kind, verdict) {
            case (.startup, .succeeded): state.memory.started.insert(container.id)
            case (.readiness, .succeeded): state.memory.ready.insert(container.id)
            case (.readiness, _): state.memory.ready.remove(container.id)
            case (.startup, _), (.liveness, .failed):
                state.memory.unhealthy[container.id] =
                    "Container \(container.name) failed \(probe.kind.rawValue) probe, will be restarted"
            case (.liveness, _): break
            }
        }
        logger.info(
            "Probe changed its mind",
            metadata: [
                "probe": "\(probe.kind.rawValue)", "container": "\(container.name)",
                "succeeded": "\(verdict == .succeeded)",
            ]
        )
        wake()
    }
}
