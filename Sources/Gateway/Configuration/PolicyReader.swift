import FlowControl
import Yams

/// Reads one traffic policy: what it limits, and what refused requests get.
struct PolicyReader {
    let name: String

    private static let kinds = ["rateLimit", "concurrency", "related", "circuitBreaker", "loadShedding"]

    func read(_ node: ConfigurationNode) -> TrafficPolicy? {
        guard let object = node.object(Self.kinds + ["dryRun", "fallback"]),
            let (key, value) = object.one(of: Self.kinds), let kind = kind(key, value)
        else { return nil }
        var policy = TrafficPolicy(name: name, kind)
        if let dryRun = object["dryRun"]?.boolean() { policy.dryRun = dryRun }
        policy.fallback = object["fallback"].flatMap(fallback)
        for fault in policy.faults { note(fault, value, object["fallback"]) }
        return policy
    }

    // MARK: - Private

    /// Puts a fault to the field that it names, as far as the file has it.
    private func note(_ fault: PolicyFault, _ value: ConfigurationNode, _ fallback: ConfigurationNode?) {
        var path = fault.field.split(separator: ".").map(String.init)[...]
        var node = value
        if path.first == "fallback", let fallback {
            node = fallback
            path = path.dropFirst()
        }
        while let key = path.popFirst(), let next = node.child(key) { node = next }
        node.fail(fault.description)
    }

    private func kind(_ key: String, _ node: ConfigurationNode) -> TrafficPolicy.Kind? {
        switch key {
        case "rateLimit": rateLimit(node).map(TrafficPolicy.Kind.rateLimit)
        case "concurrency": concurrency(node).map(TrafficPolicy.Kind.concurrency)
        case "related": related(node).map(TrafficPolicy.Kind.related)
        case "circuitBreaker": circuitBreaker(node).map(TrafficPolicy.Kind.circuitBreaker)
        default: LoadSheddingReader().read(node).map(TrafficPolicy.Kind.loadShedding)
        }
    }

    private func fallback(_ node: ConfigurationNode) -> FallbackResponse? {
        guard let object = node.object(["status", "contentType", "body"]) else { return nil }
        var response = FallbackResponse()
        if let status = object["status"]?.integer(200...599) { response.status = status }
        if let type = object["contentType"]?.text("a media type") { response.contentType = type }
        if let body = object["body"]?.text("the text of the answer") { response.body = body }
        return response
    }

    // MARK: - Limits

    private func rateLimit(_ node: ConfigurationNode) -> RateLimit? {
        guard let object = node.object(["rate", "burst", "key", "maximumKeys", "maximumWait", "warmUp"]),
            let rate = object.required("rate")?.rate()
        else { return nil }
        var limit = RateLimit(
            requests: rate.events,
            per: rate.per,
            burst: object["burst"]?.integer(0...1_000_000),
            key: object["key"].flatMap { $0.policyKey() } ?? .none
        )
        if let keys = object["maximumKeys"]?.integer(1...1_048_576) { limit.maximumKeys = keys }
        if let wait = object["maximumWait"]?.duration(0...60_000) { limit.maximumWait = wait }
        limit.warmUp = object["warmUp"].flatMap(warmUp)
        return limit
    }

    private func warmUp(_ node: ConfigurationNode) -> WarmUp? {
        guard let object = node.object(["time", "coldFactor"]) else { return nil }
        var warmUp = WarmUp()
        if let time = object["time"]?.duration(100...3_600_000) { warmUp.time = time }
        if let factor = object["coldFactor"]?.number(1...100) { warmUp.coldFactor = factor }
        return warmUp
    }

    private func concurrency(_ node: ConfigurationNode) -> ConcurrencyLimit? {
        guard let object = node.object(["maximum", "key", "maximumKeys"]),
            let maximum = object.required("maximum")?.integer(1...1_000_000)
        else { return nil }
        var limit = ConcurrencyLimit(maximum: maximum, key: object["key"].flatMap { $0.policyKey() } ?? .none)
        if let keys = object["maximumKeys"]?.integer(1...1_048_576) { limit.maximumKeys = keys }
        return limit
    }

    private func related(_ node: ConfigurationNode) -> RelatedLimit? {
        guard let object = node.object(["route", "rate", "burst"]) else { return nil }
        let route = object.required("route")?.name()
        let rate = object.required("rate")?.rate()
        guard let route, let rate else { return nil }
        return RelatedLimit(
            route: route,
            requests: rate.events,
            per: rate.per,
            burst: object["burst"]?.integer(0...1_000_000)
        )
    }

