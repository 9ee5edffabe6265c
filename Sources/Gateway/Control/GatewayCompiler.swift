import KubernetesModel

/// Compiles Gateway API objects into a route table and says in their statuses what came of them. Pure.
struct GatewayCompiler {
    static let controllerName = "sampan.dev/gateway"

    /// Where clients reach the gateway, for `status.addresses`.
    let addresses: [String]
    /// RFC 3339, for conditions that changed.
    let now: String
    var ports = ListenerBuilder.Ports.own
    var checks = CertificateChecks()

    struct Result: Hashable, Sendable {
        var table: RouteTable
        /// Of every object that is ours, also where nothing changed.
        var statuses: [GatewayStatus]
    }

    func compile(_ objects: GatewayObjects) -> Result {
        let classes = objects.classes.filter { $0["spec", "controllerName"]?.string == Self.controllerName }
        let names = Set(classes.map { AnyObjectView($0).name })
        var gateways = objects.gateways.sorted(by: Self.precedes).compactMap { gateway in
            names.contains(gateway["spec", "gatewayClassName"]?.string ?? "") ? AttachableGateway(gateway) : nil
        }
        let grants = ReferenceGrants(objects.referenceGrants)
        var listeners = ListenerBuilder(
            certificates: CertificateResolver(secrets: objects.secrets, grants: grants, checks: checks),
            ports: ports
        )
        for index in gateways.indices { listeners.add(&gateways[index]) }
        var builder = RouteBuilder(objects: objects)
        let routes = objects.routes.sorted(by: Self.precedes)
        let routeStatuses = routes.compactMap { route -> GatewayStatus? in
            let parents = builder.add(AnyObjectView(route), to: &gateways)
            return status(of: AnyObjectView(route), parents)
        }
        let statuses = classes.map { status(ofClass: AnyObjectView($0)) } + gateways.map(status) + routeStatuses
        var table = builder.table
        table.listeners = listeners.listeners
        return Result(table: table, statuses: statuses)
    }

    /// Older objects come first among equals, then names in order (Gateway API).
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
        let isAnyAccepted = gateway.listeners.contains(where: \.isOpen)
        let isAnyProgrammed = gateway.listeners.contains(where: \.isProgrammed)
        let conditions = [
            GatewayCondition(
                type: "Accepted",
                isTrue: isAnyAccepted,
                reason: isAnyAccepted ? "Accepted" : "ListenersNotValid",
                message: isAnyAccepted ? "The gateway is accepted." : "No listener can be served; see the listeners."
            ),
            GatewayCondition(
                type: "Programmed",
                isTrue: isAnyProgrammed,
                reason: isAnyProgrammed ? "Programmed" : "Invalid",
                message: isAnyProgrammed ? "The gateway serves its routes." : "The gateway has no valid listener."
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
        let existing = gateway.status["listeners"]?.array?.first { $0["name"]?.string == listener.name }
        let (open, all) = (listener.problem, listener.problem ?? listener.conflict ?? listener.references)
        let conditions = [
            GatewayCondition("Accepted", unless: open, otherwise: "The listener is accepted."),
            GatewayCondition(
                type: "Conflicted",
                isTrue: listener.conflict != nil,
                reason: listener.conflict?.reason ?? "NoConflicts",
                message: listener.conflict?.message ?? "No other listener stands in its way."
            ),
            GatewayCondition(
                type: "Programmed",
                isTrue: all == nil,
                reason: all == nil ? "Programmed" : "Invalid",
                message: all?.message ?? "The listener serves its routes."
            ),
            GatewayCondition("ResolvedRefs", unless: listener.references, otherwise: "All references are resolved."),
        ]
        let kinds: [JSON] =
            open == nil ? [["group": "gateway.networking.k8s.io", "kind": "HTTPRoute"]] : []
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

/// What all compilations of one gateway share.
struct GatewayCompilerSettings: Sendable {
    /// Where clients reach the gateway, for the statuses.
    var addresses: [String]
    /// Listeners are served at the ports that they name, not all at the gateway's own.
    var opensPorts = false
    let checks = CertificateChecks()

    /// - Parameter unavailable: ports that could not be opened.
    func compile(_ objects: GatewayObjects, _ unavailable: Set<Int> = []) -> GatewayCompiler.Result {
        GatewayCompiler(
            addresses: addresses,
            now: Timestamp.now(),
            ports: opensPorts ? .named(unavailable: unavailable) : .own,
            checks: checks
        ).compile(objects)
    }
}

/// What became of a route at one of its parents.
struct RouteParent: Hashable, Sendable {
    var reference: JSON
    var conditions: [GatewayCondition]
}
