/// Decides which endpoints of a backend are left out for a while (ejected), because they answer worse than the others.
///
/// Bounds: never more than ``Policy/maximumEjectedPercent`` of the endpoints are ejected at once, but one always may be, and never all. An
/// ejection lasts at most ``Policy/maximumEjectionTime``. Whatever the answers look like, an endpoint that is ejected comes back.
///
/// Counting errors in a row is left to those who see the answers; they report when a run is long enough. Pure; times are milliseconds of
/// any monotonic clock.
package struct OutlierDetection<ID: Hashable & Sendable>: Sendable {
    package typealias Policy = OutlierPolicy

    /// What an endpoint answered since the last comparison.
    package struct Count: Hashable, Sendable {
        package var requests: UInt64
        package var successes: UInt64

        package init(requests: UInt64, successes: UInt64) {
            self.requests = requests
            self.successes = successes
        }
    }

    private struct State {
        var ejectedUntil: UInt64?
        /// Ejections in a row; goes down by one with each comparison that finds the endpoint in use.
        var ejections = 0
    }

    private var policy: Policy
    private var states: [ID: State] = [:]

    package init(_ policy: Policy) { self.policy = policy }

    /// Takes over what the backend now consists of. Endpoints that stay keep their history.
    package mutating func change(to policy: Policy, endpoints: [ID]) {
        self.policy = policy
        let old = states
        states = Dictionary(endpoints.map { ($0, old[$0] ?? State()) }, uniquingKeysWith: { first, _ in first })
    }

    package func isEjected(_ endpoint: ID) -> Bool { states[endpoint]?.ejectedUntil != nil }

    package var ejectedCount: Int { states.values.reduce(0) { $0 + ($1.ejectedUntil == nil ? 0 : 1) } }

    /// An endpoint has made as many errors in a row as the policy bears.
    /// - Returns: whether it is ejected by this.
    package mutating func sawErrorsInARow(_ endpoint: ID, now: UInt64) -> Bool { eject(endpoint, now: now) }

    /// Compares the success rates of the last interval.
    /// - Returns: the endpoints that are ejected by this.
    package mutating func compare(_ counts: [ID: Count], now: UInt64) -> [ID] {
        for (id, state) in states where state.ejectedUntil == nil {
            states[id]?.ejections = max(0, state.ejections - 1)
        }
        guard policy.successRateMinimumRequests > 0 else { return [] }
        let rates = counts.filter {
            states[$0.key]?.ejectedUntil == nil && $0.value.requests >= UInt64(policy.successRateMinimumRequests)
        }
        .mapValues { Double($0.successes) / Double($0.requests) }
        guard rates.count >= max(2, policy.successRateMinimumEndpoints) else { return [] }
        let limit = Self.limit(rates.values, factor: Double(policy.successRateStandardDeviationFactor) / 1000)
        // The worst first, in case not all may go.
        let outliers = rates.filter { $0.value < limit }.sorted { $0.value < $1.value }.map(\.key)
        return outliers.filter { eject($0, now: now) }
    }

    /// Ends the ejections whose time is over.
    /// - Returns: the endpoints that are used again.
    package mutating func endEjections(now: UInt64) -> [ID] {
        let over = states.filter { $0.value.ejectedUntil.map { $0 <= now } ?? false }.map(\.key)
        for id in over { states[id]?.ejectedUntil = nil }
        return over
    }

    // MARK: - Private

    private mutating func eject(_ endpoint: ID, now: UInt64) -> Bool {
        guard let state = states[endpoint], state.ejectedUntil == nil, ejectedCount < maximumEjected else {
            return false
        }
        let ejections = state.ejections + 1
        let time = min(policy.baseEjectionTime * ejections, policy.maximumEjectionTime)
        states[endpoint] = State(ejectedUntil: now + UInt64(max(0, time)), ejections: ejections)
        return true
    }

    private var maximumEjected: Int {
        min(max(1, states.count * policy.maximumEjectedPercent / 100), states.count - 1)
    }

    private static func limit(_ rates: some Collection<Double>, factor: Double) -> Double {
        let mean = rates.reduce(0, +) / Double(rates.count)
        let variance = rates.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(rates.count)
        return mean - factor * variance.squareRoot()
    }
}

/// When an endpoint that answers badly is left out for a while, and for how long. Times are in milliseconds.
package struct OutlierPolicy: Hashable, Sendable {
    /// Answers of 500 to 599 in a row, failures to answer included; zero switches the rule off.
    package var consecutive5xx: Int
    /// Answers of 502 to 504 and failures to answer in a row; zero switches the rule off.
    package var consecutiveGatewayFailures: Int
    /// How often success rates are compared.
    package var interval: Int
    /// Endpoints with fewer requests in an interval are not compared; zero switches the comparison off.
    package var successRateMinimumRequests: Int
    /// With fewer comparable endpoints nothing is compared.
    package var successRateMinimumEndpoints: Int
    /// An endpoint is an outlier below mean - factor * standard deviation of the success rates; in thousandths, 1900 is 1.9.
    package var successRateStandardDeviationFactor: Int
    /// Multiplied with the number of ejections in a row.
    package var baseEjectionTime: Int
    package var maximumEjectionTime: Int
    /// Of all endpoints, rounded down, but at least one, and never all.
    package var maximumEjectedPercent: Int
    /// Endpoints are only counted as those that would be left out.
    package var dryRun: Bool

    package init(
        consecutive5xx: Int = 5,
        consecutiveGatewayFailures: Int = 5,
        interval: Int = 10_000,
        successRateMinimumRequests: Int = 100,
        successRateMinimumEndpoints: Int = 5,
        successRateStandardDeviationFactor: Int = 1900,
        baseEjectionTime: Int = 30_000,
        maximumEjectionTime: Int = 300_000,
        maximumEjectedPercent: Int = 10,
        dryRun: Bool = false
    ) {
        self.consecutive5xx = consecutive5xx
        self.consecutiveGatewayFailures = consecutiveGatewayFailures
        self.interval = interval
        self.successRateMinimumRequests = successRateMinimumRequests
        self.successRateMinimumEndpoints = successRateMinimumEndpoints
        self.successRateStandardDeviationFactor = successRateStandardDeviationFactor
        self.baseEjectionTime = baseEjectionTime
        self.maximumEjectionTime = maximumEjectionTime
        self.maximumEjectedPercent = maximumEjectedPercent
        self.dryRun = dryRun
    }
}
