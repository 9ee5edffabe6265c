import KubernetesModel

enum JobRules: KindRules {
    /// What the Job controller would pass over in silence, though it changes when a Job succeeds or fails.
    private static let missing = ["podFailurePolicy", "successPolicy", "backoffLimitPerIndex", "maxFailedIndexes"]
    private static let controller = "kubernetes.io/job-controller"

    static func admitCreation(_ job: inout JSON, in service: APIService) throws -> Admitted {
        var errors = missing.filter { job["spec", $0] != nil }.map {
            FieldError.forbidden("spec.\($0)", "not implemented by the Job controller of this cluster")
        }
        if let manager = job["spec", "managedBy"]?.string, manager != controller {
            errors.append(.unsupported("spec.managedBy", .string(manager), [controller]))
        }
        guard errors.isEmpty else { throw StatusError.invalid(.jobs, AnyObjectView(job).name, errors) }
        job = JobSelector.generated(for: job)
        return Admitted()
    }
}
