/// The selector that the API server gives every Job, so that no two Jobs ever choose the same pods.
package enum JobSelector {
    /// `job` with `spec.selector` and the labels of its template set from its uid and name, unless `spec.manualSelector` says that its
    /// author does this. Needs `metadata.uid`.
    package static func generated(for job: JSON) -> JSON {
        guard job["spec", "manualSelector"]?.bool != true else { return job }
        let view = AnyObjectView(job)
        var job = job
        var labels = job["spec", "template", "metadata", "labels"] ?? [:]
        for (label, value) in [
            ("batch.kubernetes.io/controller-uid", view.uid), ("batch.kubernetes.io/job-name", view.name),
            ("controller-uid", view.uid), ("job-name", view.name),
        ] {
            labels[label] = .string(value)
        }
        job["spec", "template", "metadata", "labels"] = labels
        job["spec", "selector", "matchLabels"] = ["batch.kubernetes.io/controller-uid": .string(view.uid)]
        return job
    }
}
