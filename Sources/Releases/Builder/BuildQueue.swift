import Synchronization

/// Lets a bounded number of builds run at once, in the order in which they came.
final class BuildQueue: Sendable {
    /// As many may wait; more are refused.
    static let waitLimit = 100

    private struct Waiter {
        var id: Int
        var continuation: CheckedContinuation<Bool, Never>
        var moved: @Sendable (Int) -> Void
    }

    private struct State {
        var running = 0
        var waiting: [Waiter] = []
        var nextID = 0
        /// Those whose task was cancelled before they began to wait.
        var cancelled: Set<Int> = []
    }

    private let limit: Int
    private let state = Mutex(State())

    init(limit: Int) {
        precondition(limit > 0, "At least one build must be able to run.")
        self.limit = limit
    }

    /// Runs `work` when it is its turn; `moved` hears the place in the line, 1 being next, whenever it changes.
    func run<Value>(moved: @escaping @Sendable (Int) -> Void, _ work: () async throws -> Value) async throws -> Value {
        try await enter(moved)
        defer { leave() }
        return try await work()
    }

    // MARK: - Private

    private func enter(_ moved: @escaping @Sendable (Int) -> Void) async throws {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        let isAdmitted = await withTaskCancellationHandler {
            await withCheckedContinuation { wait(Waiter(id: id, continuation: $0, moved: moved)) }
        } onCancel: {
            cancel(id)
        }
        guard isAdmitted else {
            try Task.checkCancellation()
            throw ReleaseError("\(Self.waitLimit) builds are waiting already; try again later")
        }
    }

    private func wait(_ waiter: Waiter) {
        enum Decision { case admit, refuse, wait(place: Int) }
        let decision: Decision = state.withLock { state in
            if state.cancelled.remove(waiter.id) != nil { return .refuse }
            if state.running < limit {
                state.running += 1
                return .admit
            }
            guard state.waiting.count < Self.waitLimit else { return .refuse }
            state.waiting.append(waiter)
            return .wait(place: state.waiting.count)
        }
        switch decision {
        case .admit: waiter.continuation.resume(returning: true)
        case .refuse: waiter.continuation.resume(returning: false)
        case .wait(let place): waiter.moved(place)
        }
    }

    private func leave() {
        let (next, others) = state.withLock { state -> (Waiter?, [Waiter]) in
            guard !state.waiting.isEmpty else {
                state.running -= 1
                return (nil, [])
            }
            return (state.waiting.removeFirst(), state.waiting)
        }
        next?.continuation.resume(returning: true)
        for (index, waiter) in others.enumerated() { waiter.moved(index + 1) }
    }

    private func cancel(_ id: Int) {
        let waiter = state.withLock { state -> Waiter? in
            guard let index = state.waiting.firstIndex(where: { $0.id == id }) else {
                state.cancelled.insert(id)
                return nil
            }
            return state.waiting.remove(at: index)
        }
        waiter?.continuation.resume(returning: false)
    }
}
