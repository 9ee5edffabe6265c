import KubernetesModel

/// A check that a container is up, ready or alive.
struct Probe: Hashable, Sendable {
    enum Kind: String, Hashable, Sendable, CaseIterable {
        case startup, readiness, liveness

        /// The field of the container.
        var field: String { "\(rawValue)Probe" }
        /// As messages begin.
        var title: String { rawValue.prefix(1).uppercased() + rawValue.dropFirst() }
    }

    var kind: Kind
    var action: ProbeAction
    var initialDelay: Duration
    var period: Duration
    var timeout: Duration
    var successThreshold: Int
    var failureThreshold: Int
    /// Overrides the pod's when the probe stops the container.
    var gracePeriod: Duration?

    init(_ json: JSON, kind: Kind) {
        func count(_ field: String, _ usual: Int) -> Int { max(1, json[field]?.int ?? usual) }
        self.kind = kind
        action = ProbeAction(json)
        initialDelay = .seconds(max(0, json["initialDelaySeconds"]?.int ?? 0))
        period = .seconds(count("periodSeconds", 10))
        timeout = .seconds(count("timeoutSeconds", 1))
        successThreshold = count("successThreshold", 1)
        failureThreshold = count("failureThreshold", 3)
        gracePeriod = json["terminationGracePeriodSeconds"]?.int.map { .seconds($0) }
    }
}

/// What a probe or a lifecycle hook does.
enum ProbeAction: Hashable, Sendable {
    struct HTTP: Hashable, Sendable {
        struct Header: Hashable, Sendable {
            var name: String
            var value: String
        }
        var host: String?
        var port: JSON
        var path: String
        var isSecure: Bool
        var headers: [Header]
    }

    case execute([String])
    case http(HTTP)
    case connect(host: String?, port: JSON)
    case grpc(port: JSON, service: String)
    case sleep(Duration)
    case none

    init(_ json: JSON) {
        if let command = json["exec", "command"]?.array {
            self = .execute(command.compactMap(\.string))
        } else if let get = json["httpGet"] {
            self = .http(HTTP(get))
        } else if let socket = json["tcpSocket"] {
            self = .connect(host: socket["host"]?.string, port: socket["port"] ?? .null)
        } else if let grpc = json["grpc"] {
            self = .grpc(port: grpc["port"] ?? .null, service: grpc["service"]?.string ?? "")
        } else if let sleep = json["sleep"] {
            self = .sleep(.seconds(sleep["seconds"]?.int ?? 0))
        } else {
            self = .none
        }
    }
}

extension ProbeAction.HTTP {
    init(_ json: JSON) {
        host = json["host"]?.string
        port = json["port"] ?? .null
        let text = json["path"]?.string ?? "/"
        path = text.hasPrefix("/") ? text : "/\(text)"
        isSecure = json["scheme"]?.string == "HTTPS"
        headers =
            json["httpHeaders"]?.array?.map {
                Header(name: $0["name"]?.string ?? "", value: $0["value"]?.string ?? "")
            } ?? []
    }
}

/// What one try of a probe found.
struct ProbeOutcome: Hashable, Sendable {
    var isSuccess: Bool
    var message = ""

    static let success = ProbeOutcome(isSuccess: true)
    static func failure(_ message: String) -> ProbeOutcome { ProbeOutcome(isSuccess: false, message: message) }
}

/// Counts the outcomes of one probe of one container. Pure.
///
/// Readiness and startup probes are eager: until the first success they are tried in quick succession, so that a container takes traffic
/// as soon as it can. Only the tries that the probe's period asks for count as failures.
struct ProbeCount: Hashable, Sendable {
    enum Verdict: Hashable, Sendable { case unchanged, succeeded, failed }

    private static let firstEagerDelay = Duration.milliseconds(50)

    let probe: Probe
    private var successes = 0
    private var failures = 0
    private var hasSucceeded: Bool
    private var eagerDelay = firstEagerDelay
    private var untilNextCounted = Duration.zero

    init(_ probe: Probe, hasSucceeded: Bool) {
        self.probe = probe
        self.hasSucceeded = hasSucceeded
    }

    private var isEager: Bool { probe.kind != .liveness && !hasSucceeded }

    /// The try that is due now counts when it fails.
    var countsFailures: Bool { untilNextCounted <= .zero }

    /// Takes in an outcome; the delay is until the next try.
    mutating func record(_ outcome: ProbeOutcome) -> (verdict: Verdict, delay: Duration) {
        let verdict = outcome.isSuccess ? recordSuccess() : recordFailure()
        return (verdict, nextDelay())
    }

    private mutating func recordSuccess() -> Verdict {
        failures = 0
        successes += 1
        guard successes >= probe.successThreshold else { return .unchanged }
        hasSucceeded = true
        return successes == probe.successThreshold ? .succeeded : .unchanged
    }

    private mutating func recordFailure() -> Verdict {
        successes = 0
        guard countsFailures else { return .unchanged }
        failures += 1
        guard failures >= probe.failureThreshold else { return .unchanged }
        return failures == probe.failureThreshold ? .failed : .unchanged
    }

    private mutating func nextDelay() -> Duration {
        guard isEager else {
            untilNextCounted = .zero
            return probe.period
        }
        if untilNextCounted <= .zero { untilNextCounted = probe.period }
        let delay = min(eagerDelay, untilNextCounted)
        eagerDelay = min(eagerDelay * 2, .seconds(1))
        untilNextCounted -= delay
        return delay
    }
}
