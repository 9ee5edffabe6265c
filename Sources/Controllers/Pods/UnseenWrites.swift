import KubernetesClient
import KubernetesModel
import Logging
import Synchronization

/// Remembers the pods that a controller made or deleted until its informer shows that, so that a reader of the informer neither makes a
/// pod twice nor deletes a second one for the same reason.
///
/// Names are chosen before the request is sent; so the informer can be quicker than the answer without harm.
final class UnseenWrites: Sendable {
    fileprivate struct State {
        /// Names of pods on their way, with the time when they were sent.
        var creations: [String: [ObjectKey: ContinuousClock.Instant]] = [:]
        var deletions: Set<String> = []
    }

    private let state = Mutex(State())

    /// Follows `pods` from now on.
    init(_ pods: Informer) {
        pods.onChange { [weak self] old, new in self?.see(old: old, new: new) }
    }

    /// The pods of `owner` that the informer does not show yet.
    func creations(of owner: String) -> Int {
        state.withLock { $0.creations[owner]?.count ?? 0 }
    }

    /// The pod is being deleted although the informer does not show it yet.
    func isDeleted(_ pod: PodView) -> Bool {
        state.withLock { $0.deletions.contains(pod.uid) }
    }

    func willCreate(_ key: ObjectKey, of owner: String) {
        state.withLock { $0.creations[owner, default: [:]][key] = .now }
    }

    func didNotCreate(_ key: ObjectKey, of owner: String) {
        state.withLock { $0.dropCreation(key, of: owner) }
    }

    func willDelete(_ pod: PodView) {
        state.withLock { _ = $0.deletions.insert(pod.uid) }
    }

    func didNotDelete(_ pod: PodView) {
        state.withLock { _ = $0.deletions.remove(pod.uid) }
    }

    /// The pods of `owner` that should have been seen long ago: they may have come and gone while the watch was broken.
    func overdueCreations(of owner: String) -> [ObjectKey] {
        state.withLock { state in
            (state.creations[owner] ?? [:]).filter { $0.value.duration(to: .now) > .seconds(5) }.map(\.key)
        }
    }

    // MARK: - Private

    private func see(old: JSON?, new: JSON?) {
        guard let object = new ?? old else { return }
        let pod = PodView(object)
        state.withLock { state in
            if new == nil || pod.isBeingDeleted { state.deletions.remove(pod.uid) }
            if let owner = pod.controllerReference { state.dropCreation(pod.key, of: owner.uid) }
        }
    }
}

extension UnseenWrites.State {
    fileprivate mutating func dropCreation(_ key: ObjectKey, of owner: String) {
        creations[owner]?[key] = nil
        if creations[owner]?.isEmpty == true { creations[owner] = nil }
    }
}
