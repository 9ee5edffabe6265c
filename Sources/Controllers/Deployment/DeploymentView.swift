import KubernetesModel

/// What the controllers read of a Deployment.
struct DeploymentView: ObjectView {
    var json: JSON
    init(_ json: JSON) { self.json = json }

    var replicas: Int { json["spec", "replicas"]?.int ?? 1 }
    var minReadySeconds: Int { json["spec", "minReadySeconds"]?.int ?? 0 }
    var isPaused: Bool { json["spec", "paused"]?.bool ?? false }
    var isRecreate: Bool { json["spec", "strategy", "type"]?.string == "Recreate" }
    var revisionHistoryLimit: Int { json["spec", "revisionHistoryLimit"]?.int ?? 10 }
    var selector: LabelSelector? { json["spec", "selector"].flatMap { try? LabelSelector($0) } }
    var template: JSON { json["spec", "template"] ?? [:] }
    var collisionCount: Int { json["status", "collisionCount"]?.int ?? 0 }

    /// `nil` when the Deployment may take forever.
    var progressDeadlineSeconds: Int? {
        let seconds = json["spec", "progressDeadlineSeconds"]?.int ?? 600
        return seconds == Int(Int32.max) ? nil : seconds
    }

    /// How many pods more than `replicas` a rollout may have, and how many fewer may be available. Not both are zero.
    var rollingLimits: (surge: Int, unavailable: Int) {
        guard !isRecreate else { return (0, 0) }
        let surge = limit("maxSurge", roundUp: true)
        let unavailable = limit("maxUnavailable", roundUp: false)
        return surge == 0 && unavailable == 0 ? (0, 1) : (surge, unavailable)
    }

    var minimumAvailable: Int { max(0, replicas - min(rollingLimits.unavailable, replicas)) }
    var maximumPods: Int { replicas + rollingLimits.surge }

    private func limit(_ field: String, roundUp: Bool) -> Int {
        let value = json["spec", "strategy", "rollingUpdate", field].flatMap { IntOrString($0) } ?? .string("25%")
        return max(0, value.scaled(total: replicas, roundUp: roundUp) ?? 0)
    }
}

/// The annotations by which Deployments and their ReplicaSets are understood by `kubectl rollout`.
enum DeploymentAnnotation {
    static let revision = "deployment.kubernetes.io/revision"
    static let revisionHistory = "deployment.kubernetes.io/revision-history"
    static let desiredReplicas = "deployment.kubernetes.io/desired-replicas"
    static let maximumReplicas = "deployment.kubernetes.io/max-replicas"

    /// Those that say something about one object alone and are not copied from a Deployment to its ReplicaSets.
    static let own: Set<String> = [
        revision, revisionHistory, desiredReplicas, maximumReplicas,
        "kubectl.kubernetes.io/last-applied-configuration",
        "deprecated.deployment.rollback.to",
    ]
}

extension ReplicaSetView {
    var revision: Int { annotations[DeploymentAnnotation.revision].flatMap { Int($0) } ?? 0 }
    var desiredReplicas: Int? { annotations[DeploymentAnnotation.desiredReplicas].flatMap { Int($0) } }
    var maximumReplicas: Int? { annotations[DeploymentAnnotation.maximumReplicas].flatMap { Int($0) } }
}
