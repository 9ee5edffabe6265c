import Foundation
import KubernetesClient
import KubernetesModel
import Logging
import Synchronization

/// Looks after one pod from its appearance until nothing of it is left.
///
/// All work on the runtime is done by ``run()``, one step at a time; the other methods may be called from anywhere and only wake it.
/// Every round observes, publishes what it sees, plans, and acts; so a round that failed or was cut short is simply followed by another.
final class PodWorker: Sendable {
    struct State: Sendable {
        var pod: Pod
        var observed = PodObservation()
        var memory: PodMemory
        /// The status as last written.
        var published: JSON?
        /// Containers that the runtime said have exited, until it shows them so: the two may come in either order.
        var exited: Set<String> = []
        /// Containers whose probes run.
        var probed: Set<String> = []
        var nextWake: Timestamp?
        var setupFailures = 0
        /// The sandbox for which the files of the pod were written.
        var preparedSandbox: String?
        var volumes: PodVolumes
        var preparedVolumes: [String: PodVolumes.Prepared] = [:]
        var volumesRefreshedAt: Timestamp
    }

    let uid: String
    let context: NodeContext
    let state: Mutex<State>
    let logger: Logger
    /// The pod must stop.
    let termination = Latch()
    /// The pod must stop without any grace.
    let kill = Latch()
    private let wakeUps: AsyncStream<Void>
    private let wakeUp: AsyncStream<Void>.Continuation

    init(_ pod: Pod, _ context: NodeContext) {
        uid = pod.uid
        self.context = context
        var logger = context.logger
        logger[metadataKey: "pod"] = "\(pod.key)"
        self.logger = logger
        let directory = context.configuration.podDirectory(pod.uid)
        state = Mutex(
            State(
                pod: pod,
                memory: PodMemory(adopting: pod),
                volumes: PodVolumes(client: context.client, podDirectory: directory),
                volumesRefreshedAt: context.now()
            )
        )
        (wakeUps, wakeUp) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        wakeUp.yield()
        if pod.isBeingDeleted { podIsBeingDeleted(pod) }
    }

    var pod: Pod { state.withLock { $0.pod } }
    var observed: PodObservation { state.withLock { $0.observed } }
    var memory: PodMemory { state.withLock { $0.memory } }

    // MARK: - Told from outside

    func wake() { wakeUp.yield() }

    func update(_ pod: Pod) {
        state.withLock { $0.pod = pod }
        if pod.isBeingDeleted { podIsBeingDeleted(pod) }
        wake()
    }

    /// The object is no longer there: whatever runs has no grace.
    func podIsGone() {
        state.withLock { state in
            if !state.pod.isBeingDeleted {
                state.pod.json["metadata", "deletionTimestamp"] = .string(context.now().description)
            }
            state.pod.json["metadata", "deletionGracePeriodSeconds"] = 0
        }
        termination.open()
        kill.open()
        wake()
    }

    func containerExited(_ id: String) {
        state.withLock { _ = $0.exited.insert(id) }
        wake()
    }

    func containerRanOutOfMemory(_ id: String) {
        state.withLock { _ = $0.memory.outOfMemory.insert(id) }
        wake()
    }

    func podIsBeingDeleted(_ pod: Pod) {
        termination.open()
        if pod.gracePeriod == .zero { kill.open() }
    }

    // MARK: - Rounds

    /// Returns when the pod is gone, or when the task is cancelled; then everything keeps running.
    func run() async {
        await withDiscardingTaskGroup { group in
            for await _ in wakeUps {
                let isDone = await round(&group)
                if isDone || Task.isCancelled { break }
            }
            group.cancelAll()
        }
    }

    /// One wake-up's work; answers `true` when nothing of the pod is left.
    private func round(_ group: inout DiscardingTaskGroup) async -> Bool {
        do {
            if termination.isOpen {
                try await terminate()
                return true
            }
            try await converge(&group)
        } catch is CancellationError {
            return false
        } catch {
            logger.warning("Pod could not be brought up to date", metadata: ["error": "\(error)"])
            wake(at: context.now().adding(seconds: 1), &group)
        }
        return false
    }

