import CLinux
import Logging
import ServiceLifecycle
import Synchronization

/// Brings what the cluster wants and what is withdrawn to the workers, and answers withdrawals when nothing is in flight any more.
final class TablePublisher: Service {
    private let plane: DataPlane
    private let logger: Logger
    private let state: Mutex<State>
    private let changes: AsyncStream<Void>
    private let changed: AsyncStream<Void>.Continuation

    private struct State {
        var plan: AvailabilityPlan
        var published = RouteTable()
        var nextChange: UInt64?
        var hasTable = false
        var isCurrent = false
        var problems: [String] = []
        var waiters: [Int: Waiter] = [:]
        var nextWaiter = 0
        var isStopping = false
    }

    /// Waits until no published table names an address.
    private struct Waiter {
        var address: String
        var end: AsyncStream<Void>.Continuation
    }

    init(plane: DataPlane, grace: UInt64 = 2000, logger: Logger) {
        self.plane = plane
        self.logger = logger
        state = Mutex(State(plan: AvailabilityPlan(grace: grace)))
        (changes, changed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// A table was given at least once: what is answered from now on is meant.
    var hasTable: Bool { state.withLock(\.hasTable) }

    /// What a successor must know although the cluster may not say it yet.
    var withdrawals: [HandOverLetter.Withdrawal] { state.withLock { $0.plan.standing } }

    func adopt(_ withdrawals: [HandOverLetter.Withdrawal]) {
        state.withLock { state in
            for withdrawal in withdrawals {
                state.plan.withdraw(withdrawal.address, uid: withdrawal.uid, now: Self.now)
            }
            publish(&state)
        }
    }

    /// The table in force comes from the cluster itself, not from a snapshot.
    var isCurrent: Bool { state.withLock(\.isCurrent) }

    func becomeCurrent() { state.withLock { $0.isCurrent = true } }

    /// Ports that the table in force asks for and that cannot be opened.
    var unavailablePorts: Set<Int> { plane.unavailablePorts }

    /// The gateway accepts no more: it is no longer ready, whatever its table.
    var isStopping: Bool {
        get { state.withLock(\.isStopping) }
        set { state.withLock { $0.isStopping = newValue } }
    }

    /// The table in force.
    var table: RouteTable { state.withLock(\.published) }

    func apply(_ table: RouteTable) {
        state.withLock { state in
            state.hasTable = true
            state.plan.change(to: table, now: Self.now)
            publish(&state)
        }
    }

    /// Whether news of the cluster can arrive; `true` where there is none to hear. See ``AvailabilityPlan``.
    func hear(cluster: Bool) {
        state.withLock { state in
            state.plan.hear(cluster: cluster, now: Self.now)
            publish(&state)
        }
    }

    /// Takes the pod at `address` out of use and waits until nothing is in flight there.
    /// - Returns: the number of requests still in flight at the deadline; zero means drained.
    func withdraw(_ address: String, uid: String = "", within deadline: Duration) async -> Int {
        let start = ContinuousClock.now
        logger.info("Withdrawing", metadata: ["address": "\(address)"])
        let (published, end) = AsyncStream<Void>.makeStream()
        let id = state.withLock { state in
            state.nextWaiter += 1
            state.waiters[state.nextWaiter] = Waiter(address: address, end: end)
            state.plan.withdraw(address, uid: uid, now: Self.now)
            publish(&state)
            return state.nextWaiter
        }
        await wait(for: published, within: deadline)
        state.withLock { $0.waiters[id] = nil }
        let left = max(.zero, deadline - (ContinuousClock.now - start))
        let inFlight = await plane.drained(address, within: left)
        logger.info("Withdrawn", metadata: ["address": "\(address)", "inFlight": "\(inFlight)"])
        return inFlight
    }

    /// Asks the plan again whenever it wants to be asked.
    func run() async {
        await cancelWhenGracefulShutdown {
            for await _ in self.changes {
                while !Task.isCancelled, let next = self.state.withLock(\.nextChange) {
                    let now = Self.now
                    if next > now { try? await Task.sleep(for: .milliseconds(next - now)) }
                    self.state.withLock { self.publish(&$0) }
                }
            }
        }
    }

    // MARK: - Private

    private static var now: UInt64 { clinux_monotonic() / 1_000_000 }

    private func publish(_ state: inout State) {
        let outcome = state.plan.outcome(now: Self.now)
        state.nextChange = outcome.nextChange
        if outcome.nextChange != nil { changed.yield() }
        if outcome.table != state.published {
            state.published = outcome.table
            let generation = plane.publish(outcome.table)
            logger.debug("Published a route table", metadata: ["generation": "\(generation)"])
            let problems = plane.problems
            if problems != state.problems {
                for problem in problems { logger.error("A listener is not served", metadata: ["error": "\(problem)"]) }
                state.problems = problems
            }
        }
        let named = Set(outcome.table.backends.flatMap(\.endpoints).map(\.address))
        for (id, waiter) in state.waiters where !named.contains(waiter.address) {
            waiter.end.finish()
            state.waiters[id] = nil
        }
    }

    private func wait(for end: AsyncStream<Void>, within deadline: Duration) async {
        await withTaskGroup { group in
            group.addTask { for await _ in end {} }
            group.addTask { try? await Task.sleep(for: deadline) }
            await group.next()
            group.cancelAll()
        }
    }
}
