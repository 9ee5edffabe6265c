import KubernetesModel

/// Where a pod goes, or why it goes nowhere. Pure.
enum SchedulingDecision: Equatable {
    case bind(node: String)
    /// The message names every reason with the number of nodes that gave it.
    case unschedulable(message: String)

    init(for pod: SchedulablePod, in snapshot: SchedulerSnapshot) {
        let filter = NodeFilter(pod, in: snapshot)
        var reasons: [String: Int] = [:]
        var best: (node: SchedulableNode, score: Double)?
        for node in snapshot.nodes {
            let refusals = filter.refusals(of: node)
            for refusal in refusals { reasons[refusal, default: 0] += 1 }
            guard refusals.isEmpty else { continue }
            let score = Self.score(node, for: pod)
            if best.map({ score > $0.score }) ?? true { best = (node, score) }
        }
        if let best {
            self = .bind(node: best.node.name)
        } else {
            self = .unschedulable(message: Self.message(reasons, nodes: snapshot.nodes.count))
        }
    }

    /// The part of processor and memory that stays free with the pod on the node, and how well the node meets the pod's preferences.
    static func score(_ node: SchedulableNode, for pod: SchedulablePod) -> Double {
        let free = ["cpu", "memory"].map { name -> Double in
            guard let total = node.allocatable[name], total > 0 else { return 0 }
            let used = (node.requested[name] ?? 0) + (pod.requests[name] ?? 0)
            return max(0, Double(total - used) / Double(total))
        }
        return (free[0] + free[1]) / 2 + preference(node, for: pod) - avoidance(node)
    }

    private static func preference(_ node: SchedulableNode, for pod: SchedulablePod) -> Double {
        let terms = pod.spec["affinity", "nodeAffinity", "preferredDuringSchedulingIgnoredDuringExecution"]?.array ?? []
        let total = terms.reduce(0) { $0 + ($1["weight"]?.int ?? 0) }
        let met = terms.filter { NodeFilter.matches($0["preference"] ?? [:], node) }
            .reduce(0) { $0 + ($1["weight"]?.int ?? 0) }
        return total > 0 ? 2 * Double(met) / Double(total) : 0
    }

    /// Taints that are only a wish count against a node.
    private static func avoidance(_ node: SchedulableNode) -> Double {
        Double(node.taints.count { $0["effect"]?.string == "PreferNoSchedule" })
    }

    private static func message(_ reasons: [String: Int], nodes: Int) -> String {
        guard nodes > 0 else { return "no nodes available to schedule pods" }
        let parts = reasons.map { "\($0.value) \($0.key)" }.sorted()
        return "0/\(nodes) nodes are available: \(parts.joined(separator: ", "))."
    }
}
