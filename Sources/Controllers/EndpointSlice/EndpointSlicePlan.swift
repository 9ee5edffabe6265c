import Crypto
import KubernetesModel

/// The EndpointSlices that a Service must have, against those that it has. Pure.
///
/// Endpoints stay in the slice where they are, so that a change of one pod writes one slice.
struct EndpointSlicePlan: Equatable {
    static let maximumEndpoints = 100
    static let managedByLabel = "endpointslice.kubernetes.io/managed-by"
    static let serviceLabel = "kubernetes.io/service-name"
    static let manager = "endpointslice-controller.k8s.io"
    static let headlessLabel = "service.kubernetes.io/headless"

    private(set) var creations: [JSON] = []
    private(set) var updates: [JSON] = []
    private(set) var deletions: [AnyObjectView] = []

    /// - Parameters:
    ///   - pods: the pods that the Service selects
    ///   - slices: the slices of the Service that this controller manages
    init(_ service: AnyObjectView, pods: [PodView], slices: [AnyObjectView]) {
        var desired = Self.endpoints(of: service, pods: pods)
        if desired.isEmpty { desired[Self.ports(of: service, for: nil)] = [:] }
        var used: Set<String> = []
        for (ports, endpoints) in desired {
            let existing = slices.filter { !used.contains($0.name) && $0.json["ports"]?.array ?? [] == ports }
            used.formUnion(existing.map(\.name))
            place(endpoints, ports: ports, in: existing, of: service, taken: Set(slices.map(\.name)))
        }
        deletions += slices.filter { !used.contains($0.name) }
    }

    // MARK: - Slices

    private mutating func place(
        _ endpoints: OrderedDictionary<String, JSON>,
        ports: [JSON],
        in existing: [AnyObjectView],
        of service: AnyObjectView,
        taken: Set<String>
    ) {
        var remaining = endpoints
        var contents: [(slice: AnyObjectView, endpoints: [JSON])] = []
        for slice in existing.sorted(by: { $0.name < $1.name }) {
            let kept = (slice.json["endpoints"]?.array ?? []).compactMap { remaining.removeValue(forKey: Self.id($0)) }
            contents.append((slice, kept))
        }
        var waiting = Array(remaining.values)
        for index in contents.indices where !waiting.isEmpty {
            let room = max(0, Self.maximumEndpoints - contents[index].endpoints.count)
            contents[index].endpoints += waiting.prefix(room)
            waiting.removeFirst(min(room, waiting.count))
        }
        write(contents, of: service)
        var taken = taken.union(creations.map { AnyObjectView($0).name })
        // A Service without endpoints has one empty slice, which says that there are none.
        var needsSlice = contents.isEmpty
        while !waiting.isEmpty || needsSlice {
            needsSlice = false
            let chunk = Array(waiting.prefix(Self.maximumEndpoints))
            waiting.removeFirst(chunk.count)
            let name = Self.freeName(for: service, taken: taken)
            taken.insert(name)
            creations.append(Self.slice(named: name, of: service, ports: ports, endpoints: chunk))
        }
    }

    /// Writes the slices that change; drops empty ones while another one is left.
    private mutating func write(_ contents: [(slice: AnyObjectView, endpoints: [JSON])], of service: AnyObjectView) {
        let hasFull = contents.contains { !$0.endpoints.isEmpty }
        for (index, (slice, endpoints)) in contents.enumerated() {
            if endpoints.isEmpty, hasFull || index > 0 {
                deletions.append(slice)
                continue
            }
            var new = slice
            if slice.json["endpoints"]?.array ?? [] != endpoints { new.json["endpoints"] = .array(endpoints) }
            let labels = Self.labels(of: service)
            if slice.labels != labels { new.labels = labels }
            if new != slice { updates.append(new.json) }
        }
    }

    /// Names are the same each time, so that a slice that the informer does not show yet is not made twice.
    private static func freeName(for service: AnyObjectView, taken: Set<String>) -> String {
        for ordinal in 0... {
            let digest = SHA256.hash(data: Array("\(service.uid)/\(ordinal)".utf8))
            let letters = Array("bcdfghjklmnpqrstvwxz2456789")
            let suffix = String(digest.prefix(5).map { letters[Int($0) % letters.count] })
            let name = "\(service.name.prefix(57))-\(suffix)"
            if !taken.contains(name) { return name }
        }
        preconditionFailure("There is always a free name.")
    }

