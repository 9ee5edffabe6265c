/// What is wrong with a policy: the field, and what would be right.
package struct PolicyFault: Hashable, Sendable, CustomStringConvertible {
    /// As the value's property is called, with a dot between levels: `classes.reservedShare`.
    package var field: String
    package var message: String

    package var description: String { "\(field): \(message)" }
}

extension TrafficPolicy {
    /// Everything that keeps the policy from being used; empty for a good one.
    package var faults: [PolicyFault] {
        var faults = FaultList()
        faults.check(!name.isEmpty, "name", "must not be empty")
        if let fallback {
            faults.check(200...599, fallback.status, "fallback.status", "an HTTP status")
            faults.check(fallback.body.utf8.count <= 65_536, "fallback.body", "must be at most 65536 bytes")
            let isOneLine =
                !fallback.contentType.isEmpty && fallback.contentType.utf8.allSatisfy { $0 >= 32 && $0 != 127 }
            faults.check(isOneLine, "fallback.contentType", "must be a media type such as application/json")
        }
        switch kind {
        case .rateLimit(let limit): limit.check(&faults)
        case .concurrency(let limit):
            faults.check(1...1_000_000, limit.maximum, "maximum", "requests")
            limit.key.check(&faults)
            faults.check(1...1_048_576, limit.maximumKeys, "maximumKeys", "keys")
        case .related(let limit):
            faults.check(!limit.route.isEmpty, "route", "must name a route as namespace/name")
            faults.checkRate(limit.requests, limit.per, limit.burst)
        case .circuitBreaker(let breaker): breaker.check(&faults)
        case .loadShedding(let shedding): shedding.check(&faults)
        }
        return faults.all
    }
}

private struct FaultList {
    private(set) var all: [PolicyFault] = []

    mutating func check(_ isGood: Bool, _ field: String, _ message: String) {
        if !isGood { all.append(PolicyFault(field: field, message: message)) }
    }

    mutating func check(_ range: ClosedRange<Int>, _ value: Int, _ field: String, _ unit: String) {
        check(range.contains(value), field, "must be \(range.lowerBound) to \(range.upperBound) \(unit), not \(value)")
    }

    mutating func checkShare(_ value: Double, _ field: String) {
        check((0...1).contains(value), field, "must be a share between 0 and 1, not \(value)")
    }

    mutating func checkRate(_ requests: Int, _ per: Int, _ burst: Int) {
        check(1...1_000_000_000, requests, "requests", "requests")
        check(1...86_400_000, per, "per", "milliseconds")
        check(requests / 1000 <= per, "requests", "must be at most a million per second")
        check(0...1_000_000, burst, "burst", "requests")
    }
}

extension PolicyKey {
    fileprivate func check(_ faults: inout FaultList) {
        switch self {
        case .header(let name), .query(let name), .cookie(let name):
            faults.check(!name.isEmpty && name.utf8.count <= 256, "key", "must name a field in 1 to 256 bytes")
        case .none, .clientAddress, .host, .path: break
        }
    }
}

extension RateLimit {
    fileprivate func check(_ faults: inout FaultList) {
        faults.checkRate(requests, per, burst)
        key.check(&faults)
        faults.check(1...1_048_576, maximumKeys, "maximumKeys", "keys")
        faults.check(0...60_000, maximumWait, "maximumWait", "milliseconds")
        if let warmUp {
            faults.check(100...3_600_000, warmUp.time, "warmUp.time", "milliseconds")
            let isFactor = warmUp.coldFactor > 1 && warmUp.coldFactor <= 100
            faults.check(isFactor, "warmUp.coldFactor", "must be above 1 and at most 100, not \(warmUp.coldFactor)")
            faults.check(key == .none, "warmUp", "works only without a key")
        }
    }
}

extension CircuitBreaker {
    fileprivate func check(_ faults: inout FaultList) {
        faults.check(100...600_000, window, "window", "milliseconds")
        faults.check(1...1_000_000, minimumRequests, "minimumRequests", "requests")
        faults.check(1...600_000, slowThreshold, "slowThreshold", "milliseconds")
        if let slowRatio { faults.checkShare(slowRatio, "slowRatio") }
        if let errorRatio { faults.checkShare(errorRatio, "errorRatio") }
        if let errorCount { faults.check(0...1_000_000, errorCount, "errorCount", "errors") }
        let hasTrigger = slowRatio != nil || errorRatio != nil || errorCount != nil
        faults.check(hasTrigger, "errorRatio", "give at least one of slowRatio, errorRatio and errorCount")
        faults.check(1...3_600_000, openTime, "openTime", "milliseconds")
        faults.check(1...100, probes, "probes", "requests")
        faults.check(1...600_000, probeDeadline, "probeDeadline", "milliseconds")
        faults.check(0...3_600_000, rampTime, "rampTime", "milliseconds")
    }
}

extension LoadShedding {
    fileprivate func check(_ faults: inout FaultList) {
        faults.check(classes.count <= Self.maximumClasses, "classes", "must be at most \(Self.maximumClasses)")
        faults.check(Set(classes.map(\.name)).count == classes.count, "classes.name", "must differ")
        for each in classes { faults.checkShare(each.reservedShare, "classes.reservedShare") }
        let sum = classes.reduce(0) { $0 + $1.reservedShare }
        faults.check(sum <= 1.000_001, "classes.reservedShare", "must be at most 1 together, not \(sum)")
        if let defaultClass {
            let names = classes.map(\.name).joined(separator: ", ")
            faults.check(classes.contains { $0.name == defaultClass }, "defaultClass", "must be one of: \(names)")
        }
        faults.check(1...32_767, minimumCap, "minimumCap", "requests")
        faults.check(minimumCap...max(minimumCap, 32_767), maximumCap, "maximumCap", "requests")
        let range = minimumCap...max(minimumCap, maximumCap)
        faults.check(range, initialCap, "initialCap", "requests, between minimumCap and maximumCap")
        faults.check(1...600_000, deadline, "deadline", "milliseconds")
        fairnessKey.check(&faults)
    }
}

extension TrafficPolicy {
    /// What keeps policies from being used together on one rule, beyond the faults of each.
    package static func faults(ofRule policies: [TrafficPolicy]) -> [PolicyFault] {
        var faults = FaultList()
        faults.check(policies.count <= maximumPerRule, "policies", "must be at most \(maximumPerRule)")
        let limits: [(Group, Int, String)] = [
            (.keyedConcurrency, 1, "concurrency limits with a key"), (.circuitBreaker, 4, "circuit breakers"),
            (.loadShedding, 1, "load sheddings"),
        ]
        for (group, most, what) in limits {
            let count = policies.count { $0.group == group }
            faults.check(count <= most, "policies", "must have at most \(most) \(what), not \(count)")
        }
        return faults.all
    }

    /// The policies of a rule without those that are faulty or too many.
    package static func usable(ofRule policies: [TrafficPolicy]) -> [TrafficPolicy] {
        policies.reduce(into: []) { usable, policy in
            if policy.faults.isEmpty, faults(ofRule: usable + [policy]).isEmpty { usable.append(policy) }
        }
    }

    private enum Group { case keyedConcurrency, circuitBreaker, loadShedding, other }

    private var group: Group {
        switch kind {
        case .concurrency(let limit) where limit.key != .none: .keyedConcurrency
        case .circuitBreaker: .circuitBreaker
        case .loadShedding: .loadShedding
        case .concurrency, .rateLimit, .related: .other
        }
    }
}
