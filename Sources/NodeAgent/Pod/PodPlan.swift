import KubernetesModel

/// One step towards what a pod's specification asks for.
enum PodAction: Hashable, Sendable {
    case createSandbox(attempt: Int)
    case stopSandbox(id: String)
    /// With the containers in it.
    case removeSandbox(id: String)
    case start(container: String, attempt: Int)
    /// With the hook before it and the pod's grace period.
    case stop(id: String, container: String, reason: String)
    case removeContainer(id: String)
    /// Nothing can be done for a container before this time.
    case wait(until: Timestamp)
}

/// Decides what to do next for a pod that shall run. Pure: the same observation gives the same steps.
struct PodPlan {
    let pod: Pod
    let observed: PodObservation
    let memory: PodMemory
    let now: Timestamp

    /// The runs of a container that are kept: the last one for its state, the one before for its log.
    static let keptRuns = 2

    /// The steps in their order; after they are done the pod must be observed and planned again.
    func actions() -> [PodAction] {
        if isFinished { return finish() + remains() }
        return converge() + (deadline.map { [.wait(until: $0)] } ?? [])
    }

    private func converge() -> [PodAction] {
        let strangers = stopStrangers()
        guard let sandbox = observed.currentSandbox else { return strangers + replaceSandbox() }
        var actions = strangers + stopUnhealthy() + stopOutdated()
        let stopping = Set(actions.compactMap(\.stoppedID))
        let (initActions, isInitialized) = initialize(stopping)
        actions += initActions
        if isInitialized {
            actions += pod.mainContainers.flatMap { next(for: $0, observed.latest($0.name), stopping) }
        }
        return actions + remains(except: sandbox.id)
    }

    // MARK: - The end

    /// No container will run again.
    var isFinished: Bool {
        if pod.isFinished || isOverdue || failedInit != nil { return true }
        guard !pod.mainContainers.isEmpty else { return false }
        return pod.mainContainers.allSatisfy { definition in
            guard let last = observed.latest(definition.name), last.state == .exited else { return false }
            return !restarts(last)
        }
    }

    /// When the pod has been active for as long as it may.
    var deadline: Timestamp? {
        guard let seconds = pod.spec["activeDeadlineSeconds"]?.int,
            let start = pod.status["startTime"]?.string.flatMap({ Timestamp($0) })
        else { return nil }
        return start.adding(seconds: Int64(seconds))
    }

    var isOverdue: Bool { deadline.map { $0 <= now } ?? false }

    /// An init container whose failure is the failure of the pod.
    var failedInit: Container? {
        guard pod.restartPolicy == .never, observed.running.allSatisfy({ isSidecar($0.name) }) else { return nil }
        return pod.initContainers.lazy.filter { !$0.isSidecar }.compactMap { observed.latest($0.name) }
            .first { $0.state == .exited && $0.exitCode != 0 }
    }

    private func isSidecar(_ name: String) -> Bool { pod.container(name)?.isSidecar ?? false }

    private func restarts(_ container: Container) -> Bool {
        switch pod.restartPolicy {
        case .always: true
        case .onFailure: container.exitCode != 0
        case .never: false
        }
    }

    private func finish() -> [PodAction] {
        let running = observed.running.map { container in
            PodAction.stop(id: container.id, container: container.name, reason: "The pod has finished")
        }
        guard running.isEmpty else { return running }
        return observed.sandboxes.filter(\.isReady).map { .stopSandbox(id: $0.id) }
    }

    // MARK: - The sandbox

    private func replaceSandbox() -> [PodAction] {
        let stops = observed.running.map { container in
            PodAction.stop(id: container.id, container: container.name, reason: "Its sandbox is gone")
        }
        guard stops.isEmpty else { return stops }
        if let time = memory.setupRetry, time > now { return [.wait(until: time)] }
        let attempt = (observed.sandboxes.map(\.attempt).max() ?? -1) + 1
        return [.createSandbox(attempt: attempt)]
    }

    // MARK: - Containers

