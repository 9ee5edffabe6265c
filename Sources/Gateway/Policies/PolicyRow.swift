import FlowControl

extension TableView {
    /// A ``TrafficPolicy`` of a rule as workers use it.
    struct PolicyRow: BitwiseCopyable {
        var mechanism: Mechanism
        var counters: SharedWord
        var isDryRun: Bool
        /// What requests are told apart by, or, for load shedding, whose stay together.
        var key = PolicyKeyRow()
        /// For load shedding: what puts requests into classes, and the class of the others.
        var selectors = RowRange()
        var defaultLevel: UInt8 = 0
        /// Index among the rule's breakers.
        var breaker: UInt8 = 0
        /// For the RateLimit fields, as a quoted string; empty where the name cannot stand in a header field.
        var name = ByteRange()
        var requests: UInt64 = 0
        var seconds: UInt64 = 0
        var fallback = FallbackRow()
    }

    enum Mechanism: BitwiseCopyable {
        /// Counts for policies of other routes.
        case meter(RelatedMeter, SharedWord)
        case related(RelatedMeter, SharedWord)
        case rate(RateLimiter, SharedWord)
        case warmUp(WarmUpLimiter, SharedWord)
        case keyedRate(KeyedRateLimiter)
        case concurrency(ConcurrencyLimiter, SharedWord)
        case keyedConcurrency(KeyedConcurrencyLimiter)
        case shedding(LoadShedder)
        case breaker(CircuitBreakerState)

        /// Decided when the request arrives; the others when its turn has come.
        var isForArrival: Bool {
            switch self {
            case .meter, .related, .rate, .warmUp, .keyedRate: true
            case .concurrency, .keyedConcurrency, .shedding, .breaker: false
            }
        }

        /// The cheapest and those that count nothing come first, the breaker last: what it lets through must really be sent.
        var order: Int {
            switch self {
            case .meter: 0
            case .related: 1
            case .rate, .warmUp: 2
            case .keyedRate: 3
            case .concurrency: 4
            case .keyedConcurrency: 5
            case .shedding: 6
            case .breaker: 7
            }
        }

        /// Whether it protects the backend, rather than sharing it out.
        var sheds: Bool { order >= 6 }
    }

    struct PolicyKeyRow: BitwiseCopyable {
        enum Kind: UInt8 { case none, clientAddress, host, path, header, query, cookie }
        var kind = Kind.none
        /// In lower case for headers.
        var name = ByteRange()
    }

    /// Puts requests into a class of load shedding.
    struct SelectorRow: BitwiseCopyable {
        var level: UInt8
        /// Empty where the rule's route itself selects the class.
        var name = ByteRange()
        var value = ByteRange()
        var hasValue = false
    }

    struct FallbackRow: BitwiseCopyable {
        /// Zero for none.
        var status: UInt16 = 0
        var contentType = ByteRange()
        var body = ByteRange()
    }

    /// The most policies of a kind that one rule can have.
    static let maximumBreakers = 4
}
