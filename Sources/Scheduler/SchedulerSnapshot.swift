import KubernetesModel

/// Amounts of resources by name, in thousandths.
typealias Resources = [String: Int64]

/// What scheduling reads of a pod, decoded once.
struct SchedulablePod: Sendable {
    let key: ObjectKey
    let uid: String
    let labels: [String: String]
    let nodeName: String
    let requests: Resources
    let hostPorts: Set<HostPort>
    let spec: JSON

    /// A port that the pod takes from its node.
    struct HostPort: Hashable, Sendable {
        var address: String
        var port: Int
        var transport: String

        func conflicts(with other: HostPort) -> Bool {
            port == other.port && transport == other.transport
                && (address == other.address || address == "0.0.0.0" || other.address == "0.0.0.0")
        }
    }

    init(_ json: JSON) {
        let view = AnyObjectView(json)
        key = view.key
        uid = view.uid
        labels = view.labels
        spec = view.spec
        nodeName = spec["nodeName"]?.string ?? ""
        requests = Self.requests(of: spec)
        hostPorts = Self.hostPorts(of: spec)
    }

    /// The sum of all containers, or the largest init container where that is more, and what the pod itself costs.
    private static func requests(of spec: JSON) -> Resources {
        var total: Resources = [:]
        for container in spec["containers"]?.array ?? [] { total.add(requests(ofContainer: container)) }
        var sidecars: Resources = [:]
        var largest: Resources = [:]
        for container in spec["initContainers"]?.array ?? [] {
            var needed = requests(ofContainer: container)
            if container["restartPolicy"]?.string == "Always" {
                sidecars.add(needed)
                needed = sidecars
            } else {
                needed.add(sidecars)
            }
            largest.merge(needed) { max($0, $1) }
        }
        total.add(sidecars)
        total.merge(largest) { max($0, $1) }
        total.add(amounts(spec["overhead"]))
        return total
    }

    private static func requests(ofContainer container: JSON) -> Resources {
        amounts(container["resources", "limits"]).merging(amounts(container["resources", "requests"])) { _, request in
            request
        }
    }

    private static func hostPorts(of spec: JSON) -> Set<HostPort> {
        let isOnHost = spec["hostNetwork"]?.bool ?? false
        var result: Set<HostPort> = []
        for port in (spec["containers"]?.array ?? []).flatMap({ $0["ports"]?.array ?? [] }) {
            guard let number = port["hostPort"]?.int ?? (isOnHost ? port["containerPort"]?.int : nil), number > 0 else {
                continue
            }
            let address = port["hostIP"]?.string ?? ""
            result.insert(
                HostPort(
                    address: address.isEmpty ? "0.0.0.0" : address,
                    port: number,
                    transport: port["protocol"]?.string ?? "TCP"
                )
            )
        }
        return result
    }

    static func amounts(_ json: JSON?) -> Resources {
        (json?.object ?? [:]).reduce(into: [:]) { amounts, field in
            amounts[field.key] = Quantity(field.value)?.milliValue
        }
    }
}

extension Resources {
    fileprivate mutating func add(_ other: Resources) {
        merge(other) { $0.addingReportingOverflow($1).overflow ? .max : $0 + $1 }
    }
}

/// A node with the pods that are on it or on their way to it.
struct SchedulableNode: Sendable {
    let name: String
    let labels: [String: String]
    let taints: [JSON]
    let isUnschedulable: Bool
    let isBeingDeleted: Bool
    let allocatable: Resources
    private(set) var pods: [SchedulablePod] = []
    private(set) var requested: Resources = [:]

    init(_ json: JSON) {
        let view = AnyObjectView(json)
        name = view.name
        labels = view.labels
        taints = view.spec["taints"]?.array ?? []
        isUnschedulable = view.spec["unschedulable"]?.bool ?? false
        isBeingDeleted = view.isBeingDeleted
        allocatable = SchedulablePod.amounts(view.status["allocatable"] ?? view.status["capacity"])
    }

    mutating func place(_ pod: SchedulablePod) {
        pods.append(pod)
        requested.add(pod.requests)
    }
}

/// The nodes of a cluster with their pods, at one moment.
struct SchedulerSnapshot: Sendable {
    private(set) var nodes: [SchedulableNode]

    /// - Parameter pods: all pods; only those count that have a node and are not finished
    init(nodes: [JSON], pods: [JSON]) {
        var byName: [String: SchedulableNode] = [:]
        for node in nodes.map(SchedulableNode.init) { byName[node.name] = node }
        for pod in pods where !["Succeeded", "Failed"].contains(pod["status", "phase"]?.string) {
            guard let node = pod["spec", "nodeName"]?.string, byName[node] != nil else { continue }
            byName[node]?.place(SchedulablePod(pod))
        }
        self.nodes = byName.values.sorted { $0.name < $1.name }
    }
}
