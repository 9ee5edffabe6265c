import KubernetesModel

/// Finds the endpoints behind references to services, and remembers what is wrong with the references of one route.
struct BackendResolver {
    /// Every backend that was asked for, by name.
    private(set) var backends: [String: RouteTable.Backend] = [:]
    private var services: [ObjectKey: AnyObjectView] = [:]
    private var slices: [ObjectKey: [JSON]] = [:]
    private var problem: GatewayCondition?

    private let grants: ReferenceGrants

    init(services: [JSON], endpointSlices: [JSON], grants: ReferenceGrants) {
        self.grants = grants
        for service in services.map(AnyObjectView.init) { self.services[service.key] = service }
        for slice in endpointSlices.map(AnyObjectView.init) {
            guard let service = slice.labels["kubernetes.io/service-name"] else { continue }
            slices[ObjectKey(namespace: slice.namespace, name: service), default: []].append(slice.json)
        }
    }

    /// The condition for the references that were resolved since the last call.
    mutating func resolution() -> GatewayCondition {
        defer { problem = nil }
        return problem
            ?? GatewayCondition(
                type: "ResolvedRefs",
                isTrue: true,
                reason: "ResolvedRefs",
                message: "All references are resolved."
            )
    }

    /// The name of the backend that `reference` means; `nil` for a wrong reference.
    mutating func resolve(_ reference: JSON, from namespace: String) -> String? {
        let kind = reference["kind"]?.string ?? "Service"
        let name = reference["name"]?.string ?? ""
        let group = reference["group"]?.string ?? ""
        guard kind == "Service", group.isEmpty else {
            return refuse("InvalidKind", "The backend \(name) is a \(kind); only services can be backends.")
        }
        let target = reference["namespace"]?.string ?? namespace
        let isGranted = grants.allow(
            .init(group: "gateway.networking.k8s.io", kind: "HTTPRoute", namespace: namespace),
            .init(group: "", kind: "Service", namespace: target, name: name)
        )
        guard isGranted else {
            return refuse(
                "RefNotPermitted",
                "The backend \(target)/\(name) is in another namespace, which has no ReferenceGrant for it."
            )
        }
        let key = ObjectKey(namespace: target, name: name)
        guard let service = services[key] else { return refuse("BackendNotFound", "There is no service \(key).") }
        guard let number = reference["port"]?.int else {
            return refuse("UnsupportedProtocol", "The backend \(key) needs a port.")
        }
        let ports = service.spec["ports"]?.array ?? []
        guard let port = ports.first(where: { $0["port"]?.int == number }) else {
            let known = ports.compactMap { $0["port"]?.int.map(String.init) }.joined(separator: ", ")
            return refuse("BackendNotFound", "The service \(key) has no port \(number); it has \(known).")
        }
        let backend = "\(key):\(number)"
        if backends[backend] == nil {
            let endpoints = endpoints(key, port: port["name"]?.string ?? "")
            backends[backend] = RouteTable.Backend(name: backend, endpoints: endpoints)
        }
        return backend
    }

    // MARK: - Private

    private mutating func refuse(_ reason: String, _ message: String) -> String? {
        problem =
            problem ?? GatewayCondition(type: "ResolvedRefs", isTrue: false, reason: reason, message: message)
        return nil
    }

    /// The ready endpoints of a service's port, in order of their addresses.
    private func endpoints(_ service: ObjectKey, port name: String) -> [RouteTable.Endpoint] {
        var endpoints: Set<RouteTable.Endpoint> = []
        for slice in slices[service] ?? [] {
            let ports = slice["ports"]?.array ?? []
            guard let port = ports.first(where: { ($0["name"]?.string ?? "") == name })?["port"]?.int else { continue }
            for endpoint in slice["endpoints"]?.array ?? [] {
                guard endpoint["conditions", "ready"]?.bool ?? true,
                    let address = endpoint["addresses"]?.array?.first?.string
                else { continue }
                let uid = endpoint["targetRef", "uid"]?.string ?? ""
                endpoints.insert(RouteTable.Endpoint(address: address, port: port, uid: uid))
            }
        }
        return endpoints.sorted { ($0.address, $0.port, $0.uid) < ($1.address, $1.port, $1.uid) }
    }
}
