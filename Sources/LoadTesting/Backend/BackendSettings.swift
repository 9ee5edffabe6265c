import Foundation

/// How a ``BenchBackend`` behaves. All of it can be changed while it serves.
package struct BackendSettings: Codable, Sendable, Hashable {
    /// Nanoseconds of service for each request.
    package var serviceTime = 0
    /// Service times vary at random (exponentially) around the mean instead of being equal.
    package var variesServiceTime = false
    /// Requests in service at the same time; the others wait their turn. Zero for no bound. Requests in service times the reciprocal of
    /// the service time is the capacity.
    package var concurrency = 0
    /// Requests that may wait; what comes beyond is answered with 503.
    package var queue = 100_000
    /// How the service slows down under load: each request that waits lengthens the service time by this share of it, divided by the
    /// concurrency. Zero for a back end that keeps its capacity whatever comes.
    package var degradation = 0.0
    /// Bytes of the body of an answer.
    package var bodySize = 128
    package var isChunked = false
    /// Ends each connection after an answer.
    package var closes = false
    /// The share of requests that are answered with ``errorStatus``.
    package var errorShare = 0.0
    package var errorStatus = 500
    /// The share of requests that are answered with a reset of the connection.
    package var resetShare = 0.0
    /// Nanoseconds during which nothing is answered, from the moment of the setting.
    package var stall = 0

    package static let maximumBody = 64 << 20

    package init() {}

    /// Changes the settings that are named, as `service-time=20ms&errors=5%`; leaves all as they were when one is wrong.
    package mutating func apply(_ query: String) throws {
        var changed = self
        for pair in query.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1).map {
                String($0).removingPercentEncoding ?? String($0)
            }
            guard parts.count == 2 else { throw LoadError("'\(pair)' is not a setting; write name=value") }
            try changed.set(parts[0], parts[1])
        }
        self = changed
    }

    private mutating func set(_ name: String, _ value: String) throws {
        switch name {
        case "service-time": serviceTime = try Quantities.duration(value)
        case "varies": variesServiceTime = try Self.flag(value)
        case "concurrency": concurrency = try Self.count(value, upTo: 1_000_000)
        case "queue": queue = try Self.count(value, upTo: 1_000_000)
        case "degradation": degradation = Double(value).map { max(0, $0) } ?? 0
        case "body": bodySize = try Self.count(value, upTo: Self.maximumBody)
        case "chunked": isChunked = try Self.flag(value)
        case "close": closes = try Self.flag(value)
        case "errors": errorShare = try Quantities.fraction(value)
        case "error-status":
            errorStatus = try Self.count(value, upTo: 599)
            guard errorStatus >= 200 else { throw LoadError("the status \(value) is not between 200 and 599") }
        case "resets": resetShare = try Quantities.fraction(value)
        case "stall": stall = try Quantities.duration(value)
        default:
            throw LoadError(
                "there is no setting '\(name)'; there are service-time, varies, concurrency, queue, degradation, body, chunked, "
                    + "close, errors, error-status, resets and stall"
            )
        }
    }

    private static func flag(_ value: String) throws -> Bool {
        guard value == "true" || value == "false" else { throw LoadError("'\(value)' is neither true nor false") }
        return value == "true"
    }

    private static func count(_ value: String, upTo bound: Int) throws -> Int {
        guard let number = Int(value), 0...bound ~= number else {
            throw LoadError("'\(value)' is not a number from 0 to \(bound)")
        }
        return number
    }
}

/// What a ``BenchBackend`` has done so far.
package struct BackendStatistics: Codable, Sendable, Hashable {
    package var connections = 0
    package var requests = 0
    package var inService = 0
    package var waiting = 0
    package var mostWaiting = 0
    package var refused = 0
}
