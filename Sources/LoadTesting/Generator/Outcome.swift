/// How an offered request ended. Every request that the schedule offered ends in exactly one of these.
package enum Outcome: Int, CaseIterable, Sendable {
    /// An answer with a status of 2xx or 3xx, within the class's deadline.
    case good
    /// Such an answer, but after the deadline.
    case late
    /// A 4xx other than 429.
    case clientError
    case tooManyRequests
    /// A 5xx other than 503.
    case serverError
    case unavailable
    /// The connection was refused.
    case refused
    /// No connection for another reason, such as an unreachable network or no free port.
    case unconnected
    /// The peer closed or reset the connection before the answer was complete.
    case reset
    /// No complete answer in time.
    case timedOut
    /// Bytes that are no HTTP/1 answer.
    case malformed
    /// Never sent: no connection became free in time, or too many waited already.
    case unsent

    /// The name in reports.
    package var label: String {
        switch self {
        case .good: "good"
        case .late: "late"
        case .clientError: "4xx"
        case .tooManyRequests: "429"
        case .serverError: "5xx"
        case .unavailable: "503"
        case .refused: "refused"
        case .unconnected: "no connection"
        case .reset: "reset"
        case .timedOut: "timeout"
        case .malformed: "malformed"
        case .unsent: "unsent"
        }
    }

    /// Answered as wanted, in time or late.
    package var isSuccess: Bool { self == .good || self == .late }

    /// Whether its time counts in the latency. Refusals do not, so that fast errors cannot flatter it; time-outs do, with the time after
    /// which they were given up, so that the slowest requests are not left out.
    var hasLatency: Bool { isSuccess || self == .timedOut || self == .unsent }

    @inline(__always)
    static func of(status: UInt16, isLate: Bool) -> Outcome {
        switch status {
        case ..<400: isLate ? .late : .good
        case 429: .tooManyRequests
        case ..<500: .clientError
        case 503: .unavailable
        default: .serverError
        }
    }
}

/// What happened to the requests of one class on one thread in one second, or any sum of such.
package struct Tally: Sendable {
    package var offered: UInt64 = 0
    /// Of the offered requests, those taken back unsent because the test was ended early.
    package var withdrawn: UInt64 = 0
    package var connections: UInt64 = 0
    /// Idempotent requests that went out again because a kept connection was closed before any byte of an answer (RFC 9110 §9.2.2).
    package var resent: UInt64 = 0
    package var receivedBytes: UInt64 = 0
    var latency = LatencyHistogram()
    private var outcomes = InlineArray<12, UInt64>(repeating: 0)

    package init() {}

    package func count(of outcome: Outcome) -> UInt64 { outcomes[outcome.rawValue] }

    package var successes: UInt64 { count(of: .good) + count(of: .late) }

    /// Requests that ended, in whatever way.
    package var ended: UInt64 { Outcome.allCases.reduce(0) { $0 + count(of: $1) } }

    /// - Parameter nanoseconds: since the intended send time.
    @inline(__always)
    mutating func record(_ outcome: Outcome, nanoseconds: UInt64) {
        outcomes[outcome.rawValue] &+= 1
        if outcome.hasLatency { latency.record(nanoseconds / 1000) }
    }

    mutating func add(_ other: Tally) {
        offered += other.offered
        withdrawn += other.withdrawn
        connections += other.connections
        resent += other.resent
        receivedBytes += other.receivedBytes
        for index in outcomes.indices { outcomes[index] += other.outcomes[index] }
        latency.add(other.latency)
    }
}
