package import KubernetesModel

/// The fields of a Service that the network uses.
package struct ServiceView: ObjectView {
    package var json: JSON
    package init(_ json: JSON) { self.json = json }

    package struct Port: Hashable, Sendable {
        package let name: String
        package let port: Int
        package let nodePort: Int?
        /// `tcp`, `udp` or `sctp`
        package let transport: String
    }

    /// `nil` for headless and external services.
    package var clusterAddress: IPv4Address? { spec["clusterIP"]?.string.flatMap { IPv4Address($0) } }
    package var isHeadless: Bool { spec["clusterIP"]?.string == "None" }
    package var externalName: String? { type == "ExternalName" ? spec["externalName"]?.string : nil }
    package var type: String { spec["type"]?.string ?? "ClusterIP" }
    package var opensNodePorts: Bool { type == "NodePort" || type == "LoadBalancer" }
    package var isSticky: Bool { spec["sessionAffinity"]?.string == "ClientIP" }
    package var publishesNotReadyAddresses: Bool { spec["publishNotReadyAddresses"]?.bool ?? false }

    package var ports: [Port] {
        (spec["ports"]?.array ?? []).map { port in
            Port(
                name: port["name"]?.string ?? "",
                port: port["port"]?.int ?? 0,
                nodePort: port["nodePort"]?.int,
                transport: (port["protocol"]?.string ?? "TCP").lowercased()
            )
        }
    }
}

/// The fields of an EndpointSlice that the network uses.
package struct EndpointSliceView: ObjectView {
    package var json: JSON
    package init(_ json: JSON) { self.json = json }

    package struct Endpoint: Hashable, Sendable {
        package let addresses: [String]
        package let hostname: String?
        package let isReady: Bool
        package let isServing: Bool
    }

    package var serviceKey: ObjectKey {
        ObjectKey(namespace: namespace, name: labels["kubernetes.io/service-name"] ?? "")
    }

    /// Conditions that are absent mean ready (EndpointSlice API).
    package var endpoints: [Endpoint] {
        (json["endpoints"]?.array ?? []).map { endpoint in
            let conditions = endpoint["conditions"]
            let isReady = conditions?["ready"]?.bool ?? true
            return Endpoint(
                addresses: endpoint["addresses"]?.array?.compactMap(\.string) ?? [],
                hostname: endpoint["hostname"]?.string,
                isReady: isReady,
                isServing: conditions?["serving"]?.bool ?? isReady
            )
        }
    }

    package var ports: [(name: String, port: Int, transport: String)] {
        (json["ports"]?.array ?? []).compactMap { port in
            guard let number = port["port"]?.int else { return nil }
            return (port["name"]?.string ?? "", number, (port["protocol"]?.string ?? "TCP").lowercased())
        }
    }

    package func port(named name: String) -> Int? { ports.first { $0.name == name }?.port }
}
