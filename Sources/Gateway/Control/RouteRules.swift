import KubernetesModel

/// Why a route cannot be served as it is written.
struct RouteProblem: Error, Hashable {
    var message: String
}

/// Reads the rules of an HTTPRoute.
struct RouteRules {
    let route: AnyObjectView

    func read(_ resolver: inout BackendResolver) throws(RouteProblem) -> [RouteTable.Rule] {
        var rules: [RouteTable.Rule] = []
        for (index, rule) in (route.spec["rules"]?.array ?? [[:]]).enumerated() {
            rules.append(try read(rule, at: "spec.rules[\(index)]", &resolver))
        }
        return rules
    }

    // MARK: - Private

    private func read(
        _ json: JSON,
        at field: String,
        _ resolver: inout BackendResolver
    ) throws(RouteProblem) -> RouteTable.Rule {
        var rule = RouteTable.Rule(route: route.key.description)
        rule.matches = []
        for (index, match) in (json["matches"]?.array ?? [[:]]).enumerated() {
            rule.matches.append(try self.match(match, at: "\(field).matches[\(index)]"))
        }
        if rule.matches.isEmpty { rule.matches = [RouteTable.Match()] }
        for (index, filter) in (json["filters"]?.array ?? []).enumerated() {
            try add(filter, to: &rule.filters, at: "\(field).filters[\(index)]", &resolver)
        }
        for (index, reference) in (json["backendRefs"]?.array ?? []).enumerated() {
            guard reference["filters"]?.array?.isEmpty ?? true else {
                throw RouteProblem(message: "\(field).backendRefs[\(index)].filters is not supported; use the rule's.")
            }
            let backend = resolver.resolve(reference, from: route.namespace)
            rule.targets.append(RouteTable.Target(backend: backend, weight: reference["weight"]?.int ?? 1))
        }
        rule.timeouts.request = try timeout(json["timeouts", "request"], at: "\(field).timeouts.request")
        rule.timeouts.backendRequest = try timeout(
            json["timeouts", "backendRequest"],
            at: "\(field).timeouts.backendRequest"
        )
        return rule
    }

    private func match(_ json: JSON, at field: String) throws(RouteProblem) -> RouteTable.Match {
        var match = RouteTable.Match()
        let path = json["path", "value"]?.string ?? "/"
        switch json["path", "type"]?.string ?? "PathPrefix" {
        case "Exact": match.path = .exact(path)
        case "PathPrefix":
            guard path.split(separator: "/").count <= RouteTable.Path.maximumPrefixSegments else {
                throw RouteProblem(message: "\(field).path.value has more than 64 segments.")
            }
            match.path = .prefix(path)
        case "RegularExpression": match.path = .regularExpression(try expression(path, at: "\(field).path.value"))
        case let type:
            throw unsupported(type, at: "\(field).path.type", instead: "Exact, PathPrefix or RegularExpression")
        }
        match.method = json["method"]?.string
        match.headers = try fieldMatches(json["headers"], at: "\(field).headers")
        match.query = try fieldMatches(json["queryParams"], at: "\(field).queryParams")
        return match
    }

    private func expression(_ pattern: String, at field: String) throws(RouteProblem) -> RegularExpression {
        do {
            return try RegularExpression(pattern)
        } catch {
            throw RouteProblem(message: "\(field) cannot be used as a regular expression: \(error).")
        }
    }

    /// Of several conditions on one header or parameter only the first counts (Gateway API).
    private func fieldMatches(_ json: JSON?, at field: String) throws(RouteProblem) -> [RouteTable.FieldMatch] {
        var matches: [RouteTable.FieldMatch] = []
        for (index, match) in (json?.array ?? []).enumerated() {
            let (name, value) = (match["name"]?.string ?? "", match["value"]?.string ?? "")
            guard !matches.contains(where: { $0.name.lowercased() == name.lowercased() }) else { continue }
            switch match["type"]?.string ?? "Exact" {
            case "Exact": matches.append(RouteTable.FieldMatch(name, value))
            case "RegularExpression":
                let expression = try expression(value, at: "\(field)[\(index)].value")
                matches.append(RouteTable.FieldMatch(name, .regularExpression(expression)))
            case let type:
                throw unsupported(type, at: "\(field)[\(index)].type", instead: "Exact or RegularExpression")
            }
        }
        return matches
    }

    private func pairs(_ json: JSON?) -> [RouteTable.Pair] {
        var pairs: [RouteTable.Pair] = []
        for pair in json?.array ?? [] {
            pairs.append(RouteTable.Pair(pair["name"]?.string ?? "", pair["value"]?.string ?? ""))
        }
        return pairs
    }

    private func unsupported(_ value: String, at field: String, instead: String) -> RouteProblem {
        RouteProblem(message: "\(field) is \(value), which is not supported; use \(instead).")
    }

    // MARK: - Filters

