extension TablePrinter {
    static let networkPrinters: [String: TablePrinter] = [
        "services": services, "endpoints": endpoints, "endpointslices.discovery.k8s.io": endpointSlices,
        "ingresses.networking.k8s.io": ingresses, "ingressclasses.networking.k8s.io": ingressClasses,
        "networkpolicies.networking.k8s.io": policies,
    ]

    private static let services = TablePrinter(
        columns: [
            .name, Column("Type"), Column("Cluster-IP"), Column("External-IP"), Column("Port(s)"), .age,
            .wide("Selector"),
        ]
    ) { object, now in
        [
            Cell.name(object), Cell.text(object, "spec", "type"), Cell.text(object, "spec", "clusterIP"),
            externalAddresses(object), servicePorts(object), Cell.age(object, now),
            Cell.selector(object["spec", "selector"]),
        ]
    }

    private static func externalAddresses(_ service: JSON) -> JSON {
        let addresses = (service["spec", "externalIPs"]?.array ?? []).compactMap(\.string)
        switch service["spec", "type"]?.string {
        case "ExternalName": return Cell.text(service, "spec", "externalName")
        case "LoadBalancer":
            let given = ingressAddresses(service)
            return Cell.joined(given + addresses, or: "<pending>")
        default: return Cell.joined(addresses)
        }
    }

    private static func ingressAddresses(_ object: JSON) -> [String] {
        (object["status", "loadBalancer", "ingress"]?.array ?? []).compactMap {
            $0["ip"]?.string ?? $0["hostname"]?.string
        }
    }

    private static func servicePorts(_ service: JSON) -> JSON {
        let ports = (service["spec", "ports"]?.array ?? []).map { port in
            let number = port["port"]?.int ?? 0
            let nodePort = port["nodePort"]?.int ?? 0
            return "\(number)\(nodePort == 0 ? "" : ":\(nodePort)")/\(port["protocol"]?.string ?? "TCP")"
        }
        return Cell.joined(ports)
    }

    private static let endpoints = TablePrinter(columns: [.name, Column("Endpoints"), .age]) { object, now in
        let addresses = (object["subsets"]?.array ?? []).flatMap { subset in
            let ports = (subset["ports"]?.array ?? []).compactMap { $0["port"]?.int }
            return (subset["addresses"]?.array ?? []).compactMap { $0["ip"]?.string }.flatMap { address in
                ports.isEmpty ? [address] : ports.map { "\(address):\($0)" }
            }
        }
        return [Cell.name(object), firstThree(addresses, or: "<none>"), Cell.age(object, now)]
    }

    private static let endpointSlices = TablePrinter(
        columns: [.name, Column("AddressType"), Column("Ports"), Column("Endpoints"), .age]
    ) { object, now in
        let ports = (object["ports"]?.array ?? []).map { $0["port"]?.int.map(String.init) ?? "*" }
        let addresses = (object["endpoints"]?.array ?? []).flatMap {
            ($0["addresses"]?.array ?? []).compactMap(\.string)
        }
        return [
            Cell.name(object), Cell.text(object, "addressType"), firstThree(ports, or: "<unset>"),
            firstThree(addresses, or: "<unset>"), Cell.age(object, now),
        ]
    }

    private static func firstThree(_ texts: [String], or absent: String) -> JSON {
        let shown = texts.prefix(3).joined(separator: ",")
        return .string(texts.isEmpty ? absent : texts.count > 3 ? "\(shown) + \(texts.count - 3) more..." : shown)
    }

    private static let ingresses = TablePrinter(
        columns: [.name, Column("Class"), Column("Hosts"), Column("Address"), Column("Ports"), .age]
    ) { object, now in
        let hosts = (object["spec", "rules"]?.array ?? []).compactMap { $0["host"]?.string }.filter { !$0.isEmpty }
        let hasTLS = !(object["spec", "tls"]?.array ?? []).isEmpty
        return [
            Cell.name(object), Cell.text(object, "spec", "ingressClassName"), Cell.joined(hosts, or: "*"),
            Cell.joined(ingressAddresses(object), or: ""), .string(hasTLS ? "80, 443" : "80"), Cell.age(object, now),
        ]
    }

    private static let ingressClasses = TablePrinter(
        columns: [.name, Column("Controller"), Column("Parameters"), .age]
    ) { object, now in
        let parameters = object["spec", "parameters"]
        let kind = parameters?["kind"]?.string ?? ""
        let group = parameters?["apiGroup"]?.string.map { ".\($0)" } ?? ""
        let shown = parameters == nil ? "<none>" : "\(kind)\(group)/\(parameters?["name"]?.string ?? "")"
        return [
            Cell.name(object), Cell.text(object, "spec", "controller"), .string(shown), Cell.age(object, now),
        ]
    }

    private static let policies = TablePrinter(columns: [.name, Column("Pod-Selector"), .age]) { object, now in
        [Cell.name(object), Cell.selector(object["spec", "podSelector"]), Cell.age(object, now)]
    }
}