    /// Observes, publishes, plans and acts until there is nothing more to do now.
    private func converge(_ group: inout DiscardingTaskGroup) async throws {
        // Bounds one wake-up; what is left is done after the next.
        for _ in 0..<32 where !termination.isOpen {
            try await observe()
            startProbes(&group)
            await publishStatus()
            let actions = plan()
            for case .wait(let time) in actions { wake(at: time, &group) }
            let steps = actions.filter { if case .wait = $0 { false } else { true } }
            guard !steps.isEmpty else { break }
            try await perform(steps)
        }
        if state.withLock({ !$0.exited.isEmpty }) { wake(at: context.now().adding(milliseconds: 20), &group) }
        await refreshVolumes()
    }

    private func plan() -> [PodAction] {
        let now = context.now()
        return state.withLock { state in
            PodPlan(pod: state.pod, observed: state.observed, memory: state.memory, now: now).actions()
        }
    }

    private func perform(_ actions: [PodAction]) async throws {
        for action in actions where !termination.isOpen {
            guard try await perform(action) else { return }
        }
    }

    /// Answers `false` when the following steps make no sense any more.
    private func perform(_ action: PodAction) async throws -> Bool {
        switch action {
        case .createSandbox(let attempt): return await createSandbox(attempt: attempt)
        case .start(let name, let attempt): return try await start(name, attempt: attempt)
        case .stop(let id, let name, let reason):
            _ = try await kill.unlessOpened { try await self.stop(id, name, reason: reason) }
        case .removeContainer(let id): try await context.runtime.removeContainer(id)
        case .stopSandbox(let id): try await context.runtime.stopSandbox(id)
        case .removeSandbox(let id): try await context.runtime.removeSandbox(id)
        case .wait: break
        }
        return true
    }

    /// Wakes the worker at `time`, unless it is woken earlier anyway.
    private func wake(at time: Timestamp, _ group: inout DiscardingTaskGroup) {
        let now = context.now()
        let isNeeded = state.withLock { state in
            if let next = state.nextWake, next > now, next <= time { return false }
            state.nextWake = time
            return true
        }
        guard isNeeded else { return }
        let delay = max(.milliseconds(1), time.duration(since: now))
        group.addTask {
            try? await Task.sleep(for: delay)
            self.wake()
        }
    }

    // MARK: - Observation

    func observe() async throws {
        async let sandboxes = context.runtime.sandboxes(podUID: uid)
        async let containers = context.runtime.containers(podUID: uid)
        let observed = PodObservation(sandboxes: try await sandboxes, containers: try await containers)
        take(observed.addingTerminationMessages(in: context.configuration.podDirectory(uid)))
    }

    private func take(_ observed: PodObservation) {
        context.claim(observed.sandboxes.map(\.id) + observed.containers.map(\.id), for: uid)
        state.withLock { state in
            state.observed = observed
            if let sandbox = observed.currentSandbox { state.memory.addresses = sandbox.addresses }
            let running = Set(observed.running.map(\.id))
            let ready = Set(observed.sandboxes.filter(\.isReady).map(\.id))
            state.exited.formIntersection(running.union(ready))
            state.memory.unhealthy = state.memory.unhealthy.filter { running.contains($0.key) }
            for container in observed.running { state.memory.waiting[container.name] = nil }
        }
    }

    // MARK: - Volumes

    /// Brings files of ConfigMaps, Secrets and tokens up to date, about every 30 seconds.
    private func refreshVolumes() async {
        let now = context.now()
        let (prepared, facts, isDue) = state.withLock { state in
            let isDue = state.preparedSandbox != nil && now.seconds - state.volumesRefreshedAt.seconds >= 30
            if isDue { state.volumesRefreshedAt = now }
            return (state.volumes, context.facts(about: state.pod, addresses: state.memory.addresses), isDue)
        }
        guard isDue, !facts.pod.isFinished else { return }
        var volumes = prepared
        do {
            try await volumes.refresh(facts)
            let refreshed = volumes
            state.withLock { $0.volumes = refreshed }
        } catch {
            context.events.record(.warning, facts.pod.json, reason: "FailedMount", "\(error)")
        }
    }
}

extension Timestamp {
    func adding(seconds: Int64) -> Timestamp { Timestamp(seconds: self.seconds + seconds, nanoseconds: nanoseconds) }

    func adding(milliseconds: Int64) -> Timestamp {
        let sum = Int64(nanoseconds) + milliseconds * 1_000_000
        return Timestamp(seconds: seconds + sum / 1_000_000_000, nanoseconds: Int32(sum % 1_000_000_000))
    }

    func duration(since earlier: Timestamp) -> Duration {
        .seconds(seconds - earlier.seconds) + .nanoseconds(Int64(nanoseconds) - Int64(earlier.nanoseconds))
    }
}
