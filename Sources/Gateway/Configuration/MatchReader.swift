/// Reads the conditions under which a rule takes a request.
struct MatchReader {
    func read(_ node: ConfigurationNode) -> [RouteTable.Match] {
        guard let elements = node.elements(of: "matches", atMost: 64) else { return [] }
        if elements.isEmpty { node.fail("must have at least one match; leave it out to match every request") }
        return elements.compactMap(match)
    }

    // MARK: - Private

    private func match(_ node: ConfigurationNode) -> RouteTable.Match? {
        guard let object = node.object(["path", "method", "headers", "queryParams"]) else { return nil }
        var match = RouteTable.Match()
        if let path = object["path"].flatMap(path) { match.path = path }
        match.method = object["method"].flatMap(method)
        match.headers = object["headers"].map { pairs($0, of: "headers", isName: FieldSyntax.isHeaderName) } ?? []
        match.query = object["queryParams"].map { pairs($0, of: "parameters") { !$0.isEmpty } } ?? []
        return match
    }

    private func path(_ node: ConfigurationNode) -> RouteTable.Path? {
        guard !node.isScalar else {
            node.fail("must say how it is meant: { prefix: … }, { exact: … } or { regex: … }")
            return nil
        }
        let kinds = ["exact", "prefix", "regex"]
        guard let (kind, value) = node.object(kinds)?.one(of: kinds) else { return nil }
        switch kind {
        case "exact": return pathText(value).map(RouteTable.Path.exact)
        case "regex": return value.regularExpression().map(RouteTable.Path.regularExpression)
        default: return prefix(value).map(RouteTable.Path.prefix)
        }
    }

    private func prefix(_ prefix: ConfigurationNode) -> String? {
        guard let text = pathText(prefix) else { return nil }
        guard text.split(separator: "/").count <= RouteTable.Path.maximumPrefixSegments else {
            prefix.fail("has more than \(RouteTable.Path.maximumPrefixSegments) segments")
            return nil
        }
        return text
    }

    private func pathText(_ node: ConfigurationNode) -> String? {
        guard let text = node.text("a path") else { return nil }
        guard FieldSyntax.isPath(text) else {
            node.fail("\"\(text)\" is not a path; it starts with / and has no spaces, ? or #, at most 1024 bytes")
            return nil
        }
        return text
    }

    private func method(_ node: ConfigurationNode) -> String? {
        guard let text = node.text("a method") else { return nil }
        guard FieldSyntax.isHeaderName(text), text.utf8.count <= 32 else {
            node.fail("\"\(text)\" is not a method; write GET, POST or the like")
            return nil
        }
        guard text == text.uppercased() else {
            node.fail("methods are told apart by case; write \(text.uppercased())")
            return nil
        }
        return text
    }

    private func pairs(_ node: ConfigurationNode, of noun: String, isName: (String) -> Bool) -> [RouteTable.FieldMatch]
    {
        (node.entries(of: noun, atMost: 16) ?? []).compactMap { entry in
            guard isName(entry.key) else {
                entry.failAtKey("\"\(entry.key)\" is not a name of \(noun)")
                return nil
            }
            return value(entry.value).map { RouteTable.FieldMatch(entry.key, $0) }
        }
    }

    /// A plain value is meant exactly.
    private func value(_ node: ConfigurationNode) -> RouteTable.FieldMatch.Value? {
        if node.isScalar { return node.text("a value").map(RouteTable.FieldMatch.Value.exact) }
        let kinds = ["exact", "regex"]
        guard let (kind, value) = node.object(kinds)?.one(of: kinds) else { return nil }
        return kind == "exact"
            ? value.text("a value").map(RouteTable.FieldMatch.Value.exact)
            : value.regularExpression().map(RouteTable.FieldMatch.Value.regularExpression)
    }
}
