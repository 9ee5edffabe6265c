import KubernetesModel

/// Tells containers by variables where services are, in the form of Kubernetes and in that of Docker's links. Pure.
enum ServiceLinks {
    /// For each service with an address, in the order of their names.
    static func variables(of services: [JSON]) -> [ContainerSpecification.Variable] {
        services.sorted { AnyObjectView($0).name < AnyObjectView($1).name }.flatMap(variables)
    }

    private static func variables(of service: JSON) -> [ContainerSpecification.Variable] {
        let address = service["spec", "clusterIP"]?.string ?? ""
        let ports = service["spec", "ports"]?.array ?? []
        guard !["", "None"].contains(address), service["spec", "type"]?.string != "ExternalName",
            let first = ports.first
        else { return [] }
        let name = variableName(AnyObjectView(service).name)
        var pairs = [("\(name)_SERVICE_HOST", address), ("\(name)_SERVICE_PORT", number(of: first))]
        for port in ports {
            guard let portName = port["name"]?.string, !portName.isEmpty else { continue }
            pairs.append(("\(name)_SERVICE_PORT_\(variableName(portName))", number(of: port)))
        }
        pairs.append(("\(name)_PORT", url(of: first, address)))
        for port in ports { pairs += link(name, port, address) }
        return pairs.map { ContainerSpecification.Variable(name: $0.0, value: $0.1) }
    }

    private static func link(_ name: String, _ port: JSON, _ address: String) -> [(String, String)] {
        let prefix = "\(name)_PORT_\(number(of: port))_\(transport(of: port).uppercased())"
        return [
            (prefix, url(of: port, address)), ("\(prefix)_PROTO", transport(of: port)),
            ("\(prefix)_PORT", number(of: port)), ("\(prefix)_ADDR", address),
        ]
    }

    private static func url(of port: JSON, _ address: String) -> String {
        "\(transport(of: port))://\(address):\(number(of: port))"
    }

    private static func number(of port: JSON) -> String { String(port["port"]?.int ?? 0) }
    private static func transport(of port: JSON) -> String { (port["protocol"]?.string ?? "TCP").lowercased() }
    private static func variableName(_ name: String) -> String { name.uppercased().replacing("-", with: "_") }
}
