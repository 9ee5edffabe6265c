package import KubernetesModel

/// The names of a cluster as data: what `service.namespace.svc.cluster.local` and its relatives mean at one moment.
///
/// Follows the Kubernetes DNS specification, schema version 1.1.0.
package struct ClusterZone: Sendable {
    package enum Answer: Hashable, Sendable {
        case records([DNSMessage.Record])
        /// The name exists, but not with this type.
        case noData
        case nameError
        /// The name is not the cluster's; ask the upstream servers.
        case notOurs
        /// The name stands for another one outside the cluster (`ExternalName`).
        case alias(DNSName)
    }

    /// Short, because endpoints change whenever something is deployed.
    package static let timeToLive: UInt32 = 5

    /// Aliases that lead to aliases are followed this far.
    private static let maximumAliases = 8

    private let domain: DNSName
    private let podNetwork: IPv4Network
    private var services: [ObjectKey: ServiceView] = [:]
    private var slices: [ObjectKey: [EndpointSliceView]] = [:]
    private var fixedAddresses: [ObjectKey: IPv4Address] = [:]
    private var namespaces: Set<String> = []
    private var namesByAddress: [IPv4Address: DNSName] = [:]

    package init(services: [JSON], slices: [JSON], configuration: NetworkConfiguration) {
        domain = DNSName(configuration.clusterDomain)
        podNetwork = configuration.podNetwork
        for service in services.map(ServiceView.init) {
            self.services[service.key] = service
            if let address = service.clusterAddress { namesByAddress[address] = name(of: service.key) }
        }
        self.slices = Dictionary(grouping: slices.map(EndpointSliceView.init), by: \.serviceKey)
        fixedAddresses = [
            ObjectKey(namespace: "default", name: "kubernetes"): configuration.apiServiceAddress,
            ObjectKey(namespace: "kube-system", name: "kube-dns"): configuration.dnsServiceAddress,
        ]
        nameEndpoints()
        namespaces = Set(self.services.keys.map(\.namespace)).union(fixedAddresses.keys.map(\.namespace))
    }

    package func answer(_ question: DNSMessage.Question) -> Answer {
        if let address = reverseAddress(question.name) { return answerReverse(question, address) }
        guard let labels = question.name.prefix(before: domain) else { return .notOurs }
        if labels.last == "pod" { return answerPod(question, Array(labels.dropLast())) }
        guard let zone = labels.last, zone == "svc" else { return labels.isEmpty ? .noData : .nameError }
        var rest = Array(labels.dropLast())
        guard let namespace = rest.popLast() else { return .noData }
        guard let service = rest.popLast() else { return namespaces.contains(namespace) ? .noData : .nameError }
        let key = ObjectKey(namespace: namespace, name: service)
        if let address = fixedAddresses[key] { return answerFixed(question, rest, address) }
        guard let view = services[key] else { return .nameError }
        return answer(question, rest, view)
    }

    /// An answer with the aliases that lead to it.
    package struct Resolution: Hashable, Sendable {
        package var aliases: [DNSMessage.Record] = []
        /// What is to be answered, or asked elsewhere: the question itself, or the one that the last alias leads to.
        package var question: DNSMessage.Question
        /// ``ClusterZone/Answer/alias(_:)`` only when there are too many of them.
        package var answer: Answer
    }

    /// Answers `question` and follows names that stand for other names of the cluster.
    package func resolve(_ question: DNSMessage.Question) -> Resolution {
        var resolution = Resolution(question: question, answer: answer(question))
        while case .alias(let target) = resolution.answer, resolution.aliases.count < Self.maximumAliases {
            resolution.aliases.append(
                DNSMessage.Record(
                    name: resolution.question.name,
                    timeToLive: Self.timeToLive,
                    payload: .cname(target)
                )
            )
            resolution.question = DNSMessage.Question(name: target, type: question.type)
            resolution.answer = answer(resolution.question)
        }
        return resolution
    }

    /// What a negative answer carries, so that it is kept no longer than a positive one.
    package var authority: DNSMessage.Record {
        DNSMessage.Record(
            name: domain,
            timeToLive: Self.timeToLive,
            payload: .soa(
                primary: DNSName(labels: ["ns", "dns"] + domain.labels),
                mailbox: DNSName(labels: ["hostmaster"] + domain.labels),
                serial: 1,
                minimum: Self.timeToLive
            )
        )
    }

    // MARK: - Services

    private func answer(_ question: DNSMessage.Question, _ rest: [String], _ service: ServiceView) -> Answer {
        if let external = service.externalName { return rest.isEmpty ? .alias(DNSName(external)) : .nameError }
        switch rest.count {
        case 0: return answerAddresses(question, of: service)
        case 1: return answerEndpoint(question, named: rest[0], of: service)
        case 2 where rest[0].hasPrefix("_") && rest[1].hasPrefix("_"):
            return answerPorts(question, port: rest[0].dropFirst(), transport: rest[1].dropFirst(), of: service)
        default: return .nameError
        }
    }

    private func answerAddresses(_ question: DNSMessage.Question, of service: ServiceView) -> Answer {
        let addresses = service.clusterAddress.map { [$0] } ?? endpoints(of: service).map(\.address)
        if addresses.isEmpty, service.isHeadless { return .nameError }
        return addressRecords(question, addresses)
    }

    private func answerEndpoint(_ question: DNSMessage.Question, named name: String, of service: ServiceView) -> Answer
    {
        let addresses = endpoints(of: service).filter { label(of: $0) == name }.map(\.address)
        return addresses.isEmpty ? .nameError : addressRecords(question, addresses)
    }

    private func answerPorts(
        _ question: DNSMessage.Question,
        port: Substring,
        transport: Substring,
        of service: ServiceView
    ) -> Answer {
        guard let wanted = service.ports.first(where: { $0.name == port && $0.transport == transport }) else {
            return .nameError
        }
        guard question.type == .srv || question.type == .any else { return .noData }
        let target = name(of: service.key)
        if service.clusterAddress != nil { return .records([portRecord(question, wanted.port, target)]) }
        let records = (slices[service.key] ?? []).flatMap { slice -> [DNSMessage.Record] in
            guard let number = slice.port(named: wanted.name) else { return [] }
            return endpoints(of: service, in: slice).map {
                portRecord(question, number, DNSName(labels: [label(of: $0)] + target.labels))
            }
        }
        return records.isEmpty ? .nameError : .records(records)
    }

    private func answerFixed(_ question: DNSMessage.Question, _ rest: [String], _ address: IPv4Address) -> Answer {
        rest.isEmpty ? addressRecords(question, [address]) : .nameError
    }

    // MARK: - Pods

    /// `10-42-0-7.namespace.pod`: the name of any address of the pods' network.
    private func answerPod(_ question: DNSMessage.Question, _ labels: [String]) -> Answer {
        guard let namespace = labels.last else { return .noData }
        guard namespaces.contains(namespace), labels.count <= 2 else { return .nameError }
        guard labels.count == 2 else { return .noData }
        let address = IPv4Address(
            labels[0].split(separator: "-", omittingEmptySubsequences: false).joined(separator: ".")
        )
        guard let address, podNetwork.contains(address) else { return .nameError }
        return addressRecords(question, [address])
    }

    // MARK: - Endpoints

    private struct Endpoint {
        let address: IPv4Address
        let hostname: String?
    }

    private func endpoints(of service: ServiceView) -> [Endpoint] {
        (slices[service.key] ?? []).flatMap { endpoints(of: service, in: $0) }
    }

    private func endpoints(of service: ServiceView, in slice: EndpointSliceView) -> [Endpoint] {
        slice.endpoints.filter { $0.isReady || service.publishesNotReadyAddresses }.flatMap { endpoint in
            endpoint.addresses.compactMap { IPv4Address($0) }.map { Endpoint(address: $0, hostname: endpoint.hostname) }
        }
    }

    /// Addresses of headless services are called after their endpoints. Of several services the first by name counts.
    private mutating func nameEndpoints() {
        for (key, service) in services.sorted(by: { $0.key < $1.key }) where service.isHeadless {
            for endpoint in endpoints(of: service) where namesByAddress[endpoint.address] == nil {
                namesByAddress[endpoint.address] = DNSName(labels: [label(of: endpoint)] + name(of: key).labels)
            }
        }
    }

    /// The pod's hostname, or its address with dashes, as endpoints without one are called.
    private func label(of endpoint: Endpoint) -> String {
        endpoint.hostname ?? endpoint.address.description.split(separator: ".").joined(separator: "-")
    }

    // MARK: - Reverse

    private func reverseAddress(_ name: DNSName) -> IPv4Address? {
        guard let labels = name.prefix(before: DNSName("in-addr.arpa")), labels.count == 4 else { return nil }
        return IPv4Address(labels.reversed().joined(separator: "."))
    }

    private func answerReverse(_ question: DNSMessage.Question, _ address: IPv4Address) -> Answer {
        guard let name = namesByAddress[address] else { return .notOurs }
        guard question.type == .ptr || question.type == .any else { return .noData }
        return .records([DNSMessage.Record(name: question.name, timeToLive: Self.timeToLive, payload: .ptr(name))])
    }

    // MARK: - Records

    private func addressRecords(_ question: DNSMessage.Question, _ addresses: [IPv4Address]) -> Answer {
        guard question.type == .a || question.type == .any else { return .noData }
        return .records(
            Set(addresses).sorted().map {
                DNSMessage.Record(name: question.name, timeToLive: Self.timeToLive, payload: .a($0))
            }
        )
    }

    private func portRecord(_ question: DNSMessage.Question, _ port: Int, _ target: DNSName) -> DNSMessage.Record {
        DNSMessage.Record(
            name: question.name,
            timeToLive: Self.timeToLive,
            payload: .srv(priority: 0, weight: 100, port: UInt16(clamping: port), target: target)
        )
    }

    private func name(of service: ObjectKey) -> DNSName {
        DNSName(labels: [service.name, service.namespace, "svc"] + domain.labels)
    }
}