    private static func slice(named name: String, of service: AnyObjectView, ports: [JSON], endpoints: [JSON]) -> JSON {
        let owner = OwnerReference(controller: service, apiVersion: "v1", kind: "Service")
        return [
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": [
                "name": .string(name), "generateName": .string("\(service.name)-"),
                "namespace": .string(service.namespace),
                "labels": JSON(labels(of: service)), "ownerReferences": [owner.json],
            ],
            "addressType": "IPv4", "endpoints": .array(endpoints), "ports": .array(ports),
        ]
    }

    private static func labels(of service: AnyObjectView) -> [String: String] {
        var labels = service.labels
        labels[serviceLabel] = service.name
        labels[managedByLabel] = manager
        if service.spec["clusterIP"]?.string == "None" { labels[headlessLabel] = "" }
        return labels
    }

    // MARK: - Endpoints

    /// Endpoints by the ports that their pods give to the Service, each under its identity.
    private static func endpoints(
        of service: AnyObjectView,
        pods: [PodView]
    ) -> OrderedDictionary<[JSON], OrderedDictionary<String, JSON>> {
        var groups: OrderedDictionary<[JSON], OrderedDictionary<String, JSON>> = [:]
        for pod in pods.sorted(by: { $0.name < $1.name }) where !pod.isFinished && !pod.podIP.isEmpty {
            let endpoint = endpoint(of: pod, in: service)
            groups[ports(of: service, for: pod), default: [:]][id(endpoint)] = endpoint
        }
        return groups
    }

    private static func id(_ endpoint: JSON) -> String {
        "\(endpoint["targetRef", "uid"]?.string ?? "") \(endpoint["addresses"]?[0]?.string ?? "")"
    }

    private static func endpoint(of pod: PodView, in service: AnyObjectView) -> JSON {
        let publishesAll = service.spec["publishNotReadyAddresses"]?.bool ?? false
        var endpoint: JSON = [
            "addresses": [.string(pod.podIP)],
            "conditions": [
                "ready": .bool(publishesAll || (pod.isReady && !pod.isBeingDeleted)),
                "serving": .bool(pod.isReady),
                "terminating": .bool(pod.isBeingDeleted),
            ],
        ]
        let subdomain = pod.spec["subdomain"]?.string
        if let hostname = pod.spec["hostname"]?.string, !hostname.isEmpty, subdomain == service.name {
            endpoint["hostname"] = .string(hostname)
        }
        if !pod.nodeName.isEmpty { endpoint["nodeName"] = .string(pod.nodeName) }
        endpoint["targetRef"] = [
            "kind": "Pod", "namespace": .string(pod.namespace), "name": .string(pod.name), "uid": .string(pod.uid),
        ]
        return endpoint
    }

    /// The Service's ports with the numbers that `pod` gives to named ones; those that it does not have are left out.
    private static func ports(of service: AnyObjectView, for pod: PodView?) -> [JSON] {
        (service.spec["ports"]?.array ?? []).compactMap { port in
            guard let number = number(of: port, for: pod) else { return nil }
            var result: JSON = [
                "name": port["name"] ?? "", "port": JSON(number), "protocol": port["protocol"] ?? "TCP",
            ]
            result["appProtocol"] = port["appProtocol"]
            return result
        }
    }

    private static func number(of port: JSON, for pod: PodView?) -> Int? {
        guard case .string(let name)? = port["targetPort"].flatMap({ IntOrString($0) }) else {
            return port["targetPort"]?.int ?? port["port"]?.int
        }
        guard let pod else { return nil }
        let sidecars = (pod.spec["initContainers"]?.array ?? []).filter { $0["restartPolicy"]?.string == "Always" }
        let containers = (pod.spec["containers"]?.array ?? []) + sidecars
        let transport = port["protocol"]?.string ?? "TCP"
        return containers.lazy.flatMap { $0["ports"]?.array ?? [] }
            .first { $0["name"]?.string == name && $0["protocol"]?.string ?? "TCP" == transport }?["containerPort"]?.int
    }
}
