import KubernetesClient
import KubernetesModel
import Synchronization

/// The newest state of one pod, for any number of tasks that wait for it to become something.
final class PodBox: Sendable {
    enum State: Sendable {
        case unknown
        case pod(JSON)
        case gone
    }

    private struct Storage {
        var state = State.unknown
        var listeners: [Int: AsyncStream<State>.Continuation] = [:]
        var nextID = 0
    }

    private let storage = Mutex(Storage())

    var isGone: Bool {
        storage.withLock { if case .gone = $0.state { true } else { false } }
    }

    var current: JobPodStatus? {
        get async { storage.withLock { if case .pod(let pod) = $0.state { JobPodStatus(pod) } else { nil } } }
    }

    func set(_ state: State) {
        storage.withLock { storage in
            storage.state = state
            for listener in storage.listeners.values { listener.yield(state) }
        }
    }

    func receive(_ event: WatchEvent, name: String) {
        switch event {
        case .added(let pod) where AnyObjectView(pod).name == name,
            .modified(let pod) where AnyObjectView(pod).name == name:
            set(.pod(pod))
        case .deleted(let pod) where AnyObjectView(pod).name == name:
            set(.gone)
        default: break
        }
    }

    /// The first status, from now on, that `condition` holds for; `nil` when the pod goes away or the task is cancelled.
    func first(where condition: @Sendable (JobPodStatus) -> Bool) async -> JobPodStatus? {
        for await state in states() {
            switch state {
            case .unknown: continue
            case .gone: return nil
            case .pod(let pod):
                let status = JobPodStatus(pod)
                if condition(status) { return status }
            }
        }
        return nil
    }

    /// The state now and after each change; of changes that come faster than they are read, the newest.
    private func states() -> AsyncStream<State> {
        let (stream, continuation) = AsyncStream.makeStream(of: State.self, bufferingPolicy: .bufferingNewest(1))
        let id = storage.withLock { storage in
            storage.nextID += 1
            storage.listeners[storage.nextID] = continuation
            continuation.yield(storage.state)
            return storage.nextID
        }
        continuation.onTermination = { [weak self] _ in
            _ = self?.storage.withLock { $0.listeners.removeValue(forKey: id) }
        }
        return stream
    }
}
