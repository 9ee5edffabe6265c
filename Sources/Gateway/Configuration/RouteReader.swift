/// Reads the routes of a configuration file into rules of a table.
struct RouteReader {
    /// Every backend that the file names.
    let backends: Set<String>

    private static let maximumRules = 256

    func read(_ node: ConfigurationNode) -> [RouteTable.Rule] {
        guard let routes = node.elements(of: "routes", atMost: FileConfiguration.maximumRoutes) else { return [] }
        var names: Set<String> = []
        return routes.flatMap { route($0, &names) }
    }

    // MARK: - Routes

    private func route(_ node: ConfigurationNode, _ names: inout Set<String>) -> [RouteTable.Rule] {
        guard let route = node.object(["name", "hosts", "rules"]) else { return [] }
        let name = route.required("name")
        let text = name?.name() ?? ""
        if !text.isEmpty, !names.insert(text).inserted { name?.fail("there is another route \"\(text)\"") }
        let hosts = route.optional("hosts", default: ["*"], hosts) ?? []
        guard let rules = route.required("rules")?.elements(of: "rules", atMost: Self.maximumRules) else { return [] }
        return rules.compactMap { node in
            guard var rule = rule(node, route: text) else { return nil }
            rule.hosts = hosts
            return rule
        }
    }

    private func hosts(_ node: ConfigurationNode) -> [String]? {
        guard let elements = node.elements(of: "hosts", atMost: 256) else { return nil }
        if elements.isEmpty { node.fail("must name at least one host; leave it out for all") }
        return elements.compactMap { element in
            guard let text = element.text("a host") else { return nil }
            guard FieldSyntax.isHostPattern(text) else {
                element.fail(
                    "\"\(text)\" is not a host; write shop.example.org, *.example.org or *, without scheme and port"
                )
                return nil
            }
            return text.lowercased()
        }
    }

    // MARK: - Rules

    private func rule(_ node: ConfigurationNode, route: String) -> RouteTable.Rule? {
        guard let object = node.object(["matches", "filters", "backends", "timeouts"]) else { return nil }
        var rule = RouteTable.Rule(route: route)
        if let matches = object["matches"] { rule.matches = MatchReader().read(matches) }
        if let filters = object["filters"] { rule.filters = FilterReader(matches: rule.matches).read(filters) }
        if let backends = object["backends"] { rule.targets = targets(backends) }
        if let timeouts = object["timeouts"] { rule.timeouts = self.timeouts(timeouts) }
        checkAnswer(of: rule, object)
        return rule
    }

    /// A rule must say where answers come from, once.
    private func checkAnswer(of rule: RouteTable.Rule, _ object: ConfigurationObject) {
        if rule.filters.redirect != nil {
            object["backends"]?.fail("a rule that redirects sends nothing to backends; leave one of the two out")
        } else if !object.has("backends"), !(object["filters"]?.isMapping ?? false) {
            object.node.fail("the rule needs backends, or a filter that answers: redirect")
        } else if !object.has("backends") {
            object.node.fail("the rule needs backends, since none of its filters answers")
        }
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
        if node.isScalar { return backendName(node).map { RouteTable.Target(backend: $0) } }
        guard let object = node.object(["name", "weight"]) else { return nil }
        let name = object.required("name").flatMap(backendName)
        let weight = object.optional("weight", default: 1) { $0.integer(0...BackendReader.maximumWeight) }
        guard let name, let weight else { return nil }
        return RouteTable.Target(backend: name, weight: weight)
    }

    private func backendName(_ node: ConfigurationNode) -> String? {
        guard let name = node.text("the name of a backend") else { return nil }
        guard backends.contains(name) else {
            node.fail("there is no backend \"\(name)\"\(Suggestion.hint(for: name, among: backends))")
            return nil
        }
        return name
    }

    private func timeouts(_ node: ConfigurationNode) -> RouteTable.Timeouts {
        guard let object = node.object(["request", "backendRequest"]) else { return RouteTable.Timeouts() }
        return RouteTable.Timeouts(
            request: object["request"]?.duration(1...86_400_000),
            backendRequest: object["backendRequest"]?.duration(1...86_400_000)
        )
    }
}
