/// Reads what a rule changes in requests and answers.
struct FilterReader {
    let matches: [RouteTable.Match]
    let names: FileNames

    private static let fields = [
        "requestHeaders", "responseHeaders", "rewrite", "redirect", "respond", "mirrors", "cors",
    ]

    func read(_ node: ConfigurationNode) -> RouteTable.Filters {
        var filters = RouteTable.Filters()
        guard let object = node.object(Self.fields) else { return filters }
        if let node = object["requestHeaders"] { filters.requestHeaders = headerChanges(node) }
        if let node = object["responseHeaders"] { filters.responseHeaders = headerChanges(node) }
        if let node = object["rewrite"] { rewrite(node, &filters) }
        if let node = object["redirect"] { filters.redirect = redirect(node) }
        if let node = object["respond"] { filters.response = response(node) }
        if let node = object["mirrors"] { filters.mirrors = mirrors(node) }
        if let node = object["cors"] { filters.crossOrigin = crossOrigin(node) }
        if object.has("redirect") { object["respond"]?.fail("a rule answers once; leave out redirect or respond") }
        if object.has("redirect") || object.has("respond") {
            for field in ["rewrite", "mirrors"] { object[field]?.fail("a rule that answers itself sends nothing on") }
        }
        return filters
    }

    // MARK: - Headers

    private func headerChanges(_ node: ConfigurationNode) -> RouteTable.HeaderChanges {
        guard let object = node.object(["set", "add", "remove"]) else { return RouteTable.HeaderChanges() }
        return RouteTable.HeaderChanges(
            set: object["set"].map(headers) ?? [],
            add: object["add"].map(headers) ?? [],
            remove: object["remove"].map(names) ?? []
        )
    }

    private func headers(_ node: ConfigurationNode) -> [RouteTable.Pair] {
        (node.entries(of: "headers", atMost: 64) ?? []).flatMap { entry -> [RouteTable.Pair] in
            if let problem = Self.problem(ofName: entry.key) { entry.failAtKey(problem) }
            let values = entry.value.isScalar ? [entry.value] : entry.value.elements(of: "values", atMost: 16) ?? []
            return values.compactMap { node in headerValue(node).map { RouteTable.Pair(entry.key, $0) } }
        }
    }

    private func headerValue(_ node: ConfigurationNode) -> String? {
        guard let text = node.text("a value") else { return nil }
        guard FieldSyntax.isHeaderValue(text) else {
            node.fail("has a control character or more than 8192 bytes")
            return nil
        }
        return text
    }

    private func names(_ node: ConfigurationNode) -> [String] {
        (node.elements(of: "header names", atMost: 64) ?? []).compactMap { element in
            guard let name = element.text("a header name") else { return nil }
            if let problem = Self.problem(ofName: name) { element.fail(problem) }
            return name
        }
    }

    /// Fields that frame messages and name the protocol are the gateway's own.
    private static func problem(ofName name: String) -> String? {
        guard FieldSyntax.isHeaderName(name) else { return "\"\(name)\" is not the name of a header" }
        if name.lowercased() == "host" { return "the Host header is changed by rewrite.hostname" }
        return FieldSyntax.isFraming(name) ? "the header \(name) belongs to the gateway and cannot be changed" : nil
    }

    // MARK: - Rewrite and redirect

    private func rewrite(_ node: ConfigurationNode, _ filters: inout RouteTable.Filters) {
        guard let object = node.object(["hostname", "path"]) else { return }
        filters.rewriteHost = object["hostname"].flatMap(hostname)
        filters.rewritePath = object["path"].flatMap(pathChange)
    }

    private func hostname(_ node: ConfigurationNode) -> String? {
        guard let text = node.text("a host name") else { return nil }
        guard FieldSyntax.isHost(text) else {
            node.fail("\"\(text)\" is not a host name")
            return nil
        }
        return text
    }

    private func pathChange(_ node: ConfigurationNode) -> RouteTable.PathChange? {
        let kinds = ["replaceFullPath", "replacePrefixMatch"]
        guard let (kind, prefix) = node.object(kinds)?.one(of: kinds) else { return nil }
        if kind == "replaceFullPath" { return path(prefix).map(RouteTable.PathChange.full) }
        guard matches.allSatisfy(\.path.isPrefix) else {
            prefix.fail("works only where every match of the rule has a path prefix; use replaceFullPath")
            return nil
        }
        return path(prefix).map(RouteTable.PathChange.prefix)
    }