    /// Runs the init containers one after the other; afterwards only sidecars are looked after.
    private func initialize(_ stopping: Set<String>) -> (actions: [PodAction], isInitialized: Bool) {
        let hasStartedMain = pod.mainContainers.contains { observed.latestInSandbox($0.name) != nil }
        var actions: [PodAction] = []
        for definition in pod.initContainers {
            let last = observed.latestInSandbox(definition.name)
            if definition.isSidecar {
                actions += next(for: definition, last, stopping)
                let isUp = last.map { memory.isStarted($0, definition) } ?? false
                if !isUp, !hasStartedMain { return (actions, false) }
            } else if !hasStartedMain, last?.state != .exited || last?.exitCode != 0 {
                return (actions + next(for: definition, last, stopping), false)
            }
        }
        return (actions, true)
    }

    /// What to do for one container whose last run is `last`.
    private func next(for definition: ContainerDefinition, _ last: Container?, _ stopping: Set<String>) -> [PodAction] {
        let attempt = observed.latest(definition.name).map { $0.attempt + 1 } ?? 0
        guard let last else { return start(definition, attempt: attempt, failedAt: nil) }
        guard !stopping.contains(last.id) else { return [] }
        switch last.state {
        case .running: return []
        case .created:
            return [.removeContainer(id: last.id), .start(container: definition.name, attempt: last.attempt)]
        case .unknown: return [.stop(id: last.id, container: definition.name, reason: "Its state is unknown")]
        case .exited:
            let isWanted = definition.isSidecar || restarts(last) || (definition.isInit && last.exitCode != 0)
            return isWanted ? start(definition, attempt: attempt, failedAt: last.finishedAt ?? last.createdAt) : []
        }
    }

    private func start(_ definition: ContainerDefinition, attempt: Int, failedAt: Timestamp?) -> [PodAction] {
        let restart = failedAt.flatMap { memory.restarts.nextTry(definition.name, after: $0, now: now) }
        let retry = memory.retries[definition.name].flatMap { $0 > now ? $0 : nil }
        let pull = memory.failedPulls[definition.image].flatMap {
            memory.pulls.nextTry(definition.image, after: $0, now: now)
        }
        if let time = [restart, retry, pull].compactMap({ $0 }).max() { return [.wait(until: time)] }
        return [.start(container: definition.name, attempt: attempt)]
    }

    private func stopUnhealthy() -> [PodAction] {
        observed.running.compactMap { container in
            memory.unhealthy[container.id].map { .stop(id: container.id, container: container.name, reason: $0) }
        }
    }

    /// Containers whose image was changed in the specification.
    private func stopOutdated() -> [PodAction] {
        observed.running.compactMap { container in
            guard memory.unhealthy[container.id] == nil, let definition = pod.container(container.name),
                let hash = container.annotations[Annotation.hash], hash != definition.hash
            else { return nil }
            return .stop(
                id: container.id,
                container: container.name,
                reason: "Container \(container.name) definition changed, will be restarted"
            )
        }
    }

    /// Containers that the specification does not know, and those left in former sandboxes.
    private func stopStrangers() -> [PodAction] {
        observed.running.compactMap { container in
            let isKnown = pod.container(container.name) != nil
            let isHome = observed.currentSandbox.map { $0.id == container.sandboxID } ?? true
            guard !isKnown || !isHome else { return nil }
            return .stop(id: container.id, container: container.name, reason: "It does not belong to the pod")
        }
    }

    // MARK: - What is left over

    /// Removes old runs, and sandboxes that hold none that is kept.
    private func remains(except current: String? = nil) -> [PodAction] {
        var kept: Set<String> = []
        var actions: [PodAction] = []
        for (_, runs) in Dictionary(grouping: observed.containers, by: \.name) {
            kept.formUnion(runs.prefix(Self.keptRuns).map(\.sandboxID))
            actions += runs.dropFirst(Self.keptRuns).filter { $0.state == .exited }.map { .removeContainer(id: $0.id) }
        }
        let newest = observed.sandboxes.first?.id
        let empty = observed.sandboxes.filter { sandbox in
            !sandbox.isReady && sandbox.id != newest && sandbox.id != current && !kept.contains(sandbox.id)
        }
        return actions.sorted { "\($0)" < "\($1)" } + empty.map { .removeSandbox(id: $0.id) }
    }
}

extension PodAction {
    fileprivate var stoppedID: String? {
        if case .stop(let id, _, _) = self { id } else { nil }
    }
}
