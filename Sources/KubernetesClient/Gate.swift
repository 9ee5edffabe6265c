import Synchronization

/// Holds back whoever waits until it is opened, once and for all.
package final class Gate: Sendable {
    private enum State {
        case closed(waiting: [Int: CheckedContinuation<Void, any Error>], nextID: Int)
        case open
    }

    private let state = Mutex(State.closed(waiting: [:], nextID: 0))

    package init() {}

    package var isOpen: Bool {
        state.withLock { state in
            if case .open = state { true } else { false }
        }
    }

    package func open() {
        let waiting = state.withLock { state -> [CheckedContinuation<Void, any Error>] in
            guard case .closed(let waiting, _) = state else { return [] }
            state = .open
            return Array(waiting.values)
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Returns once the gate is open; throws `CancellationError` when the task is cancelled before.
    package func wait() async throws {
        let id = state.withLock { state -> Int? in
            guard case .closed(let waiting, let id) = state else { return nil }
            state = .closed(waiting: waiting, nextID: id + 1)
            return id
        }
        guard let id else { return }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { enter($0, id: id) }
        } onCancel: {
            leave(id)
        }
    }

    // MARK: - Private

    private func enter(_ continuation: CheckedContinuation<Void, any Error>, id: Int) {
        let isOpen = state.withLock { state -> Bool in
            guard case .closed(var waiting, let next) = state else { return true }
            waiting[id] = continuation
            state = .closed(waiting: waiting, nextID: next)
            return false
        }
        if isOpen { continuation.resume() }
        // The cancellation may have come before there was anything to leave.
        if Task.isCancelled { leave(id) }
    }

    private func leave(_ id: Int) {
        let continuation = state.withLock { state -> CheckedContinuation<Void, any Error>? in
            guard case .closed(var waiting, let next) = state else { return nil }
            let continuation = waiting.removeValue(forKey: id)
            state = .closed(waiting: waiting, nextID: next)
            return continuation
        }
        continuation?.resume(throwing: CancellationError())
    }
}
