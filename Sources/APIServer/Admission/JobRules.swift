import KubernetesModel

enum JobRules: KindRules {
    /// Names the job's pods by its uid, unless its author chose a selector.
    static func admitCreation(_ job: inout JSON, in service: APIService) throws -> Admitted {
        guard job["spec", "manualSelector"]?.bool != true else { return Admitted() }
        let view = AnyObjectView(job)
        let labels: [(String, String)] = [
            ("batch.kubernetes.io/controller-uid", view.uid), ("batch.kubernetes.io/job-name", view.name),
            ("controller-uid", view.uid), ("job-name", view.name),
        ]
        for (key, value) in labels { job["spec", "template", "metadata", "labels", key] = .string(value) }
        job["spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid"] = .string(view.uid)
        return Admitted()
    }
}
