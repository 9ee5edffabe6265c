package import FlowControl

/// How a backend's endpoints are chosen, watched and spared. Times are in milliseconds.
package struct BackendPolicy: Hashable, Sendable {
    package var loadBalancing: LoadBalancing
    /// Active checks; `nil` for none.
    package var healthCheck: HealthCheck?
    /// Watches the answers that pass; `nil` for none.
    package var outlierDetection: OutlierPolicy?
    package var slowStart: SlowStart?
    package var connections: ConnectionLimits
    /// Bounds retries, whatever routes allow.
    package var retryBudget: RetryBudgetPolicy
    /// Below this share of usable endpoints, in percent, all endpoints are used: most of them being bad is more likely a fault of the
    /// checks, and the few that are left would drown. Zero never does so, unless no endpoint is usable at all.
    package var panicThreshold: Int

    package init(
        loadBalancing: LoadBalancing = .leastRequests,
        healthCheck: HealthCheck? = nil,
        outlierDetection: OutlierPolicy? = nil,
        slowStart: SlowStart? = nil,
        connections: ConnectionLimits = ConnectionLimits(),
        retryBudget: RetryBudgetPolicy = RetryBudgetPolicy(),
        panicThreshold: Int = 50
    ) {
        self.loadBalancing = loadBalancing
        self.healthCheck = healthCheck
        self.outlierDetection = outlierDetection
        self.slowStart = slowStart
        self.connections = connections
        self.retryBudget = retryBudget
        self.panicThreshold = panicThreshold
    }

    package enum LoadBalancing: Hashable, Sendable {
        /// One after the other, smoothly interleaved by weight.
        case roundRobin
        /// Of two endpoints drawn by weight, the one with fewer requests in flight for its weight.
        case leastRequests
        /// The same key goes to the same endpoint; when endpoints come or go, few keys move.
        case consistentHash(HashKey)
    }

    /// What a consistent hash is taken of. Requests without the key are spread as by ``LoadBalancing/leastRequests``.
    package enum HashKey: Hashable, Sendable {
        case clientAddress
        case header(String)
        case cookie(String)
    }
}

extension BackendPolicy {
    /// Requests that the gateway itself sends to every endpoint. An endpoint counts as healthy until the first check has ended; that one
    /// decides at once, later ones by the thresholds.
    package struct HealthCheck: Hashable, Sendable {
        /// The target of a GET request; `nil` only opens a connection.
        package var path: String?
        /// The Host field; `nil` for the endpoint's address.
        package var host: String?
        /// `nil` for the port that serves.
        package var port: Int?
        package var interval: Int
        package var timeout: Int
        /// Checks in a row that must succeed before an unhealthy endpoint is used again.
        package var healthyThreshold: Int
        /// Checks in a row that must fail before a healthy endpoint is left out.
        package var unhealthyThreshold: Int
        package var expectedStatuses: [ClosedRange<Int>]

        package init(
            path: String? = "/",
            host: String? = nil,
            port: Int? = nil,
            interval: Int = 5000,
            timeout: Int = 1000,
            healthyThreshold: Int = 2,
            unhealthyThreshold: Int = 3,
            expectedStatuses: [ClosedRange<Int>] = [200...399]
        ) {
            self.path = path
            self.host = host
            self.port = port
            self.interval = interval
            self.timeout = timeout
            self.healthyThreshold = healthyThreshold
            self.unhealthyThreshold = unhealthyThreshold
            self.expectedStatuses = expectedStatuses
        }
    }

    package typealias OutlierPolicy = FlowControl.OutlierPolicy
    package typealias RetryBudgetPolicy = RetryBudget.Policy

    /// New and returned endpoints get their share of requests little by little. Has no effect on consistent hashes, and none while all
    /// endpoints are equally new.
    package struct SlowStart: Hashable, Sendable {
        /// From the minimum to the full weight.
        package var window: Int
        /// Percent of the weight at the start, at least one.
        package var minimumWeightPercent: Int

        package init(window: Int = 30_000, minimumWeightPercent: Int = 10) {
            self.window = window
            self.minimumWeightPercent = minimumWeightPercent
        }
    }

    package struct ConnectionLimits: Hashable, Sendable {
        /// Open connections to one endpoint, over all workers: each worker gets its share, at least one. `nil` for no limit.
        package var maximumPerEndpoint: Int?
        /// Requests that wait for a connection under ``maximumPerEndpoint``, over all workers; more are answered with 503 at once.
        package var maximumPending: Int
        /// `nil` is the gateway's default.
        package var connectTimeout: Int?
        /// How long idle connections are kept; `nil` is the gateway's default.
        package var idleTimeout: Int?

        package init(
            maximumPerEndpoint: Int? = nil,
            maximumPending: Int = 1024,
            connectTimeout: Int? = nil,
            idleTimeout: Int? = nil
        ) {
            self.maximumPerEndpoint = maximumPerEndpoint
            self.maximumPending = maximumPending
            self.connectTimeout = connectTimeout
            self.idleTimeout = idleTimeout
        }
    }
}

/// When a route's requests are sent once more, always to another endpoint where there is one. A request is sent again only while
/// nothing of an answer has gone to the client and all that was sent of it is still at hand, and within the backend's
/// ``BackendPolicy/RetryBudgetPolicy``. Times are in milliseconds.
package struct RetryPolicy: Hashable, Sendable {
    /// Beyond the first attempt; up to ten.
    package var retries: Int
    package var conditions: Conditions
    /// Between 400 and 599, with ``Conditions/statusCodes``.
    package var statusCodes: [Int]
    /// `nil` for none.
    package var perTryTimeout: Int?
    /// The wait before the n-th retry is drawn between zero and `baseInterval` doubled n - 1 times, at most `maximumInterval`.
    package var baseInterval: Int
    package var maximumInterval: Int
    /// Retries requests whose method is not idempotent, too, although the endpoint may have acted on them.
    package var includesNonIdempotent: Bool
    /// Bytes of head and body that are kept for sending them again, up to 262144; a larger request is not retried.
    package var maximumReplay: Int

    package init(
        retries: Int = 1,
        conditions: Conditions = [.connectFailure, .reset, .statusCodes],
        statusCodes: [Int] = [503],
        perTryTimeout: Int? = nil,
        baseInterval: Int = 25,
        maximumInterval: Int = 250,
        includesNonIdempotent: Bool = false,
        maximumReplay: Int = 65_536
    ) {
        self.retries = retries
        self.conditions = conditions
        self.statusCodes = statusCodes
        self.perTryTimeout = perTryTimeout
        self.baseInterval = baseInterval
        self.maximumInterval = maximumInterval
        self.includesNonIdempotent = includesNonIdempotent
        self.maximumReplay = maximumReplay
    }

    package struct Conditions: OptionSet, Hashable, Sendable, BitwiseCopyable {
        package var rawValue: UInt8

        package init(rawValue: UInt8) { self.rawValue = rawValue }

        /// The connection was refused, unreachable or timed out: nothing was sent.
        package static let connectFailure = Conditions(rawValue: 1)
        /// The endpoint ended the connection before any byte of an answer.
        package static let reset = Conditions(rawValue: 2)
        /// The endpoint answered with one of ``RetryPolicy/statusCodes``.
        package static let statusCodes = Conditions(rawValue: 4)
        /// No answer began within ``RetryPolicy/perTryTimeout``.
        package static let perTryTimeout = Conditions(rawValue: 8)
    }
}
