import KubernetesModel

/// How far an object is from doing its work. Pure.
enum Readiness: Hashable, Sendable {
    case ready
    case waiting(String)
    case failed(String)

    /// Judges a workload by its specification and status as `kubectl rollout status` does; all other kinds are ready.
    init(of object: JSON) {
        switch object["kind"]?.string {
        case "Deployment": self = Self.deployment(AnyObjectView(object))
        case "StatefulSet": self = Self.statefulSet(AnyObjectView(object))
        case "DaemonSet": self = Self.daemonSet(AnyObjectView(object))
        case "ReplicaSet": self = Self.replicas(AnyObjectView(object), ready: "readyReplicas")
        case "Job": self = Self.job(AnyObjectView(object))
        case "Pod": self = Self.pod(AnyObjectView(object))
        default: self = .ready
        }
    }

    /// Kinds whose objects have pods to wait for.
    static let workloads = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Pod"]

    // MARK: - Private

    private static func isSeen(_ object: AnyObjectView) -> Bool {
        (object.status["observedGeneration"]?.int ?? 0) >= object.generation
    }

    private static func deployment(_ object: AnyObjectView) -> Readiness {
        guard isSeen(object) else { return .waiting("not seen by its controller yet") }
        if let progress = condition("Progressing", of: object), progress["reason"]?.string == "ProgressDeadlineExceeded"
        {
            return .failed(progress["message"]?.string ?? "the progress deadline has passed")
        }
        let wanted = object.spec["replicas"]?.int ?? 1
        let updated = count("updatedReplicas", of: object)
        if updated < wanted { return .waiting("\(updated) of \(wanted) new replicas made") }
        let old = count("replicas", of: object) - updated
        if old > 0 { return .waiting("\(old) old replicas still run") }
        let available = count("availableReplicas", of: object)
        return available < updated ? .waiting("\(available) of \(updated) new replicas available") : .ready
    }

    private static func statefulSet(_ object: AnyObjectView) -> Readiness {
        guard isSeen(object) else { return .waiting("not seen by its controller yet") }
        let wanted = object.spec["replicas"]?.int ?? 1
        let updated = count("updatedReplicas", of: object)
        let isRolling = object.spec["updateStrategy", "type"]?.string != "OnDelete"
        if isRolling, updated < wanted { return .waiting("\(updated) of \(wanted) replicas updated") }
        return replicas(object, ready: "readyReplicas")
    }

    private static func daemonSet(_ object: AnyObjectView) -> Readiness {
        guard isSeen(object) else { return .waiting("not seen by its controller yet") }
        let wanted = count("desiredNumberScheduled", of: object)
        let updated = count("updatedNumberScheduled", of: object)
        if updated < wanted { return .waiting("\(updated) of \(wanted) pods updated") }
        let available = count("numberAvailable", of: object)
        return available < wanted ? .waiting("\(available) of \(wanted) pods available") : .ready
    }

    private static func replicas(_ object: AnyObjectView, ready field: String) -> Readiness {
        let wanted = object.spec["replicas"]?.int ?? 1
        let ready = count(field, of: object)
        return ready < wanted ? .waiting("\(ready) of \(wanted) replicas ready") : .ready
    }

    private static func job(_ object: AnyObjectView) -> Readiness {
        if isTrue("Complete", of: object) { return .ready }
        if isTrue("Failed", of: object) {
            return .failed(condition("Failed", of: object)?["message"]?.string ?? "the job failed")
        }
        if object.spec["suspend"]?.bool == true { return .ready }
        return .waiting("running")
    }

    private static func pod(_ object: AnyObjectView) -> Readiness {
        switch object.status["phase"]?.string {
        case "Succeeded": .ready
        case "Failed": .failed(object.status["message"]?.string ?? "the pod failed")
        default: isTrue("Ready", of: object) ? .ready : .waiting("not ready")
        }
    }

    private static func count(_ field: String, of object: AnyObjectView) -> Int { object.status[field]?.int ?? 0 }

    private static func condition(_ type: String, of object: AnyObjectView) -> JSON? {
        object.status["conditions"]?.array?.first { $0["type"]?.string == type }
    }

    private static func isTrue(_ type: String, of object: AnyObjectView) -> Bool {
        condition(type, of: object)?["status"]?.string == "True"
    }
}
