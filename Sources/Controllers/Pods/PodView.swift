import KubernetesModel

/// What the controllers read of a pod.
struct PodView: ObjectView {
    var json: JSON
    init(_ json: JSON) { self.json = json }

    var phase: String { json["status", "phase"]?.string ?? "Pending" }
    var nodeName: String { json["spec", "nodeName"]?.string ?? "" }
    var podIP: String { json["status", "podIP"]?.string ?? "" }
    var isFinished: Bool { phase == "Succeeded" || phase == "Failed" }
    /// Runs or will run, and is not about to stop.
    var isActive: Bool { !isFinished && !isBeingDeleted }
    var isReady: Bool { readyCondition?["status"]?.string == "True" }

    /// When the pod became ready, if it is.
    var readySince: Timestamp? {
        isReady ? readyCondition?["lastTransitionTime"]?.string.flatMap { Timestamp($0) } : nil
    }

    var restartCount: Int {
        (json["status", "containerStatuses"]?.array ?? []).reduce(0) { $0 + ($1["restartCount"]?.int ?? 0) }
    }

    /// The annotation by which users choose which pods go first.
    var deletionCost: Int { annotations["controller.kubernetes.io/pod-deletion-cost"].flatMap { Int($0) } ?? 0 }

    /// When a pod that is ready counts as available; `nil` when it is not ready.
    func availableAt(minReadySeconds: Int) -> Timestamp? {
        guard isReady else { return nil }
        guard minReadySeconds > 0 else { return Timestamp(seconds: 0) }
        return readySince.map { Timestamp(seconds: $0.seconds + Int64(minReadySeconds), nanoseconds: $0.nanoseconds) }
    }

    private var readyCondition: JSON? { condition("Ready") }
}

extension ObjectView {
    func condition(_ type: String) -> JSON? {
        json["status", "conditions"]?.array?.first { $0["type"]?.string == type }
    }
}
