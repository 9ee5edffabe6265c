/// The text that makes the kernel do what a ``ServiceTable`` says: one nftables table, replaced as a whole in one transaction.
package struct NftablesRuleset: Hashable, Sendable {
    package let text: String

    package init(_ services: ServiceTable, configuration: NetworkConfiguration) {
        text = RulesetWriter(services: services, configuration: configuration).render()
    }

    /// The text that removes the table; declaring it first makes the removal work where it is absent.
    package static func removal(of configuration: NetworkConfiguration) -> String {
        "table ip \(configuration.table)\ndelete table ip \(configuration.table)\n"
    }
}

private struct RulesetWriter {
    let services: ServiceTable
    let configuration: NetworkConfiguration

    func render() -> String {
        let reachable = services.ports.filter { !$0.endpoints.isEmpty }
        let lines =
            endpointChains(reachable) + reachable.flatMap(serviceChain)
            + chain("services", dispatch("ip daddr . meta l4proto . th dport", clusterTargets(reachable)))
            + chain("node-ports", dispatch("meta l4proto . th dport", nodePortTargets(reachable)))
            + chain("prerouting", ["type nat hook prerouting priority dstnat; policy accept;"] + destinationRules)
            + chain("output", ["type nat hook output priority -100; policy accept;"] + destinationRules)
            + chain("postrouting", ["type nat hook postrouting priority srcnat; policy accept;"] + sourceRules)
            + chain("refuse-forwarded", ["type filter hook prerouting priority 10; policy accept;"] + refusalRules)
            + chain("refuse-local", ["type filter hook output priority 10; policy accept;"] + refusalRules)
        return NftablesRuleset.removal(of: configuration) + "table ip \(configuration.table) {\n"
            + lines.map { "  \($0)\n" }.joined() + "}\n"
    }

    private func chain(_ name: String, _ rules: [String]) -> [String] {
        ["chain \(name) {"] + rules.map { "  \($0)" } + ["}"]
    }

    // MARK: - Rules

    /// The API and the name server live on this machine, not in pods, so their addresses come first.
    private var destinationRules: [String] {
        let gateway = configuration.gatewayAddress
        let dns = configuration.dnsServiceAddress
        return [
            "ip daddr \(configuration.apiServiceAddress) tcp dport 443 dnat to \(gateway):\(configuration.apiPort)",
            "ip daddr \(dns) udp dport 53 dnat to \(gateway):53",
            "ip daddr \(dns) tcp dport 53 dnat to \(gateway):53",
            "ip daddr \(configuration.serviceNetwork) jump services",
            "fib daddr type local jump node-ports",
        ]
    }

    private var sourceRules: [String] {
        let pods = configuration.podNetwork
        return [
            "meta mark & 0x4000 == 0x4000 meta mark set meta mark & 0xffffbfff masquerade",
            "ip saddr 127.0.0.0/8 ip daddr \(pods) masquerade",
            "ip saddr \(pods) ip daddr != \(pods) masquerade",
        ]
    }

    /// What still carries a service address behind the translation has no endpoint: refuse it at once, so that no client hangs.
    private var refusalRules: [String] {
        let services = configuration.serviceNetwork
        return [
            "ip daddr \(services) meta l4proto tcp reject with tcp reset",
            "ip daddr \(services) reject with icmp port-unreachable",
        ]
    }

    private func dispatch(_ key: String, _ targets: [String]) -> [String] {
        targets.isEmpty ? [] : ["\(key) vmap { \(targets.joined(separator: ", ")) }"]
    }

    // MARK: - Services

    /// One chain an endpoint. A pod that reaches itself through a service must see another source address, else its answers never leave
    /// it: hence the mark.
    private func endpointChains(_ ports: [ServiceTable.Port]) -> [String] {
        struct Target: Hashable {
            let transport: ServiceTable.TransportProtocol
            let endpoint: ServiceTable.Endpoint
        }
        let targets = Set(
            ports.flatMap { port in port.endpoints.map { Target(transport: port.transport, endpoint: $0) } }
        )
        return targets.sorted { ($0.transport, $0.endpoint) < ($1.transport, $1.endpoint) }.flatMap { target in
            let endpoint = target.endpoint
            return chain(
                name(of: endpoint, target.transport),
                [
                    "ip saddr \(endpoint.address) meta mark set meta mark | 0x4000",
                    "meta l4proto \(target.transport.rawValue) dnat to \(endpoint.address):\(endpoint.port)",
                ]
            )
        }
    }

    private func serviceChain(_ port: ServiceTable.Port) -> [String] {
        let count = port.endpoints.count
        let choice = port.isSticky ? "jhash ip saddr mod \(count)" : "numgen random mod \(count)"
        let targets = port.endpoints.enumerated().map { "\($0) : goto \(name(of: $1, port.transport))" }
        return chain(name(of: port), ["# \(port.name)", "\(choice) vmap { \(targets.joined(separator: ", ")) }"])
    }

    private func clusterTargets(_ ports: [ServiceTable.Port]) -> [String] {
        ports.map { "\($0.clusterAddress) . \($0.transport.rawValue) . \($0.port) : goto \(name(of: $0))" }
    }

    private func nodePortTargets(_ ports: [ServiceTable.Port]) -> [String] {
        ports.compactMap { port in port.nodePort.map { "\(port.transport.rawValue) . \($0) : goto \(name(of: port))" } }
    }

    private func name(of endpoint: ServiceTable.Endpoint, _ transport: ServiceTable.TransportProtocol) -> String {
        "endpoint-\(transport.rawValue)-\(endpoint.address)-\(endpoint.port)"
    }

    private func name(of port: ServiceTable.Port) -> String {
        "service-\(port.transport.rawValue)-\(port.clusterAddress)-\(port.port)"
    }
}
