package import KubernetesModel

/// What the kernel must do for services: which virtual addresses lead to which pods. A value, so that tests need no root.
package struct ServiceTable: Hashable, Sendable {
    package enum TransportProtocol: String, Hashable, Sendable, Comparable {
        case tcp, udp
        package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    }

    package struct Endpoint: Hashable, Sendable, Comparable {
        package let address: IPv4Address
        package let port: Int

        package static func < (left: Endpoint, right: Endpoint) -> Bool {
            (left.address, left.port) < (right.address, right.port)
        }
    }

    /// One port of one service.
    package struct Port: Hashable, Sendable {
        /// `namespace/name:port`, for people who read the ruleset.
        package var name: String
        package var clusterAddress: IPv4Address
        package var port: Int
        package var nodePort: Int?
        package var transport: TransportProtocol
        /// A client keeps its endpoint as long as the set of endpoints stays the same.
        package var isSticky: Bool
        package var endpoints: [Endpoint]
    }

    /// In the order of their names.
    package var ports: [Port]

    package init(ports: [Port]) { self.ports = ports.sorted { ($0.name, $0.transport) < ($1.name, $1.transport) } }
}

// MARK: - From objects

extension ServiceTable {
    /// Reads services and their endpoint slices. Ready endpoints take traffic; where none is ready, those that still serve while they
    /// end do (KEP-1669). `withdrawn` addresses take none, unless nothing else is left and `withdrawn` says that they may stand in.
    package init(services: [JSON], slices: [JSON], withdrawn: [IPv4Address: Withdrawal] = [:]) {
        let slicesByService = Dictionary(grouping: slices.map(EndpointSliceView.init), by: \.serviceKey)
        let ports = services.map(ServiceView.init).flatMap { service -> [Port] in
            guard let address = service.clusterAddress else { return [] }
            let slices = slicesByService[service.key] ?? []
            return service.ports.compactMap { port in
                guard let transport = TransportProtocol(rawValue: port.transport) else { return nil }
                return Port(
                    name: "\(service.key):\(port.name.isEmpty ? String(port.port) : port.name)",
                    clusterAddress: address,
                    port: port.port,
                    nodePort: service.opensNodePorts ? port.nodePort : nil,
                    transport: transport,
                    isSticky: service.isSticky,
                    endpoints: Self.endpoints(of: slices, port: port.name, withdrawn: withdrawn)
                )
            }
        }
        self.init(ports: ports)
    }

    package enum Withdrawal: Hashable, Sendable {
        /// Takes no new connection unless it is the only endpoint.
        case unlessLast
        case always
    }

    private static func endpoints(
        of slices: [EndpointSliceView],
        port: String,
        withdrawn: [IPv4Address: Withdrawal]
    ) -> [Endpoint] {
        var ready: [Endpoint] = []
        var serving: [Endpoint] = []
        var lastResort: [Endpoint] = []
        for slice in slices {
            guard let number = slice.port(named: port) else { continue }
            for endpoint in slice.endpoints {
                for address in endpoint.addresses.compactMap(IPv4Address.init) {
                    let candidate = Endpoint(address: address, port: number)
                    switch withdrawn[address] {
                    case .always: continue
                    case .unlessLast: lastResort.append(candidate)
                    case nil where endpoint.isReady: ready.append(candidate)
                    case nil where endpoint.isServing: serving.append(candidate)
                    case nil: continue
                    }
                }
            }
        }
        let chosen = [ready, lastResort, serving].first { !$0.isEmpty } ?? []
        return Set(chosen).sorted()
    }
}
