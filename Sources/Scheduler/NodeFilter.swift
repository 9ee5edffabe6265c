import KubernetesModel

/// Decides whether a pod may run on a node. Pure; the words of refusal are those of Kubernetes, which people search for.
struct NodeFilter {
    private let pod: SchedulablePod
    private let nodes: [SchedulableNode]
    private let tolerations: [JSON]

    init(_ pod: SchedulablePod, in snapshot: SchedulerSnapshot) {
        self.pod = pod
        nodes = snapshot.nodes
        tolerations = pod.spec["tolerations"]?.array ?? []
    }

    /// Why the pod cannot run on `node`; empty when it can. Only the first kind of reason is given.
    func refusals(of node: SchedulableNode) -> [String] {
        if node.isBeingDeleted { return ["node(s) are being deleted"] }
        if node.isUnschedulable, !toleratesUnschedulable { return ["node(s) were unschedulable"] }
        if let taint = untoleratedTaint(of: node) { return ["node(s) had untolerated taint {\(taint)}"] }
        if !matchesNodeAffinity(node) { return ["node(s) didn't match Pod's node affinity/selector"] }
        if hasPortConflict(on: node) { return ["node(s) didn't have free ports for the requested pod ports"] }
        let shortages = shortages(on: node)
        if !shortages.isEmpty { return shortages }
        if !satisfiesAffinity(node) { return ["node(s) didn't match pod affinity rules"] }
        if !satisfiesAntiAffinity(node) { return ["node(s) didn't match pod anti-affinity rules"] }
        if violatesOthersAntiAffinity(node) {
            return ["node(s) didn't satisfy existing pods anti-affinity rules"]
        }
        return []
    }

    // MARK: - Resources

    private func shortages(on node: SchedulableNode) -> [String] {
        var reasons: [String] = []
        if let limit = node.allocatable["pods"], Int64(node.pods.count + 1) * 1000 > limit {
            reasons.append("Too many pods")
        }
        for (name, amount) in pod.requests.sorted(by: { $0.key < $1.key }) where amount > 0 {
            let free = (node.allocatable[name] ?? 0) - (node.requested[name] ?? 0)
            if amount > free { reasons.append("Insufficient \(name)") }
        }
        return reasons
    }

    private func hasPortConflict(on node: SchedulableNode) -> Bool {
        pod.hostPorts.contains { port in
            node.pods.contains { $0.hostPorts.contains { $0.conflicts(with: port) } }
        }
    }

    // MARK: - Taints

    private var toleratesUnschedulable: Bool {
        tolerates(["key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"])
    }

    private func untoleratedTaint(of node: SchedulableNode) -> String? {
        let taint = node.taints.first { taint in
            ["NoSchedule", "NoExecute"].contains(taint["effect"]?.string) && !tolerates(taint)
        }
        return taint.map { "\($0["key"]?.string ?? ""): \($0["value"]?.string ?? "")" }
    }

    private func tolerates(_ taint: JSON) -> Bool {
        tolerations.contains { toleration in
            let effect = toleration["effect"]?.string ?? ""
            guard effect.isEmpty || effect == taint["effect"]?.string else { return false }
            let key = toleration["key"]?.string ?? ""
            let isExists = toleration["operator"]?.string == "Exists"
            if key.isEmpty { return isExists }
            guard key == taint["key"]?.string else { return false }
            return isExists || toleration["value"]?.string ?? "" == taint["value"]?.string ?? ""
        }
    }

    // MARK: - Node affinity

    private func matchesNodeAffinity(_ node: SchedulableNode) -> Bool {
        let selector = pod.spec["nodeSelector"]?.stringMap ?? [:]
        guard LabelSelector(matchLabels: selector).matches(node.labels) else { return false }
        let required = pod.spec["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"]
        guard let terms = required?["nodeSelectorTerms"]?.array else { return true }
        return terms.contains { Self.matches($0, node) }
    }