    private func add(
        _ json: JSON,
        to filters: inout RouteTable.Filters,
        at field: String,
        _ resolver: inout BackendResolver
    ) throws(RouteProblem) {
        switch json["type"]?.string ?? "" {
        case "RequestHeaderModifier":
            filters.requestHeaders = try changes(json["requestHeaderModifier"] ?? [:], at: field)
        case "ResponseHeaderModifier":
            filters.responseHeaders = try changes(json["responseHeaderModifier"] ?? [:], at: field)
        case "URLRewrite":
            filters.rewriteHost = json["urlRewrite", "hostname"]?.string
            filters.rewritePath = pathChange(json["urlRewrite", "path"])
        case "RequestRedirect": filters.redirect = redirect(json["requestRedirect"] ?? [:])
        case "CORS": filters.crossOrigin = crossOrigin(json["cors"] ?? [:])
        case "RequestMirror": try addMirror(json["requestMirror"] ?? [:], to: &filters, at: field, &resolver)
        case let type:
            throw unsupported(
                type,
                at: "\(field).type",
                instead:
                    "RequestHeaderModifier, ResponseHeaderModifier, URLRewrite, RequestRedirect, RequestMirror or CORS"
            )
        }
    }

    /// A reference that leads nowhere is named in the status; requests go on without the copy.
    private func addMirror(
        _ json: JSON,
        to filters: inout RouteTable.Filters,
        at field: String,
        _ resolver: inout BackendResolver
    ) throws(RouteProblem) {
        let whole = RouteTable.RequestMirror.whole
        guard filters.mirrors.count < RouteTable.RequestMirror.maximum else {
            throw RouteProblem(message: "\(field) is one of more than \(RouteTable.RequestMirror.maximum) mirrors.")
        }
        var share = whole
        if let percent = json["percent"]?.int { share = whole / 100 * percent }
        if let numerator = json["fraction", "numerator"]?.int {
            share = whole * numerator / max(1, json["fraction", "denominator"]?.int ?? 100)
        }
        guard (0...whole).contains(share) else {
            throw RouteProblem(message: "\(field).requestMirror mirrors a share that is not between none and all.")
        }
        guard let backend = resolver.resolve(json["backendRef"] ?? [:], from: route.namespace) else { return }
        filters.mirrors.append(RouteTable.RequestMirror(backend: backend, share: share))
    }

    private func changes(_ json: JSON, at field: String) throws(RouteProblem) -> RouteTable.HeaderChanges {
        let changes = RouteTable.HeaderChanges(
            set: pairs(json["set"]),
            add: pairs(json["add"]),
            remove: json["remove"]?.array?.compactMap(\.string) ?? []
        )
        let names = (changes.set + changes.add).map(\.name) + changes.remove
        for name in names where name.isEmpty || !name.utf8.allSatisfy(ASCII.isToken) {
            throw RouteProblem(message: "\(field) names the header \"\(name)\", which is not a valid header name.")
        }
        for pair in changes.set + changes.add
        where pair.value.utf8.contains(where: { $0 < 0x20 && $0 != 9 || $0 == 127 }) {
            throw RouteProblem(message: "\(field) gives \(pair.name) a value with a control character.")
        }
        return changes
    }

    private func pathChange(_ json: JSON?) -> RouteTable.PathChange? {
        switch json?["type"]?.string {
        case "ReplaceFullPath": .full(json?["replaceFullPath"]?.string ?? "/")
        case "ReplacePrefixMatch": .prefix(json?["replacePrefixMatch"]?.string ?? "/")
        default: nil
        }
    }

    private func redirect(_ json: JSON) -> RouteTable.Redirect {
        RouteTable.Redirect(
            scheme: json["scheme"]?.string,
            host: json["hostname"]?.string,
            port: json["port"]?.int,
            path: pathChange(json["path"]),
            status: json["statusCode"]?.int ?? 302
        )
    }

    private func crossOrigin(_ json: JSON) -> RouteTable.CrossOrigin {
        func list(_ field: String) -> [String] { json[field]?.array?.compactMap(\.string) ?? [] }
        return RouteTable.CrossOrigin(
            origins: list("allowOrigins"),
            methods: list("allowMethods"),
            headers: list("allowHeaders"),
            exposedHeaders: list("exposeHeaders"),
            allowsCredentials: json["allowCredentials"]?.bool ?? false,
            maximumAge: json["maxAge"]?.int ?? 5
        )
    }

    // MARK: - Durations

    /// Milliseconds; zero and missing mean no limit.
    private func timeout(_ json: JSON?, at field: String) throws(RouteProblem) -> Int? {
        guard let text = json?.string else { return nil }
        guard let milliseconds = Self.milliseconds(text) else {
            throw RouteProblem(message: "\(field) is \"\(text)\"; a duration looks like 10s, 500ms or 1m30s.")
        }
        return milliseconds == 0 ? nil : milliseconds
    }

    /// GEP-2257: one to four groups of a number of up to five digits and h, m, s or ms.
    static func milliseconds(_ text: String) -> Int? {
        var rest = Substring(text)
        var sum = 0
        var groups = 0
        while !rest.isEmpty {
            let digits = rest.prefix { ("0"..."9").contains($0) }
            rest = rest.dropFirst(digits.count)
            guard let number = Int(digits), digits.count <= 5, groups < 4 else { return nil }
            let units = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)]
            guard let unit = units.first(where: { rest.hasPrefix($0.0) }) else { return nil }
            rest = rest.dropFirst(unit.0.count)
            sum += number * unit.1
            groups += 1
        }
        return groups > 0 ? sum : nil
    }
}
