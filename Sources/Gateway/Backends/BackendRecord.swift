import FlowControl
import Synchronization

/// One backend, as all workers and the control side see it; stays the same from table to table.
///
/// Every change of what is usable counts ``version`` up, so that workers look at the endpoints again only then.
final class BackendRecord: @unchecked Sendable {
    // Safe to share: the version is an atomic whose memory lives as long as the object; the rest is behind a mutex.

    let name: String
    /// Counts up whenever an endpoint's health or ejection changed.
    let version: UnsafeMutablePointer<Atomic<UInt64>>
    private let state: Mutex<State>

    private struct State {
        var policy: BackendPolicy
        var endpoints: [EndpointRecord] = []
        var outliers: OutlierDetection<EndpointRecord.Key>
        var comparedAt: UInt64 = 0
        /// Counters at the last comparison.
        var before: [EndpointRecord.Key: OutlierDetection<EndpointRecord.Key>.Count] = [:]
    }

    init(name: String, policy: BackendPolicy) {
        self.name = name
        let outliers = OutlierDetection<EndpointRecord.Key>(policy.outlierDetection ?? OutlierPolicy())
        state = Mutex(State(policy: policy, outliers: outliers))
        version = .allocate(capacity: 1)
        version.initialize(to: Atomic<UInt64>(0))
    }

    deinit {
        version.deinitialize(count: 1)
        version.deallocate()
    }

    var policy: BackendPolicy { state.withLock(\.policy) }
    var endpoints: [EndpointRecord] { state.withLock(\.endpoints) }

    /// What the table in force says of the backend.
    func change(to policy: BackendPolicy, endpoints: [EndpointRecord]) {
        state.withLock { state in
            state.policy = policy
            state.endpoints = endpoints
            state.outliers.change(to: policy.outlierDetection ?? OutlierPolicy(), endpoints: endpoints.map(\.key))
            let keys = Set(endpoints.map(\.key))
            state.before = state.before.filter { keys.contains($0.key) }
            for endpoint in endpoints {
                if policy.healthCheck == nil { endpoint.words.set(.isUnhealthy, 0) }
                let isEjected = state.outliers.isEjected(endpoint.key) && policy.outlierDetection?.dryRun != true
                if !isEjected { endpoint.words.set(.isEjected, 0) }
            }
        }
        changed()
    }

    // MARK: - Health

    /// Active checks have come to another verdict.
    func setHealth(of endpoint: EndpointRecord, isHealthy: Bool, now: UInt64) {
        if isHealthy { endpoint.words.set(.usableSince, now) }
        endpoint.words.set(.isUnhealthy, isHealthy ? 0 : 1)
        changed()
    }

    // MARK: - Outliers

    /// A worker has seen the endpoint make as many errors in a row as the policy bears.
    func sawErrorsInARow(_ endpoint: EndpointRecord, now: UInt64) {
        endpoint.words.set(.errorRun, 0)
        endpoint.words.set(.gatewayFailureRun, 0)
        state.withLock { state in
            guard state.policy.outlierDetection != nil else { return }
            if state.outliers.sawErrorsInARow(endpoint.key, now: now) { eject(endpoint, state.policy) }
        }
    }

    /// Ends ejections and, once per interval, compares the endpoints' success rates.
    func sweep(now: UInt64) {
        state.withLock { state in
            guard let policy = state.policy.outlierDetection else { return }
            let records = Dictionary(state.endpoints.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
            for key in state.outliers.endEjections(now: now) {
                guard let endpoint = records[key] else { continue }
                endpoint.words.set(.usableSince, now)
                endpoint.words.set(.isEjected, 0)
                changed()
            }
            guard now >= state.comparedAt + UInt64(max(1, policy.interval)) else { return }
            state.comparedAt = now
            for key in compare(&state, records, now: now) { records[key].map { eject($0, state.policy) } }
        }
    }

    /// Whether ``sweep(now:)`` has anything to do.
    var watchesOutliers: Bool { state.withLock { $0.policy.outlierDetection != nil } }

    // MARK: - Private

    private func eject(_ endpoint: EndpointRecord, _ policy: BackendPolicy) {
        guard policy.outlierDetection?.dryRun != true else {
            _ = endpoint.words.increment(.wouldEject)
            return
        }
        endpoint.words.set(.isEjected, 1)
        _ = endpoint.words.increment(.ejections)
        changed()
    }

    private func compare(
        _ state: inout State,
        _ records: [EndpointRecord.Key: EndpointRecord],
        now: UInt64
    ) -> [EndpointRecord.Key] {
        let totals = records.mapValues {
            OutlierDetection<EndpointRecord.Key>.Count(requests: $0.sum(.requests), successes: $0.sum(.successes))
        }
        let counts = totals.map { key, total in
            let before = state.before[key] ?? .init(requests: 0, successes: 0)
            let requests = total.requests &- before.requests
            // Workers count one after the other: what they count meanwhile must not make a rate above one.
            let successes = min(requests, total.successes &- before.successes)
            return (key, OutlierDetection<EndpointRecord.Key>.Count(requests: requests, successes: successes))
        }
        state.before = totals
        return state.outliers.compare(Dictionary(uniqueKeysWithValues: counts), now: now)
    }

    private func changed() { version.pointee.wrappingAdd(1, ordering: .releasing) }
}