    /// A term without requirements matches no node.
    static func matches(_ term: JSON, _ node: SchedulableNode) -> Bool {
        let expressions = term["matchExpressions"]?.array ?? []
        let fields = term["matchFields"]?.array ?? []
        guard !expressions.isEmpty || !fields.isEmpty else { return false }
        return expressions.allSatisfy { holds($0, for: node.labels) }
            && fields.allSatisfy { holds($0, for: ["metadata.name": node.name]) }
    }

    private static func holds(_ expression: JSON, for labels: [String: String]) -> Bool {
        let value = labels[expression["key"]?.string ?? ""]
        let values = expression["values"]?.array?.compactMap(\.string) ?? []
        switch expression["operator"]?.string {
        case "In": return value.map(values.contains) ?? false
        case "NotIn": return value.map { !values.contains($0) } ?? true
        case "Exists": return value != nil
        case "DoesNotExist": return value == nil
        case "Gt": return compare(value, values.first, >)
        case "Lt": return compare(value, values.first, <)
        default: return false
        }
    }

    private static func compare(_ left: String?, _ right: String?, _ order: (Int, Int) -> Bool) -> Bool {
        guard let left = left.flatMap({ Int($0) }), let right = right.flatMap({ Int($0) }) else { return false }
        return order(left, right)
    }

    // MARK: - Pod affinity

    private static func requiredTerms(_ spec: JSON, _ kind: String) -> [JSON] {
        spec["affinity", kind, "requiredDuringSchedulingIgnoredDuringExecution"]?.array ?? []
    }

    private func satisfiesAffinity(_ node: SchedulableNode) -> Bool {
        Self.requiredTerms(pod.spec, "podAffinity").allSatisfy { term in
            if hasMatch(term, of: pod, inTopologyOf: node) { return true }
            // The first of a group that wants to be together has nobody to join.
            let hasAny = nodes.contains { $0.pods.contains { Self.selects(term, of: pod, $0) } }
            return !hasAny && Self.selects(term, of: pod, pod) && node.labels[Self.topologyKey(term)] != nil
        }
    }

    private func satisfiesAntiAffinity(_ node: SchedulableNode) -> Bool {
        Self.requiredTerms(pod.spec, "podAntiAffinity").allSatisfy { !hasMatch($0, of: pod, inTopologyOf: node) }
    }

    private func violatesOthersAntiAffinity(_ node: SchedulableNode) -> Bool {
        nodes.contains { other in
            other.pods.contains { existing in
                Self.requiredTerms(existing.spec, "podAntiAffinity").contains { term in
                    let key = Self.topologyKey(term)
                    guard let domain = node.labels[key], other.labels[key] == domain else { return false }
                    return Self.selects(term, of: existing, pod)
                }
            }
        }
    }

    private func hasMatch(_ term: JSON, of owner: SchedulablePod, inTopologyOf node: SchedulableNode) -> Bool {
        let key = Self.topologyKey(term)
        guard let domain = node.labels[key] else { return false }
        return nodes.contains { other in
            other.labels[key] == domain && other.pods.contains { Self.selects(term, of: owner, $0) }
        }
    }

    private static func topologyKey(_ term: JSON) -> String { term["topologyKey"]?.string ?? "" }

    /// Whether a term of `owner` means `candidate`.
    private static func selects(_ term: JSON, of owner: SchedulablePod, _ candidate: SchedulablePod) -> Bool {
        let namespaces = term["namespaces"]?.array?.compactMap(\.string) ?? []
        // An empty namespaceSelector means all namespaces.
        let isEverywhere = term["namespaceSelector"] == [:]
        let isInReach =
            isEverywhere || (namespaces.isEmpty ? [owner.key.namespace] : namespaces).contains(candidate.key.namespace)
        guard isInReach, let selector = term["labelSelector"].flatMap({ try? LabelSelector($0) }) else { return false }
        return selector.matches(candidate.labels)
    }
}
