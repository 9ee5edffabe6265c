import FlowControl

/// Reads how the endpoints of a backend are chosen, watched and spared.
struct BackendPolicyReader {
    static let fields = [
        "loadBalancing", "healthCheck", "outlierDetection", "slowStart", "connections", "retryBudget",
        "panicThreshold",
    ]

    func read(_ object: ConfigurationObject) -> BackendPolicy {
        var policy = BackendPolicy()
        if let balancing = object["loadBalancing"].flatMap(loadBalancing) { policy.loadBalancing = balancing }
        policy.healthCheck = object["healthCheck"].flatMap(healthCheck)
        policy.outlierDetection = object["outlierDetection"].flatMap(outlierDetection)
        policy.slowStart = object["slowStart"].flatMap(slowStart)
        if let connections = object["connections"].flatMap(connections) { policy.connections = connections }
        if let budget = object["retryBudget"].flatMap(retryBudget) { policy.retryBudget = budget }
        if let threshold = object["panicThreshold"]?.percent() { policy.panicThreshold = threshold }
        return policy
    }

    // MARK: - Choosing

    /// `roundRobin`, `leastRequests` or `{ consistentHash: … }`
    private func loadBalancing(_ node: ConfigurationNode) -> BackendPolicy.LoadBalancing? {
        if node.isScalar { return node.choice(["leastRequests": .leastRequests, "roundRobin": .roundRobin]) }
        guard let key = node.object(["consistentHash"])?.required("consistentHash") else { return nil }
        return hashKey(key).map(BackendPolicy.LoadBalancing.consistentHash)
    }

    private func hashKey(_ node: ConfigurationNode) -> BackendPolicy.HashKey? {
        if node.isScalar { return node.choice(["clientAddress": .clientAddress]) }
        let kinds = ["header", "cookie"]
        guard let (kind, value) = node.object(kinds)?.one(of: kinds), let name = value.headerName() else { return nil }
        return kind == "header" ? .header(name) : .cookie(name)
    }

    // MARK: - Watching

    private func healthCheck(_ node: ConfigurationNode) -> BackendPolicy.HealthCheck? {
        let fields = [
            "type", "path", "host", "port", "interval", "timeout", "healthyThreshold", "unhealthyThreshold",
            "expectedStatuses",
        ]
        guard let object = node.object(fields) else { return nil }
        var check = BackendPolicy.HealthCheck()
        if let isHTTP = object["type"].flatMap({ $0.choice(["HTTP": true, "TCP": false]) }), !isHTTP {
            check.path = nil
            for field in ["path", "host", "expectedStatuses"] {
                object[field]?.fail("a check of type TCP only opens a connection")
            }
        } else if let path = object["path"].flatMap(target) {
            check.path = path
        }
        check.host = object["host"].flatMap(hostHeader)
        check.port = object["port"]?.integer(1...65535)
        if let interval = object["interval"]?.duration(100...3_600_000) { check.interval = interval }
        if let timeout = object["timeout"]?.duration(10...600_000) { check.timeout = timeout }
        if let threshold = object["healthyThreshold"]?.integer(1...100) { check.healthyThreshold = threshold }
        if let threshold = object["unhealthyThreshold"]?.integer(1...100) { check.unhealthyThreshold = threshold }
        if let statuses = object["expectedStatuses"] { check.expectedStatuses = self.statuses(statuses) }
        return check
    }

    /// A path, with or without a query.
    private func target(_ node: ConfigurationNode) -> String? {
        guard let text = node.text("a path") else { return nil }
        guard FieldSyntax.isPath(text.replacing("?", with: "/")) else {
            node.fail("\"\(text)\" is not a path; it starts with / and has no spaces or #")
            return nil
        }
        return text
    }

    private func hostHeader(_ node: ConfigurationNode) -> String? {
        guard let text = node.text("a host name") else { return nil }
        guard FieldSyntax.isHost(text) || NumericAddress.isValid(text) else {
            node.fail("\"\(text)\" is not a host name")
            return nil
        }
        return text
    }

    /// `200`, or a range like `200-299`
    private func statuses(_ node: ConfigurationNode) -> [ClosedRange<Int>] {
        (node.elements(of: "statuses", atMost: 32) ?? []).compactMap { element in
            guard let text = element.text("a status") else { return nil }
            let parts = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard (1...2).contains(parts.count), let first = parts[0], let last = parts[parts.count - 1],
                first <= last, first >= 100, last <= 599
            else {
                element.fail("\"\(text)\" is not a status like 200 or a range like 200-299")
                return nil
            }
            return first...last
        }
    }

