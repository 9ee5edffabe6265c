import Synchronization

/// Opens once and stays open.
final class Latch: Sendable {
    private enum State {
        case closed(waiting: [Int: CheckedContinuation<Void, Never>], next: Int)
        case open
    }

    private let state = Mutex(State.closed(waiting: [:], next: 0))

    var isOpen: Bool {
        state.withLock { if case .open = $0 { true } else { false } }
    }

    func open() {
        let waiting = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            guard case .closed(let waiting, _) = state else { return [] }
            state = .open
            return Array(waiting.values)
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Returns when the latch is open or the task is cancelled.
    func wait() async {
        let id = state.withLock { state -> Int? in
            guard case .closed(let waiting, let next) = state else { return nil }
            state = .closed(waiting: waiting, next: next + 1)
            return next
        }
        guard let id else { return }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if !enlist(id, continuation) { continuation.resume() }
            }
        } onCancel: {
            dismiss(id)?.resume()
        }
    }

    /// What `body` answers, or `nil` when the latch opens first; `body` is cancelled then.
    func unlessOpened<Value: Sendable>(
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value? {
        try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                await self.wait()
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
    }

    // MARK: - Private

    private func enlist(_ id: Int, _ continuation: CheckedContinuation<Void, Never>) -> Bool {
        state.withLock { state in
            guard !Task.isCancelled, case .closed(var waiting, let next) = state else { return false }
            waiting[id] = continuation
            state = .closed(waiting: waiting, next: next)
            return true
        }
    }

    private func dismiss(_ id: Int) -> CheckedContinuation<Void, Never>? {
        state.withLock { state in
            guard case .closed(var waiting, let next) = state else { return nil }
            let continuation = waiting.removeValue(forKey: id)
            state = .closed(waiting: waiting, next: next)
            return continuation
        }
    }
}
