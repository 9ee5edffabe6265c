package import KubernetesModel

/// One run of a container: a restart of it is another one, with a log of its own.
package struct ContainerRun: Hashable, Sendable {
    package let pod: String
    package let container: String
    /// As the runtime names it.
    package let id: String
}

/// Finds the logs that belong to an application, each once, in pods as they change. Pure.
package struct LogSelection: Sendable {
    private let application: String?
    private var known: Set<ContainerRun> = []

    /// - Parameter application: the name of a workload or the value of a pod's label `app` or `app.kubernetes.io/name`; all pods
    ///   when `nil`.
    package init(application: String? = nil) {
        self.application = application
    }

    package func includes(_ pod: JSON) -> Bool {
        guard let application else { return true }
        let labels = AnyObjectView(pod).labels
        return Self.workload(of: pod) == application || labels["app"] == application
            || labels["app.kubernetes.io/name"] == application
    }

    /// The runs of the pod's containers that have begun and were not told before.
    package mutating func news(of pod: JSON) -> [ContainerRun] {
        guard includes(pod) else { return [] }
        return (pod["status", "containerStatuses"]?.array ?? []).compactMap { status in
            let hasBegun = status["state", "running"] != nil || status["state", "terminated"] != nil
            guard hasBegun, let id = status["containerID"]?.string, !id.isEmpty else { return nil }
            let run = ContainerRun(pod: AnyObjectView(pod).name, container: status["name"]?.string ?? "", id: id)
            return known.insert(run).inserted ? run : nil
        }
    }

    /// The workload that made the pod; a Deployment makes its pods through ReplicaSets that are named after it.
    private static func workload(of pod: JSON) -> String {
        let view = AnyObjectView(pod)
        guard let owner = view.controllerReference else { return view.name }
        let suffix = "-" + (view.labels["pod-template-hash"] ?? "")
        guard owner.kind == "ReplicaSet", suffix.count > 1, owner.name.hasSuffix(suffix) else { return owner.name }
        return String(owner.name.dropLast(suffix.count))
    }
}
