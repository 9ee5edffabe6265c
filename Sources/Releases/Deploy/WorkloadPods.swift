import KubernetesModel

/// Finds the pods that a workload's present version is made of, so that trouble of older ones is not held against it. Pure.
enum WorkloadPods {
    static func of(_ workload: JSON, pods: [JSON], replicaSets: [JSON]) -> [JSON] {
        let view = AnyObjectView(workload)
        switch view.kind {
        case "Pod": return pods.filter { AnyObjectView($0).uid == view.uid }
        case "Deployment":
            guard let current = currentReplicaSet(of: view, replicaSets) else { return [] }
            return owned(by: current.uid, pods)
        case "StatefulSet":
            let revision = view.status["updateRevision"]?.string
            return owned(by: view.uid, pods).filter {
                revision == nil || AnyObjectView($0).labels["controller-revision-hash"] == revision
            }
        default: return owned(by: view.uid, pods)
        }
    }

    private static func owned(by uid: String, _ objects: [JSON]) -> [JSON] {
        objects.filter { AnyObjectView($0).controllerReference?.uid == uid && !AnyObjectView($0).isBeingDeleted }
    }

    /// The one with the highest revision.
    private static func currentReplicaSet(of deployment: AnyObjectView, _ replicaSets: [JSON]) -> AnyObjectView? {
        func revision(_ object: AnyObjectView) -> Int {
            Int(object.annotations["deployment.kubernetes.io/revision"] ?? "") ?? 0
        }
        return owned(by: deployment.uid, replicaSets).map(AnyObjectView.init).max { revision($0) < revision($1) }
    }
}