    private func circuitBreaker(_ node: ConfigurationNode) -> CircuitBreaker? {
        let fields = [
            "window", "minimumRequests", "slowRatio", "slowThreshold", "errorRatio", "errorCount", "openTime",
            "probes", "probeDeadline", "rampTime",
        ]
        guard let object = node.object(fields) else { return nil }
        var breaker = CircuitBreaker()
        if ["slowRatio", "errorCount"].contains(where: object.has) { breaker.errorRatio = nil }
        if let window = object["window"]?.duration(100...600_000) { breaker.window = window }
        if let count = object["minimumRequests"]?.integer(1...1_000_000) { breaker.minimumRequests = count }
        if let ratio = object["slowRatio"]?.fraction() { breaker.slowRatio = ratio }
        if let threshold = object["slowThreshold"]?.duration(1...600_000) { breaker.slowThreshold = threshold }
        if let ratio = object["errorRatio"]?.fraction() { breaker.errorRatio = ratio }
        if let count = object["errorCount"]?.integer(0...1_000_000) { breaker.errorCount = count }
        if let time = object["openTime"]?.duration(1...3_600_000) { breaker.openTime = time }
        if let probes = object["probes"]?.integer(1...100) { breaker.probes = probes }
        if let deadline = object["probeDeadline"]?.duration(1...600_000) { breaker.probeDeadline = deadline }
        if let time = object["rampTime"]?.duration(0...3_600_000) { breaker.rampTime = time }
        return breaker
    }
}

/// Reads how a backend is kept at the load that it can serve.
struct LoadSheddingReader {
    private static let fields = [
        "classes", "defaultClass", "initialCap", "minimumCap", "maximumCap", "adaptsCap", "cutsByPriority", "deadline",
        "fairnessKey",
    ]

    func read(_ node: ConfigurationNode) -> LoadShedding? {
        guard let object = node.object(Self.fields) else { return nil }
        var shedding = LoadShedding()
        if let classes = object["classes"]?.elements(of: "classes", atMost: LoadShedding.maximumClasses) {
            shedding.classes = classes.compactMap(priorityClass)
        }
        shedding.defaultClass = object["defaultClass"]?.name()
        if let cap = object["minimumCap"]?.integer(1...32_767) { shedding.minimumCap = cap }
        if let cap = object["maximumCap"]?.integer(1...32_767) { shedding.maximumCap = cap }
        let cap = min(max(shedding.initialCap, shedding.minimumCap), shedding.maximumCap)
        shedding.initialCap = object["initialCap"]?.integer(1...32_767) ?? cap
        if let flag = object["adaptsCap"]?.boolean() { shedding.adaptsCap = flag }
        if let flag = object["cutsByPriority"]?.boolean() { shedding.cutsByPriority = flag }
        if let deadline = object["deadline"]?.duration(1...600_000) { shedding.deadline = deadline }
        if let key = object["fairnessKey"].flatMap({ $0.policyKey() }) { shedding.fairnessKey = key }
        return shedding
    }

    // MARK: - Private

    private func priorityClass(_ node: ConfigurationNode) -> PriorityClass? {
        guard let object = node.object(["name", "reservedShare", "selectors"]),
            let name = object.required("name")?.name()
        else { return nil }
        return PriorityClass(
            name: name,
            reservedShare: object["reservedShare"]?.fraction() ?? 0,
            selectors: (object["selectors"]?.elements(of: "selectors", atMost: 16) ?? []).compactMap(selector)
        )
    }

    /// `{ header: X-Tier, value: gold }` or `{ route: pay }`
    private func selector(_ node: ConfigurationNode) -> PriorityClass.Selector? {
        guard let object = node.object(["header", "value", "route"]),
            let (kind, value) = object.one(of: ["header", "route"])
        else { return nil }
        guard kind == "header" else {
            object["value"]?.fail("belongs to a header, not to a route")
            return value.name().map(PriorityClass.Selector.route)
        }
        return value.headerName().map { .header(name: $0, value: object["value"]?.text("a value")) }
    }
}

extension ConfigurationNode {
    /// What requests are told apart by: `clientAddress`, `host`, `path`, or `{ header: X-User }`, `{ query: … }`, `{ cookie: … }`.
    func policyKey() -> PolicyKey? {
        if isScalar { return choice(["clientAddress": .clientAddress, "host": .host, "path": .path, "none": .none]) }
        let kinds = ["header", "query", "cookie"]
        guard let (kind, value) = object(kinds)?.one(of: kinds), let name = value.headerName() else { return nil }
        switch kind {
        case "header": return .header(name)
        case "query": return .query(name)
        default: return .cookie(name)
        }
    }

    /// The value of a key, or of the first element of a list that has it.
    fileprivate func child(_ key: String) -> ConfigurationNode? {
        switch node {
        case .mapping(let mapping):
            guard let value = mapping.first(where: { $0.key.string == key })?.value else { return nil }
            return ConfigurationNode(node: value, field: "\(field).\(key)", problems: problems)
        default: return nil
        }
    }
}
