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
        var listeners: [Int: AsyncStream<Void>.Continuation] = [:]
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
        let listeners = storage.withLock { storage in
            storage.state = state
            return Array(storage.listeners.values)
        }
        // Outside of the lock: a listener that is cancelled takes it while it holds what waking it up needs.
        for listener in listeners { listener.yield() }
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
        for await _ in changes() {
            switch storage.withLock(\.state) {
            case .unknown: continue
            case .gone: return nil
            case .pod(let pod):
                let status = JobPodStatus(pod)
                if condition(status) { return status }
            }
        }
        return nil
    }

    /// Wakes up at once and after each change; changes that come faster than they are read are one.
    private func changes() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let id = storage.withLock { storage in
            storage.nextID += 1
            storage.listeners[storage.nextID] = continuation
            return storage.nextID
        }
        continuation.onTermination = { [weak self] _ in
            _ = self?.storage.withLock { $0.listeners.removeValue(forKey: id) }
        }
        continuation.yield()
        return stream
    }
}
