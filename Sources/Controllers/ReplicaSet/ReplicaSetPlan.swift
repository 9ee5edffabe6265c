import KubernetesModel

/// What to do for a ReplicaSet, from what is there: pods to make or to delete, and the status that says so. Pure.
struct ReplicaSetPlan: Equatable {
    /// No request of one round makes or deletes more.
    static let burst = 500

    var creations = 0
    var deletions: [PodView] = []
    var status: JSON
    /// When a pod that is ready becomes available by the passing of time alone.
    var nextLook: Timestamp?

    /// - Parameters:
    ///   - pods: the pods of this ReplicaSet that its selector chooses
    ///   - unseenCreations: pods that were made and are not among `pods` yet
    ///   - failure: the error of the round before, if pods could not be made or deleted
    init(
        _ replicaSet: ReplicaSetView,
        pods: [PodView],
        unseenCreations: Int = 0,
        failure: ReplicaFailure? = nil,
        now: Timestamp
    ) {
        let active = pods.filter(\.isActive)
        status = Self.status(of: replicaSet, active: active, failure: failure, now: now)
        nextLook = active.compactMap { $0.availableAt(minReadySeconds: replicaSet.minReadySeconds) }
            .filter { $0 > now }.min()
        guard !replicaSet.isBeingDeleted else { return }
        let difference = replicaSet.replicas - active.count - unseenCreations
        if difference > 0 {
            creations = min(difference, Self.burst)
        } else if difference < 0 {
            // Pods that are on their way cannot be deleted yet: the event of their arrival brings us back.
            let count = min(-difference, active.count, Self.burst)
            deletions = Array(active.sorted { Self.goesBefore($0, $1) }.prefix(count))
        }
    }

    /// The order in which pods are given up: what serves least, and has served for the shortest time, goes first.
    static func goesBefore(_ left: PodView, _ right: PodView) -> Bool {
        if left.nodeName.isEmpty != right.nodeName.isEmpty { return left.nodeName.isEmpty }
        let (leftPhase, rightPhase) = (phaseRank(left), phaseRank(right))
        if leftPhase != rightPhase { return leftPhase < rightPhase }
        if left.isReady != right.isReady { return !left.isReady }
        if left.deletionCost != right.deletionCost { return left.deletionCost < right.deletionCost }
        if let leftSince = left.readySince, let rightSince = right.readySince, leftSince != rightSince {
            return leftSince > rightSince
        }
        if left.restartCount != right.restartCount { return left.restartCount > right.restartCount }
        if left.creationTimestamp != right.creationTimestamp { return left.creationTimestamp > right.creationTimestamp }
        return left.name > right.name
    }

    private static func phaseRank(_ pod: PodView) -> Int {
        switch pod.phase {
        case "Pending": 0
        case "Unknown": 1
        default: 2
        }
    }

    private static func status(
        of replicaSet: ReplicaSetView,
        active: [PodView],
        failure: ReplicaFailure?,
        now: Timestamp
    ) -> JSON {
        let templateLabels = LabelSelector(matchLabels: replicaSet.template["metadata", "labels"]?.stringMap ?? [:])
        let available = active.filter { pod in
            pod.availableAt(minReadySeconds: replicaSet.minReadySeconds).map { $0 <= now } ?? false
        }
        var status = replicaSet.status
        status["replicas"] = JSON(active.count)
        status["fullyLabeledReplicas"] = count(active.filter { templateLabels.matches($0.labels) })
        status["readyReplicas"] = count(active.filter(\.isReady))
        status["availableReplicas"] = count(available)
        status["observedGeneration"] = JSON(replicaSet.generation)
        var conditions = Conditions(status["conditions"])
        if let failure {
            conditions.set("ReplicaFailure", status: "True", reason: failure.reason, message: failure.message, at: now)
        } else {
            conditions.remove("ReplicaFailure")
        }
        status["conditions"] = conditions.json
        return status
    }

    /// Zero is written by leaving the field out.
    private static func count(_ pods: [PodView]) -> JSON? {
        pods.isEmpty ? .none : JSON(pods.count)
    }
}

/// Why pods of a ReplicaSet could not be made or deleted.
struct ReplicaFailure: Error, Hashable {
    /// `FailedCreate` or `FailedDelete`
    var reason: String
    var message: String
}
