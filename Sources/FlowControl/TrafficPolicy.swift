/// One protection of a route or a backend, as configuration describes it. A plain value: what it counts lives elsewhere.
///
/// State is kept under ``name``: rules that carry policies of the same name share one limit, and a new table that carries a policy of
/// that name goes on with the tokens and counts of the old one, also when rates and bounds have changed. It starts anew when the state
/// would mean something else: with another kind, key or number of keys, another window or slow threshold of a breaker, other classes or
/// caps of load shedding. Whoever wants a limit per route gives each route's policy a name of its own.
package struct TrafficPolicy: Hashable, Sendable {
    /// At most this many policies on one rule, and on one backend.
    package static let maximumPerRule = 16

    package var name: String
    package var kind: Kind
    /// Decides and counts, but lets everything through.
    package var dryRun: Bool
    /// What refused requests get instead of the plain 429 or 503.
    package var fallback: FallbackResponse?

    package enum Kind: Hashable, Sendable {
        /// Answers 429 above a rate, or spaces requests evenly.
        case rateLimit(RateLimit)
        /// Answers 429 while too many requests are in flight.
        case concurrency(ConcurrencyLimit)
        /// Answers 429 while another route has much traffic.
        case related(RelatedLimit)
        /// Answers 503 while the backend fails.
        case circuitBreaker(CircuitBreaker)
        /// Answers 503 to the least important requests while the backend is overloaded.
        case loadShedding(LoadShedding)
    }

    package init(name: String, _ kind: Kind, dryRun: Bool = false, fallback: FallbackResponse? = nil) {
        self.name = name
        self.kind = kind
        self.dryRun = dryRun
        self.fallback = fallback
    }
}

/// A fixed answer in place of the backend's: the degraded service.
package struct FallbackResponse: Hashable, Sendable {
    package var status: Int
    package var contentType: String
    /// At most 64 KB.
    package var body: String

    package init(status: Int = 200, contentType: String = "text/plain; charset=utf-8", body: String = "") {
        self.status = status
        self.contentType = contentType
        self.body = body
    }
}

/// What requests are told apart by. Requests without the header, parameter or cookie share one key.
package enum PolicyKey: Hashable, Sendable {
    /// All requests together.
    case none
    /// IPv4 addresses singly, IPv6 addresses by their /64: a client owns that many.
    case clientAddress
    /// The host that the request asks for, without its port, in any case.
    case host
    /// Without the query.
    case path
    /// The value of the first header field of that name.
    case header(String)
    /// The first query parameter of that name, as it was sent.
    case query(String)
    case cookie(String)
}

/// Never lets more than `rate · t + burst + 1` requests pass in any interval of length `t`, for each key.
package struct RateLimit: Hashable, Sendable {
    /// Requests per ``per``.
    package var requests: Int
    /// Milliseconds.
    package var per: Int
    /// Requests that may come ahead of time. With none, only requests evenly spaced use the rate in full.
    package var burst: Int
    package var key: PolicyKey
    /// Keys that are told apart; rounded up. Further ones share the limit of one key in groups.
    package var maximumKeys: Int
    /// Requests above the rate wait for their turn, up to this many milliseconds; zero refuses them at once.
    package var maximumWait: Int
    /// Not with a key.
    package var warmUp: WarmUp?

    /// - Parameter burst: `nil` is a tenth of a second's worth, at least one.
    package init(
        requests: Int,
        per: Int = 1000,
        burst: Int? = nil,
        key: PolicyKey = .none,
        maximumKeys: Int = 16_384,
        maximumWait: Int = 0,
        warmUp: WarmUp? = nil
    ) {
        self.requests = requests
        self.per = per
        self.burst = burst ?? max(1, requests * 100 / max(1, per))
        self.key = key
        self.maximumKeys = maximumKeys
        self.maximumWait = maximumWait
        self.warmUp = warmUp
    }
}

/// After rest the rate starts at `1 / coldFactor` of the full one and reaches it at the earliest after ``time``.
package struct WarmUp: Hashable, Sendable {
    /// Milliseconds.
    package var time: Int
    package var coldFactor: Double

    package init(time: Int = 10_000, coldFactor: Double = 3) {
        self.time = time
        self.coldFactor = coldFactor
    }
}

/// Never more than ``maximum`` requests in flight at once, for each key.
package struct ConcurrencyLimit: Hashable, Sendable {
    package var maximum: Int
    /// At most one policy of a rule may have a key other than `.none`.
    package var key: PolicyKey
    /// As in ``RateLimit/maximumKeys``.
    package var maximumKeys: Int

    package init(maximum: Int, key: PolicyKey = .none, maximumKeys: Int = 16_384) {
        self.maximum = maximum
        self.key = key
        self.maximumKeys = maximumKeys
    }
}