    private func path(_ node: ConfigurationNode) -> String? {
        guard let text = node.text("a path") else { return nil }
        guard FieldSyntax.isPath(text) else {
            node.fail("\"\(text)\" is not a path; it starts with / and has no spaces, ? or #")
            return nil
        }
        return text
    }

    private func redirect(_ node: ConfigurationNode) -> RouteTable.Redirect? {
        guard let object = node.object(["scheme", "hostname", "port", "path", "statusCode"]) else { return nil }
        let status = object.optional("statusCode", default: 302) {
            $0.choice(["301": 301, "302": 302, "303": 303, "307": 307, "308": 308])
        }
        return RouteTable.Redirect(
            scheme: object["scheme"].flatMap { $0.choice(["http": "http", "https": "https"]) },
            host: object["hostname"].flatMap(hostname),
            port: object["port"]?.integer(1...65535),
            path: object["path"].flatMap(pathChange),
            status: status ?? 302
        )
    }

    // MARK: - Other origins

    private func crossOrigin(_ node: ConfigurationNode) -> RouteTable.CrossOrigin? {
        let fields = ["allowOrigins", "allowMethods", "allowHeaders", "exposeHeaders", "allowCredentials", "maxAge"]
        guard let object = node.object(fields) else { return nil }
        var crossOrigin = RouteTable.CrossOrigin()
        crossOrigin.origins = origins(object.required("allowOrigins"))
        crossOrigin.methods = tokens(object["allowMethods"], of: "methods")
        crossOrigin.headers = tokens(object["allowHeaders"], of: "header names")
        crossOrigin.exposedHeaders = tokens(object["exposeHeaders"], of: "header names")
        crossOrigin.allowsCredentials = object["allowCredentials"]?.boolean() ?? false
        if let age = object["maxAge"]?.duration(1000...86_400_000) { crossOrigin.maximumAge = age / 1000 }
        return crossOrigin
    }

    private func origins(_ node: ConfigurationNode?) -> [String] {
        let elements = node?.elements(of: "origins", atMost: RouteTable.CrossOrigin.maximumOrigins) ?? []
        return elements.compactMap { element in
            guard let text = element.text("an origin") else { return nil }
            guard FieldSyntax.isOrigin(text) else {
                element.fail("\"\(text)\" is not an origin; it looks like https://shop.example, https://*.example or *")
                return nil
            }
            return text
        }
    }

    private func tokens(_ node: ConfigurationNode?, of kind: String) -> [String] {
        (node?.elements(of: kind, atMost: 64) ?? []).compactMap { element in
            guard let text = element.text("one of the \(kind)") else { return nil }
            guard !text.isEmpty, text.utf8.allSatisfy(ASCII.isToken) else {
                element.fail("\"\(text)\" cannot be one of the \(kind)")
                return nil
            }
            return text
        }
    }

    // MARK: - Answers and copies

    private func response(_ node: ConfigurationNode) -> RouteTable.DirectResponse? {
        guard let object = node.object(["status", "contentType", "body"]) else { return nil }
        var response = RouteTable.DirectResponse()
        if let status = object["status"]?.integer(200...599) { response.status = status }
        if let type = object["contentType"].flatMap(headerValue) { response.contentType = type }
        if let body = object["body"], let text = body.text("the text of the answer") {
            response.body = text
            if text.utf8.count > RouteTable.DirectResponse.maximumBody {
                body.fail("has \(text.utf8.count) bytes; at most \(RouteTable.DirectResponse.maximumBody) are allowed")
            }
        }
        return response
    }

    private func mirrors(_ node: ConfigurationNode) -> [RouteTable.RequestMirror] {
        (node.elements(of: "mirrors", atMost: RouteTable.RequestMirror.maximum) ?? []).compactMap { element in
            if element.isScalar { return names.backend(element).map { RouteTable.RequestMirror(backend: $0) } }
            guard let object = element.object(["backend", "share"]) else { return nil }
            let backend = object.required("backend").flatMap(names.backend)
            let share = object.optional("share", default: 1) { $0.fraction() }
            guard let backend, let share else { return nil }
            return RouteTable.RequestMirror(
                backend: backend,
                share: Int((share * Double(RouteTable.RequestMirror.whole)).rounded())
            )
        }
    }
}
