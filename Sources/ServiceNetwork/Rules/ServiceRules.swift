package import KubernetesClient
import KubernetesModel
package import Logging
import ServiceLifecycle
import Synchronization

/// Keeps the kernel's rules equal to the services and endpoints of the cluster.
///
/// Changes are gathered for a few milliseconds and applied as one transaction, only when the rules differ. Open connections are never
/// touched: the kernel remembers where each leads.
package final class ServiceRules: Service {
    /// How long the only endpoint of a service may be kept after its withdrawal, while its successor's address is on the way here.
    package static let successorGrace = Duration.seconds(2)

    private let configuration: NetworkConfiguration
    private let services: Informer
    private let slices: Informer
    private let apply: @Sendable (String) async throws -> Void
    private let logger: Logger
    private let state = Mutex(State())
    private let changes: AsyncStream<Void>
    private let changed: AsyncStream<Void>.Continuation

    private struct State {
        var withdrawals: [IPv4Address: ContinuousClock.Instant] = [:]
        /// Pods that are mentioned in no slice any more may reuse the address.
        var applied: ServiceTable?
        var waiters: [UInt64: Waiter] = [:]
        var nextWaiter: UInt64 = 0
    }

    private struct Waiter {
        let address: IPv4Address
        let continuation: CheckedContinuation<Void, Never>
    }

    package convenience init(configuration: NetworkConfiguration, services: Informer, slices: Informer, logger: Logger)
    {
        self.init(configuration: configuration, services: services, slices: slices, logger: logger) { text in
            try await NetworkCommand.run("nft", ["-f", "-"], input: text)
        }
    }

    init(
        configuration: NetworkConfiguration,
        services: Informer,
        slices: Informer,
        logger: Logger,
        apply: @escaping @Sendable (String) async throws -> Void
    ) {
        self.configuration = configuration
        self.services = services
        self.slices = slices
        self.logger = logger
        self.apply = apply
        (changes, changed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        for informer in [services, slices] { informer.onChange { [changed] _, _ in changed.yield() } }
    }

    package func run() async throws {
        try? await cancelWhenGracefulShutdown {
            try await self.services.waitUntilSynced()
            try await self.slices.waitUntilSynced()
            try await self.applyChangesForever()
        }
    }

    /// Takes `address` out of all services and returns once the kernel's rules lead no new connection there, or when the calling task is
    /// cancelled.
    package func withdraw(_ address: IPv4Address) async {
        state.withLock { $0.withdrawals[address] = .now }
        changed.yield()
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                state.withLock { $0.waiters[id] = Waiter(address: address, continuation: continuation) }
                changed.yield()
                if Task.isCancelled { resume(id) }
            }
        } onCancel: {
            resume(id)
        }
    }

    // MARK: - Private

    private func resume(_ id: UInt64) {
        state.withLock { $0.waiters.removeValue(forKey: id) }?.continuation.resume()
    }

    private func applyChangesForever() async throws {
        changed.yield()
        for await _ in changes {
            try await Task.sleep(for: .milliseconds(3))
            await applyOnce()
        }
    }

    private func applyOnce() async {
        let table = currentTable(now: .now)
        do {
            if state.withLock({ $0.applied }) != table {
                try await apply(NftablesRuleset(table, configuration: configuration).text)
                logger.debug("applied service rules", metadata: ["ports": "\(table.ports.count)"])
            }
            finishApplying(table)
        } catch {
            logger.error("cannot apply service rules; trying again", metadata: ["error": "\(error)"])
            retry(after: .seconds(1))
        }
    }

    private func finishApplying(_ table: ServiceTable) {
        let used = Set(table.ports.flatMap { $0.endpoints.map(\.address) })
        let (done, isWaiting) = state.withLock { state -> ([Waiter], Bool) in
            state.applied = table
            let done = state.waiters.filter { !used.contains($0.value.address) }
            for id in done.keys { state.waiters.removeValue(forKey: id) }
            return (Array(done.values), !state.waiters.isEmpty)
        }
        for waiter in done { waiter.continuation.resume() }
        // A last endpoint leaves when its grace is over, which no event announces.
        if isWaiting { retry(after: .milliseconds(50)) }
    }

    private func retry(after delay: Duration) {
        let changed = changed
        // A timer, not work: it has nothing to wait for and nothing to clean up.
        Task {
            try? await Task.sleep(for: delay)
            changed.yield()
        }
    }

    private func currentTable(now: ContinuousClock.Instant) -> ServiceTable {
        let slices = slices.snapshot()
        let known = Set(
            slices.map(EndpointSliceView.init).flatMap(\.endpoints).flatMap(\.addresses).compactMap { IPv4Address($0) }
        )
        let withdrawals = state.withLock { state in
            state.withdrawals = state.withdrawals.filter { known.contains($0.key) }
            return state.withdrawals
        }
        return ServiceTable(
            services: services.snapshot(),
            slices: slices,
            withdrawn: withdrawals.mapValues { now - $0 < Self.successorGrace ? .unlessLast : .always }
        )
    }
}
