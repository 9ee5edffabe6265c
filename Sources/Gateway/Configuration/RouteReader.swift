import FlowControl

/// Reads the routes of a configuration file into rules of a table.
struct RouteReader {
    let names: FileNames

    private static let maximumRules = 256

    func read(_ node: ConfigurationNode) -> [RouteTable.Rule] {
        guard let routes = node.elements(of: "routes", atMost: FileConfiguration.maximumRoutes) else { return [] }
        var known: Set<String> = []
        return routes.flatMap { route($0, &known) }
    }

    // MARK: - Routes

    private func route(_ node: ConfigurationNode, _ known: inout Set<String>) -> [RouteTable.Rule] {
        guard let route = node.object(["name", "hosts", "listeners", "rules"]) else { return [] }
        let name = route.required("name")
        let text = name?.name() ?? ""
        if !text.isEmpty, !known.insert(text).inserted { name?.fail("there is another route \"\(text)\"") }
        let hosts = route.optional("hosts", default: ["*"], hosts) ?? []
        let listeners = route["listeners"].map { node in
            (node.elements(of: "listeners", atMost: RouteTable.maximumListeners) ?? []).compactMap(names.listener)
        }
        guard let rules = route.required("rules")?.elements(of: "rules", atMost: Self.maximumRules) else { return [] }
        return rules.compactMap { node in
            guard var rule = rule(node, route: text) else { return nil }
            rule.hosts = hosts
            rule.listeners = listeners ?? []
            return rule
        }
    }

    private func hosts(_ node: ConfigurationNode) -> [String]? {
        guard let elements = node.elements(of: "hosts", atMost: 256) else { return nil }
        if elements.isEmpty { node.fail("must name at least one host; leave it out for all") }
        return elements.compactMap { $0.hostPattern() }
    }

    // MARK: - Rules

    private func rule(_ node: ConfigurationNode, route: String) -> RouteTable.Rule? {
        let fields = ["matches", "filters", "backends", "timeouts", "retry", "policies"]
        guard let object = node.object(fields) else { return nil }
        var rule = RouteTable.Rule(route: route)
        if let matches = object["matches"] { rule.matches = MatchReader().read(matches) }
        if let filters = object["filters"] {
            rule.filters = FilterReader(matches: rule.matches, names: names).read(filters)
        }
        if let backends = object["backends"] { rule.targets = targets(backends) }
        if let timeouts = object["timeouts"] { rule.timeouts = self.timeouts(timeouts) }
        rule.retry = object["retry"].flatMap { RetryReader().read($0) }
        if let policies = object["policies"] { rule.policies = self.policies(policies) }
        checkAnswer(object)
        return rule
    }

    /// A rule must say where answers come from, once.
    private func checkAnswer(_ object: ConfigurationObject) {
        let filters = object.values["filters"]
        let answers = ["redirect", "respond"].contains { filters?.hasField($0) ?? false }
        switch (answers, object.has("backends")) {
        case (true, true): object["backends"]?.fail("a rule that redirects or responds itself needs no backends")
        case (false, false): object.node.fail("the rule needs backends, or a filter that answers: redirect or respond")
        default: break
        }
    }

    private func policies(_ node: ConfigurationNode) -> [TrafficPolicy] {
        let elements = node.elements(of: "policies", atMost: TrafficPolicy.maximumPerRule) ?? []
        return elements.compactMap(names.policy)
    }

    private func targets(_ node: ConfigurationNode) -> [RouteTable.Target] {
        guard let elements = node.elements(of: "backends", atMost: 64) else { return [] }
        let targets = elements.compactMap(target)
        if targets.count == elements.count, targets.allSatisfy({ $0.weight == 0 }) {
            node.fail("must have at least one backend of a weight above zero")
        }
        return targets
    }

    private func target(_ node: ConfigurationNode) -> RouteTable.Target? {
        if node.isScalar { return names.backend(node).map { RouteTable.Target(backend: $0) } }
        guard let object = node.object(["name", "weight"]) else { return nil }
        let name = object.required("name").flatMap(names.backend)
        let weight = object.optional("weight", default: 1) { $0.integer(0...1_000_000) }
        guard let name, let weight else { return nil }
        return RouteTable.Target(backend: name, weight: weight)
    }

    private func timeouts(_ node: ConfigurationNode) -> RouteTable.Timeouts {
        guard let object = node.object(["request", "backendRequest"]) else { return RouteTable.Timeouts() }
        return RouteTable.Timeouts(
            request: object["request"]?.duration(1...86_400_000),
            backendRequest: object["backendRequest"]?.duration(1...86_400_000)
        )
    }
}
