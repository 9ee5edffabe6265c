import KubernetesModel

/// What the controllers read of a ReplicaSet.
struct ReplicaSetView: ObjectView {
    var json: JSON
    init(_ json: JSON) { self.json = json }

    var replicas: Int {
        get { json["spec", "replicas"]?.int ?? 1 }
        set { json["spec", "replicas"] = JSON(newValue) }
    }

    var minReadySeconds: Int { json["spec", "minReadySeconds"]?.int ?? 0 }
    var selector: LabelSelector? { json["spec", "selector"].flatMap { try? LabelSelector($0) } }
    var template: JSON { json["spec", "template"] ?? [:] }

    var statusReplicas: Int { json["status", "replicas"]?.int ?? 0 }
    var readyReplicas: Int { json["status", "readyReplicas"]?.int ?? 0 }
    var availableReplicas: Int { json["status", "availableReplicas"]?.int ?? 0 }
    var observedGeneration: Int { json["status", "observedGeneration"]?.int ?? 0 }
}