    private func outlierDetection(_ node: ConfigurationNode) -> BackendPolicy.OutlierPolicy? {
        let fields = [
            "consecutive5xx", "consecutiveGatewayFailures", "interval", "successRateMinimumRequests",
            "successRateMinimumEndpoints", "successRateFactor", "baseEjectionTime", "maximumEjectionTime",
            "maximumEjected", "dryRun",
        ]
        guard let object = node.object(fields) else { return nil }
        var policy = BackendPolicy.OutlierPolicy()
        if let count = object["consecutive5xx"]?.integer(0...1000) { policy.consecutive5xx = count }
        if let count = object["consecutiveGatewayFailures"]?.integer(0...1000) {
            policy.consecutiveGatewayFailures = count
        }
        if let interval = object["interval"]?.duration(100...3_600_000) { policy.interval = interval }
        if let count = object["successRateMinimumRequests"]?.integer(0...1_000_000) {
            policy.successRateMinimumRequests = count
        }
        if let count = object["successRateMinimumEndpoints"]?.integer(2...1024) {
            policy.successRateMinimumEndpoints = count
        }
        if let factor = object["successRateFactor"]?.number(0.1...10) {
            policy.successRateStandardDeviationFactor = Int((factor * 1000).rounded())
        }
        if let time = object["baseEjectionTime"]?.duration(100...3_600_000) { policy.baseEjectionTime = time }
        if let time = object["maximumEjectionTime"]?.duration(100...86_400_000) { policy.maximumEjectionTime = time }
        if let share = object["maximumEjected"]?.percent() { policy.maximumEjectedPercent = share }
        if let dryRun = object["dryRun"]?.boolean() { policy.dryRun = dryRun }
        return policy
    }

    // MARK: - Sparing

    private func slowStart(_ node: ConfigurationNode) -> BackendPolicy.SlowStart? {
        guard let object = node.object(["window", "minimumWeight"]) else { return nil }
        var slowStart = BackendPolicy.SlowStart()
        if let window = object["window"]?.duration(100...3_600_000) { slowStart.window = window }
        if let weight = object["minimumWeight"]?.percent(1...100) { slowStart.minimumWeightPercent = weight }
        return slowStart
    }

    private func connections(_ node: ConfigurationNode) -> BackendPolicy.ConnectionLimits? {
        let fields = ["maximumPerEndpoint", "maximumPending", "connectTimeout", "idleTimeout"]
        guard let object = node.object(fields) else { return nil }
        var limits = BackendPolicy.ConnectionLimits()
        limits.maximumPerEndpoint = object["maximumPerEndpoint"]?.integer(1...1_000_000)
        if let pending = object["maximumPending"]?.integer(0...1_000_000) { limits.maximumPending = pending }
        limits.connectTimeout = object["connectTimeout"]?.duration(1...600_000)
        limits.idleTimeout = object["idleTimeout"]?.duration(1...86_400_000)
        return limits
    }

    private func retryBudget(_ node: ConfigurationNode) -> BackendPolicy.RetryBudgetPolicy? {
        guard let object = node.object(["share", "minimumPerSecond", "dryRun"]) else { return nil }
        var budget = BackendPolicy.RetryBudgetPolicy()
        if let share = object["share"]?.percent() { budget.percent = share }
        if let minimum = object["minimumPerSecond"]?.integer(0...1_000_000) { budget.minimumPerSecond = minimum }
        if let dryRun = object["dryRun"]?.boolean() { budget.dryRun = dryRun }
        return budget
    }
}

/// Reads when the requests of a rule are sent once more.
struct RetryReader {
    private static let fields = [
        "attempts", "on", "codes", "perTryTimeout", "backoff", "maximumBackoff", "nonIdempotent", "maximumReplay",
    ]

    func read(_ node: ConfigurationNode) -> RetryPolicy? {
        guard let object = node.object(Self.fields) else { return nil }
        var policy = RetryPolicy()
        if let attempts = object["attempts"]?.integer(0...10) { policy.retries = attempts }
        if let conditions = object["on"].flatMap(conditions) { policy.conditions = conditions }
        if let codes = object["codes"] {
            policy.statusCodes = (codes.elements(of: "statuses", atMost: 32) ?? []).compactMap { $0.integer(400...599) }
            if object.has("on"), !policy.conditions.contains(.statusCodes) {
                codes.fail("has no effect without statusCodes in the field on")
            }
        }
        policy.perTryTimeout = object["perTryTimeout"]?.duration(1...3_600_000)
        if let interval = object["backoff"]?.duration(0...60_000) { policy.baseInterval = interval }
        if let interval = object["maximumBackoff"]?.duration(0...600_000) { policy.maximumInterval = interval }
        policy.maximumInterval = max(policy.maximumInterval, policy.baseInterval)
        if let flag = object["nonIdempotent"]?.boolean() { policy.includesNonIdempotent = flag }
        if let size = object["maximumReplay"]?.size(0...262_144) { policy.maximumReplay = size }
        return policy
    }

    private func conditions(_ node: ConfigurationNode) -> RetryPolicy.Conditions? {
        guard let elements = node.elements(of: "conditions", atMost: 4) else { return nil }
        return RetryPolicy.Conditions(
            elements.compactMap { element in
                element.choice([
                    "connectFailure": RetryPolicy.Conditions.connectFailure, "reset": .reset,
                    "statusCodes": .statusCodes, "perTryTimeout": .perTryTimeout,
                ])
            }
        )
    }
}

extension ConfigurationNode {
    func headerName() -> String? {
        guard let text = text("a name") else { return nil }
        guard FieldSyntax.isHeaderName(text) else {
            fail("\"\(text)\" is not a name; it has only letters, digits and signs like - and _")
            return nil
        }
        return text
    }
}
