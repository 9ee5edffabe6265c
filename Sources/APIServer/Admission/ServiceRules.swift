import KubernetesModel

/// Gives services their cluster addresses and node ports.
enum ServiceRules: KindRules {
    private static let typesWithAddress: Set<String> = ["ClusterIP", "NodePort", "LoadBalancer"]
    private static let typesWithNodePorts: Set<String> = ["NodePort", "LoadBalancer"]

    static func admitCreation(_ service: inout JSON, in api: APIService) throws -> Admitted {
        service["status"] = ["loadBalancer": [:]]
        return Admitted(reservation: try allocate(&service, from: nil, api))
    }

    /// What the service has is kept where the new version does not say otherwise, as far as its type still has it.
    static func admitUpdate(_ service: inout JSON, from old: JSON, in api: APIService) throws -> Admitted {
        if hasAddress(old), hasAddress(service), service["spec", "clusterIP"]?.string ?? "" == "" {
            service["spec", "clusterIP"] = old["spec", "clusterIP"]
            service["spec", "clusterIPs"] = old["spec", "clusterIPs"]
        }
        keepNodePorts(&service, of: old)
        return Admitted(reservation: try allocate(&service, from: old, api))
    }

    static func addresses(of service: JSON) -> [String] {
        let address = service["spec", "clusterIP"]?.string ?? ""
        return address.isEmpty || address == "None" ? [] : [address]
    }

    static func nodePorts(of service: JSON) -> [NodePort] {
        (service["spec", "ports"]?.array ?? []).compactMap { port in
            guard let number = port["nodePort"]?.int, number > 0 else { return nil }
            return NodePort(number: number, transport: port["protocol"]?.string ?? "TCP")
        }
    }

    // MARK: - Private

    private static func type(_ service: JSON) -> String { service["spec", "type"]?.string ?? "ClusterIP" }

    private static func hasAddress(_ service: JSON) -> Bool { typesWithAddress.contains(type(service)) }

    private static func allocate(
        _ service: inout JSON,
        from old: JSON?,
        _ api: APIService
    ) throws
        -> AddressReservation
    {
        let reservation = api.addresses.begin()
        do {
            try allocateAddress(&service, from: old, reservation)
            try allocateNodePorts(&service, from: old, reservation)
            return reservation
        } catch {
            reservation.release()
            throw error
        }
    }

    private static func allocateAddress(
        _ service: inout JSON,
        from old: JSON?,
        _ reservation: AddressReservation
    ) throws {
        guard hasAddress(service) else {
            service["spec", "clusterIP"] = nil
            service["spec", "clusterIPs"] = nil
            return
        }
        let listed = service["spec", "clusterIPs"]?.array?.first?.string
        let requested = service["spec", "clusterIP"]?.string.flatMap { $0.isEmpty ? nil : $0 } ?? listed ?? ""
        var address = requested
        if requested != "None", old.map({ addresses(of: $0).contains(requested) }) != true {
            address = try reservation.address(requested, for: AnyObjectView(service).name)
        }
        service["spec", "clusterIP"] = .string(address)
        service["spec", "clusterIPs"] = [.string(address)]
    }

    private static func allocateNodePorts(
        _ service: inout JSON,
        from old: JSON?,
        _ reservation: AddressReservation
    ) throws {
        guard var ports = service["spec", "ports"]?.array else { return }
        let held = Set(old.map { nodePorts(of: $0) } ?? [])
        for index in ports.indices {
            guard typesWithNodePorts.contains(type(service)) else {
                ports[index]["nodePort"] = nil
                continue
            }
            let port = NodePort(
                number: ports[index]["nodePort"]?.int ?? 0,
                transport: ports[index]["protocol"]?.string ?? "TCP"
            )
            guard !held.contains(port) else { continue }
            let number = try reservation.nodePort(
                port,
                for: AnyObjectView(service).name,
                path: "spec.ports[\(index)].nodePort"
            )
            ports[index]["nodePort"] = JSON(number)
        }
        service["spec", "ports"] = .array(ports)
    }

    private static func keepNodePorts(_ service: inout JSON, of old: JSON) {
        guard typesWithNodePorts.contains(type(service)), var ports = service["spec", "ports"]?.array else { return }
        for index in ports.indices where (ports[index]["nodePort"]?.int ?? 0) == 0 {
            let same = old["spec", "ports"]?.array?.first { former in
                former["port"] == ports[index]["port"]
                    && (former["protocol"] ?? "TCP") == (ports[index]["protocol"] ?? "TCP")
            }
            ports[index]["nodePort"] = same?["nodePort"]
        }
        service["spec", "ports"] = .array(ports)
    }
}
