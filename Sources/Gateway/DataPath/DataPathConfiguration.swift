/// Bounds and waits of the data path; times in milliseconds.
package struct DataPathConfiguration: Hashable, Sendable, BitwiseCopyable {
    /// Clients per worker; more wait in the listener's backlog.
    package var maximumClients = 20_000
    /// Bytes of requests and answers that a worker keeps at one time; above that, new requests are answered with 503.
    package var maximumBuffered = 256 << 20
    /// Requests per worker that wait for an endpoint; more are answered with 503 at once.
    package var maximumHeld = 1024
    /// Requests per worker that wait for their turn under a rate limit; more are refused.
    package var maximumPaced = 4096
    /// Idle connections that a worker keeps to one endpoint.
    package var maximumIdlePerEndpoint = 1024
    package var connectTimeout: UInt64 = 5000
    /// From accepting a connection to the end of its TLS handshake.
    package var handshakeTimeout: UInt64 = 10_000
    /// From the first byte of a head to its end.
    package var headTimeout: UInt64 = 10_000
    /// Between requests of a client.
    package var idleTimeout: UInt64 = 75_000
    /// Without any byte of a request or its answer, where the route sets no limit.
    package var progressTimeout: UInt64 = 60_000
    package var tunnelIdleTimeout: UInt64 = 3_600_000
    /// How long idle connections to endpoints are kept.
    package var upstreamIdleTimeout: UInt64 = 30_000
    /// How long a request waits for an endpoint to appear, or for a connection where their number is limited.
    package var holdTimeout: UInt64 = 2000
    /// For the rest of a request's body after its answer, and for the client to read a last answer.
    package var lingerTimeout: UInt64 = 3000
    /// An endpoint that could not be reached is left out for this long, doubled each time up to 16-fold.
    package var ejectionTime: UInt64 = 100
    /// Attempts of one request that sent something.
    package var maximumAttempts: UInt8 = 3
    package var pinsWorkers = false
    /// The number of workers that share the limits of backends; set by what starts them.
    var workers = 1
    /// Bytes per second that a client must send of a body, or take of an answer, while only it is waited for; zero for any rate.
    package var minimumRate: UInt64 = 240
    /// The rate is looked at after this long.
    package var rateWindow: UInt64 = 5000
    /// Of a request, in bytes; zero for any size. Larger ones are answered with 413.
    package var maximumBody: UInt64 = 0
    package var forwarding = ForwardedFields.xForwarded

    package init() {}

    /// How endpoints learn who the client is. What a client says in fields that are not written is dropped.
    package enum ForwardedFields: UInt8, Hashable, Sendable, BitwiseCopyable {
        /// `X-Forwarded-For`, `-Proto` and `-Host`.
        case xForwarded
        /// `Forwarded` (RFC 7239).
        case forwarded
        case both
        case none
    }
}

/// Where and how every request is noted, when it has ended.
package struct AccessLogSettings: Hashable, Sendable {
    package enum Format: UInt8, Hashable, Sendable, BitwiseCopyable {
        /// One JSON object per line.
        case json
        /// The combined format of Apache and nginx, followed by host, request id, seconds, route, backend, endpoint, attempts and error.
        case combined
    }

    /// A file, made where it is missing, appended to and opened again on SIGUSR1.
    package var path: String
    package var format: Format
    /// Bytes per worker, rounded up to a power of two. Lines that find no room, because the disk is too slow, are dropped and counted.
    package var bufferSize: Int

    package init(path: String, format: Format = .json, bufferSize: Int = 1 << 20) {
        self.path = path
        self.format = format
        self.bufferSize = bufferSize
    }
}