/// Refuses requests of this route while those of another one exceed a rate: the important route takes from the less important one.
package struct RelatedLimit: Hashable, Sendable {
    /// The route that is counted, as ``TrafficPolicy`` hosts name routes: `namespace/name`.
    package var route: String
    /// Requests of that route per ``per``.
    package var requests: Int
    /// Milliseconds.
    package var per: Int
    package var burst: Int

    /// - Parameter burst: `nil` is a tenth of a second's worth, at least one.
    package init(route: String, requests: Int, per: Int = 1000, burst: Int? = nil) {
        self.route = route
        self.requests = requests
        self.per = per
        self.burst = burst ?? max(1, requests * 100 / max(1, per))
    }
}

/// Opens when the answers of the last ``window`` are bad, lets probes through after ``openTime``, and closes when they are good.
///
/// What counts is the time until the answer begins: how long its body takes is up to who reads it. A request that has no answer after
/// ``slowThreshold`` counts as slow there and then.
package struct CircuitBreaker: Hashable, Sendable {
    /// Milliseconds; it slides in tenths.
    package var window: Int
    /// Fewer answers than this in the window never open the breaker.
    package var minimumRequests: Int
    /// Opens when the share of slow answers is above; `nil` does not look at it.
    package var slowRatio: Double?
    /// Milliseconds; answers that begin later are slow.
    package var slowThreshold: Int
    /// Opens when the share of errors is above. Errors are 5xx answers and requests that got none from the backend.
    package var errorRatio: Double?
    /// Opens when there are more errors than this.
    package var errorCount: Int?
    /// Milliseconds from opening to the first probe.
    package var openTime: Int
    /// This many good probes in a row close the breaker; at most as many are under way at once.
    package var probes: Int
    /// Milliseconds; a probe without an answer by then is a bad one.
    package var probeDeadline: Int
    /// Milliseconds after closing until all requests are let through again; the share grows evenly from a tenth.
    package var rampTime: Int

    package init(
        window: Int = 10_000,
        minimumRequests: Int = 20,
        slowRatio: Double? = nil,
        slowThreshold: Int = 1000,
        errorRatio: Double? = 0.5,
        errorCount: Int? = nil,
        openTime: Int = 5000,
        probes: Int = 3,
        probeDeadline: Int = 2000,
        rampTime: Int = 0
    ) {
        self.window = window
        self.minimumRequests = minimumRequests
        self.slowRatio = slowRatio
        self.slowThreshold = slowThreshold
        self.errorRatio = errorRatio
        self.errorCount = errorCount
        self.openTime = openTime
        self.probes = probes
        self.probeDeadline = probeDeadline
        self.rampTime = rampTime
    }
}

/// Keeps a backend at the load it can serve and gives that to the most important requests.
///
/// Three loops of different speed, each of use without the others: a cap on requests in flight acts on every request; the priority cut
/// decides each tenth of a second which classes the measured service rate suffices for; the gradient sizes the cap each half second.
package struct LoadShedding: Hashable, Sendable {
    /// Most important first, at most ``maximumClasses``; none is one class for all.
    package var classes: [PriorityClass]
    /// The class of requests that no class selects; `nil` is the least important one.
    package var defaultClass: String?
    /// Requests in flight at the start; for good when ``adaptsCap`` is off.
    package var initialCap: Int
    package var minimumCap: Int
    package var maximumCap: Int
    /// The gradient.
    package var adaptsCap: Bool
    /// The priority cut.
    package var cutsByPriority: Bool
    /// Milliseconds; an answer that begins later is of no use to the client.
    package var deadline: Int
    /// Whose requests stay or go together when a class is let through in part; `.none` decides for each request alone.
    package var fairnessKey: PolicyKey

    package static let maximumClasses = 4

    package init(
        classes: [PriorityClass] = [],
        defaultClass: String? = nil,
        initialCap: Int = 64,
        minimumCap: Int = 4,
        maximumCap: Int = 4096,
        adaptsCap: Bool = true,
        cutsByPriority: Bool = true,
        deadline: Int = 1000,
        fairnessKey: PolicyKey = .none
    ) {
        self.classes = classes
        self.defaultClass = defaultClass
        self.initialCap = initialCap
        self.minimumCap = minimumCap
        self.maximumCap = maximumCap
        self.adaptsCap = adaptsCap
        self.cutsByPriority = cutsByPriority
        self.deadline = deadline
        self.fairnessKey = fairnessKey
    }
}

package struct PriorityClass: Hashable, Sendable {
    package var name: String
    /// The part of the cap that is always free for this class, 0...1; the parts of all classes together are at most 1. Others may use it
    /// while it is idle.
    package var reservedShare: Double
    /// Any of them selects the class. The first class that is selected counts.
    package var selectors: [Selector]

    package enum Selector: Hashable, Sendable {
        /// Requests with a header field; of that value where one is given.
        case header(name: String, value: String?)
        /// Requests of a route, `namespace/name`.
        case route(String)
    }

    package init(name: String, reservedShare: Double = 0, selectors: [Selector] = []) {
        self.name = name
        self.reservedShare = reservedShare
        self.selectors = selectors
    }
}
