import Synchronization

/// Lets builds of one store run side by side, and tends the store when none of them does: before the first build after the start, after
/// a build that was killed, and once an hour.
final class StoreGate: Sendable {
    static let interval = Duration.seconds(3600)

    private struct Store {
        var users = 0
        var isTending = false
        var tendedAt: ContinuousClock.Instant?
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private enum Decision { case go, tend, wait }

    private let stores = Mutex<[String: Store]>([:])

    /// Does `work` on the store. What else wants the store waits while `tend` runs, which must bound its time.
    func use<Value>(
        _ store: String,
        tend: () async -> Void,
        _ work: () async throws -> Value
    ) async throws -> Value {
        await enter(store, tend)
        do {
            let value = try await work()
            leave(store, isKilled: false)
            return value
        } catch {
            leave(store, isKilled: true)
            throw error
        }
    }

    // MARK: - Private

    private func enter(_ store: String, _ tend: () async -> Void) async {
        while true {
            switch decide(store) {
            case .go: return
            case .wait: await waitUntilTended(store)
            case .tend:
                await tend()
                let waiting = stores.withLock { stores in
                    defer { stores[store]?.waiting = [] }
                    stores[store]?.isTending = false
                    stores[store]?.tendedAt = .now
                    return stores[store]?.waiting ?? []
                }
                for waiter in waiting { waiter.resume() }
                return
            }
        }
    }

    private func decide(_ name: String) -> Decision {
        stores.withLock { stores in
            var store = stores[name] ?? Store()
            defer { stores[name] = store }
            guard !store.isTending else { return .wait }
            store.users += 1
            let isDue = store.tendedAt.map { .now - $0 > Self.interval } ?? true
            guard store.users == 1, isDue else { return .go }
            store.isTending = true
            return .tend
        }
    }

    private func waitUntilTended(_ store: String) async {
        await withCheckedContinuation { continuation in
            let isTending = stores.withLock { stores in
                guard stores[store]?.isTending == true else { return false }
                stores[store]?.waiting.append(continuation)
                return true
            }
            if !isTending { continuation.resume() }
        }
    }

    private func leave(_ store: String, isKilled: Bool) {
        stores.withLock { stores in
            stores[store]?.users -= 1
            if isKilled { stores[store]?.tendedAt = nil }
        }
    }
}
