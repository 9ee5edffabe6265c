import KubernetesModel

/// Compiles Gateway API objects into a route table and says in their statuses what came of them. Pure.
struct GatewayCompiler {
    static let controllerName = "sampan.dev/gateway"

    /// Where clients reach the gateway, for `status.addresses`.
    let addresses: [String]
    /// RFC 3339, for conditions that changed.
    let now: String

    struct Result: Hashable, Sendable {
        var table: RouteTable
        /// Of every object that is ours, also where nothing changed.
        var statuses: [GatewayStatus]
    }

    func compile(_ objects: GatewayObjects) -> Result {
        let classes = objects.classes.filter { $0["spec", "controllerName"]?.string == Self.controllerName }
        let names = Set(classes.map { AnyObjectView($0).name })
        var gateways = objects.gateways.compactMap { gateway in
            names.contains(gateway["spec", "gatewayClassName"]?.string ?? "") ? AttachableGateway(gateway) : nil
        }
        var builder = RouteBuilder(objects: objects)
        let routes = objects.routes.sorted(by: Self.precedes)
        let routeStatuses = routes.compactMap { route -> GatewayStatus? in
            let parents = builder.add(AnyObjectView(route), to: &gateways)
            return status(of: AnyObjectView(route), parents)
        }
        let statuses = classes.map { status(ofClass: AnyObjectView($0)) } + gateways.map(status) + routeStatuses
        return Result(table: builder.table, statuses: statuses)
    }

    /// Older routes come first among equals, then names in order (Gateway API).
    private static func precedes(_ left: JSON, _ right: JSON) -> Bool {
        let (l, r) = (AnyObjectView(left), AnyObjectView(right))
        return (l.creationTimestamp, l.namespace, l.name) < (r.creationTimestamp, r.namespace, r.name)
    }

    // MARK: - Statuses

    private func status(ofClass object: AnyObjectView) -> GatewayStatus {
        let condition = GatewayCondition(
            type: "Accepted",
            isTrue: true,
            reason: "Accepted",
            message: "Gateways of this class are served by sampan."
        )
        let existing = object.status["conditions"]
        let conditions = [condition.json(generation: object.generation, now: now, existing: existing)]
        return GatewayStatus(resource: .gatewayClasses, key: object.key, status: ["conditions": .array(conditions)])
    }

    private func status(_ gateway: AttachableGateway) -> GatewayStatus {
        let object = gateway.object
        let isAnyAccepted = gateway.listeners.contains { $0.problem == nil }
        let conditions = [
            GatewayCondition(
                type: "Accepted",
                isTrue: isAnyAccepted,
                reason: isAnyAccepted ? "Accepted" : "ListenersNotValid",
                message: isAnyAccepted ? "The gateway is accepted." : "No listener can be served; see the listeners."
            ),
            GatewayCondition(
                type: "Programmed",
                isTrue: isAnyAccepted,
                reason: isAnyAccepted ? "Programmed" : "Invalid",
                message: isAnyAccepted ? "The gateway serves its routes." : "The gateway has no valid listener."
            ),
        ]
        let existing = object.status["conditions"]
        let status: JSON = [
            "addresses": .array(addresses.map { ["type": "IPAddress", "value": .string($0)] }),
            "conditions": .array(
                conditions.map { $0.json(generation: object.generation, now: now, existing: existing) }
            ),
            "listeners": .array(gateway.listeners.map { self.status($0, of: object) }),
        ]
        return GatewayStatus(resource: .gateways, key: object.key, status: status)
    }

    private func status(_ listener: AttachableGateway.Listener, of gateway: AnyObjectView) -> JSON {
        let problem = listener.problem
        let existing = gateway.status["listeners"]?.array?.first { $0["name"]?.string == listener.name }
        let conditions = [
            GatewayCondition(
                type: "Accepted",
                isTrue: problem == nil,
                reason: problem?.reason ?? "Accepted",
                message: problem?.message ?? "The listener is accepted."
            ),
            GatewayCondition(
                type: "Programmed",
                isTrue: problem == nil,
                reason: problem == nil ? "Programmed" : "Invalid",
                message: problem?.message ?? "The listener serves its routes."
            ),
            GatewayCondition(
                type: "ResolvedRefs",
                isTrue: true,
                reason: "ResolvedRefs",
                message: "All references are resolved."
            ),
        ]
        let kinds: [JSON] =
            problem == nil ? [["group": "gateway.networking.k8s.io", "kind": "HTTPRoute"]] : []
        return [
            "name": .string(listener.name), "attachedRoutes": JSON(listener.attachedRoutes),
            "supportedKinds": .array(kinds),
            "conditions": .array(
                conditions.map {
                    $0.json(generation: gateway.generation, now: now, existing: existing?["conditions"])
                }
            ),
        ]
    }

    /// Entries of other controllers stay as they are.
    private func status(of route: AnyObjectView, _ parents: [RouteParent]) -> GatewayStatus? {
        let existing = route.status["parents"]?.array ?? []
        let others = existing.filter { $0["controllerName"]?.string != Self.controllerName }
        guard !parents.isEmpty || others.count < existing.count else { return nil }
        let ours = parents.map { parent -> JSON in
            let old = existing.first {
                $0["controllerName"]?.string == Self.controllerName && $0["parentRef"] == parent.reference
            }
            return [
                "parentRef": parent.reference, "controllerName": .string(Self.controllerName),
                "conditions": .array(
                    parent.conditions.map {
                        $0.json(generation: route.generation, now: now, existing: old?["conditions"])
                    }
                ),
            ]
        }
        return GatewayStatus(resource: .httpRoutes, key: route.key, status: ["parents": .array(others + ours)])
    }
}

/// What became of a route at one of its parents.
struct RouteParent: Hashable, Sendable {
    var reference: JSON
    var conditions: [GatewayCondition]
}

/// A gateway of ours while routes attach to it.
struct AttachableGateway {
    let object: AnyObjectView
    var listeners: [Listener]

    struct Listener {
        var name: String
        var port: Int
        /// Empty for every host.
        var hostname: String
        var allowedNamespaces: JSON
        var problem: Problem?
        var attachedRoutes = 0
    }

    struct Problem: Hashable {
        var reason: String
        var message: String
    }

    init(_ gateway: JSON) {
        object = AnyObjectView(gateway)
        listeners = (gateway["spec", "listeners"]?.array ?? []).map(Self.listener)
    }

    private static func listener(_ json: JSON) -> Listener {
        let proto = json["protocol"]?.string ?? "HTTP"
        return Listener(
            name: json["name"]?.string ?? "",
            port: json["port"]?.int ?? 80,
            hostname: (json["hostname"]?.string ?? "").lowercased(),
            allowedNamespaces: json["allowedRoutes", "namespaces"] ?? ["from": "Same"],
            problem: proto == "HTTP"
                ? nil
                : Problem(
                    reason: "UnsupportedProtocol",
                    message: "The protocol \(proto) is not supported; use HTTP."
                )
        )
    }
}
