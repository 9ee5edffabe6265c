import KubernetesModel

/// Adds HTTPRoutes to a table, one after the other.
struct RouteBuilder {
    private(set) var table = RouteTable()
    private let namespaces: [String: AnyObjectView]
    private var resolver: BackendResolver
    private var backendNames: Set<String> = []

    init(objects: GatewayObjects) {
        namespaces = Dictionary(
            objects.namespaces.map { (AnyObjectView($0).name, AnyObjectView($0)) },
            uniquingKeysWith: { first, _ in first }
        )
        resolver = BackendResolver(
            services: objects.services,
            endpointSlices: objects.endpointSlices,
            grants: ReferenceGrants(objects.referenceGrants)
        )
    }

    /// Attaches a route wherever its parents let it; says what became of it at each parent that is ours.
    mutating func add(_ route: AnyObjectView, to gateways: inout [AttachableGateway]) -> [RouteParent] {
        let references = route.spec["parentRefs"]?.array ?? []
        let rules: [RouteTable.Rule]
        var problem: GatewayCondition?
        var resolved = resolver.resolution()
        do {
            rules = try RouteRules(route: route).read(&resolver)
            resolved = resolver.resolution()
        } catch {
            rules = []
            problem = GatewayCondition(
                type: "Accepted",
                isTrue: false,
                reason: "UnsupportedValue",
                message: error.message
            )
        }
        var hosts: [String] = []
        var listeners: [String] = []
        var parents: [RouteParent] = []
        for reference in references {
            guard let index = gateways.firstIndex(where: { Self.isParent($0, reference, route) }) else { continue }
            let attachment = attach(route, reference, to: &gateways[index], isValid: problem == nil)
            hosts += attachment.hosts.filter { !hosts.contains($0) }
            listeners += attachment.listeners.filter { !listeners.contains($0) }
            parents.append(RouteParent(reference: reference, conditions: [problem ?? attachment.condition, resolved]))
        }
        if !hosts.isEmpty { append(rules, hosts, listeners) }
        return parents
    }

    /// A request goes to the one listener that covers its host, so that hosts and listeners need no pairing.
    private mutating func append(_ rules: [RouteTable.Rule], _ hosts: [String], _ listeners: [String]) {
        for var rule in rules {
            rule.hosts = hosts
            rule.listeners = listeners
            table.rules.append(rule)
            for name in rule.targets.compactMap(\.backend) + rule.filters.mirrors.map(\.backend) { addBackend(name) }
        }
    }

    private mutating func addBackend(_ name: String) {
        guard backendNames.insert(name).inserted, let backend = resolver.backends[name] else { return }
        table.backends.append(backend)
    }

    // MARK: - Parents

    private static func isParent(_ gateway: AttachableGateway, _ reference: JSON, _ route: AnyObjectView) -> Bool {
        (reference["group"]?.string ?? "gateway.networking.k8s.io") == "gateway.networking.k8s.io"
            && (reference["kind"]?.string ?? "Gateway") == "Gateway"
            && (reference["namespace"]?.string ?? route.namespace) == gateway.object.namespace
            && reference["name"]?.string == gateway.object.name
    }

    private struct Attachment {
        var hosts: [String]
        var listeners: [String]
        var condition: GatewayCondition
    }

    private func attach(
        _ route: AnyObjectView,
        _ reference: JSON,
        to gateway: inout AttachableGateway,
        isValid: Bool
    ) -> Attachment {
        let named = gateway.listeners.indices.filter { index in
            let listener = gateway.listeners[index]
            return (reference["sectionName"]?.string.map { $0 == listener.name } ?? true)
                && (reference["port"]?.int.map { $0 == listener.port } ?? true) && listener.isOpen
        }
        guard !named.isEmpty else {
            return refusal("NoMatchingParent", "The gateway has no valid listener that the reference names.")
        }
        let open = named.filter { allows(gateway.listeners[$0], gateway.object, route) }
        guard !open.isEmpty else {
            return refusal(
                "NotAllowedByListeners",
                "The listeners allow no routes of namespace \(route.namespace); see allowedRoutes.namespaces."
            )
        }
        var hosts: [String] = []
        var listeners: [String] = []
        for index in open {
            let common = Hostnames.intersection(route.spec["hostnames"]?.array ?? [], gateway.listeners[index].hostname)
            guard !common.isEmpty else { continue }
            if isValid { gateway.listeners[index].attachedRoutes += 1 }
            hosts += common
            listeners.append(gateway.listeners[index].tableName)
        }
        guard !hosts.isEmpty else {
            return refusal("NoMatchingListenerHostname", "No hostname of the route is among those of the listeners.")
        }
        let condition = GatewayCondition(
            type: "Accepted",
            isTrue: true,
            reason: "Accepted",
            message: "The route is accepted."
        )
        return Attachment(hosts: isValid ? hosts : [], listeners: listeners, condition: condition)
    }

    private func refusal(_ reason: String, _ message: String) -> Attachment {
        Attachment(
            hosts: [],
            listeners: [],
            condition: GatewayCondition(type: "Accepted", isTrue: false, reason: reason, message: message)
        )
    }

    private func allows(
        _ listener: AttachableGateway.Listener,
        _ gateway: AnyObjectView,
        _ route: AnyObjectView
    ) -> Bool {
        switch listener.allowedNamespaces["from"]?.string ?? "Same" {
        case "All": return true
        case "Selector":
            guard let labels = namespaces[route.namespace]?.labels else { return false }
            return Self.matches(listener.allowedNamespaces["selector"] ?? [:], labels)
        case "None": return false
        default: return route.namespace == gateway.namespace
        }
    }

    private static func matches(_ selector: JSON, _ labels: [String: String]) -> Bool {
        guard let selector = try? LabelSelector(selector) else { return false }
        return selector.matches(labels)
    }
}

/// Hostnames of listeners and routes (Gateway API, `hostnames`).
enum Hostnames {
    /// The hosts that both a route and a listener name; `*` stands for all.
    static func intersection(_ route: [JSON], _ listener: String) -> [String] {
        let names = route.compactMap(\.string).map { $0.lowercased() }
        if names.isEmpty { return [listener.isEmpty ? "*" : listener] }
        if listener.isEmpty { return names }
        return names.compactMap { common($0, listener) }
    }

    private static func common(_ left: String, _ right: String) -> String? {
        if left == right { return left }
        if covers(left, right) { return right }
        return covers(right, left) ? left : nil
    }

    /// `*.example.org` covers every name below `example.org`, wildcards included.
    private static func covers(_ wildcard: String, _ name: String) -> Bool {
        guard wildcard.hasPrefix("*.") else { return false }
        let suffix = wildcard.dropFirst()
        return name.hasSuffix(suffix) && name.count > suffix.count
    }
}
