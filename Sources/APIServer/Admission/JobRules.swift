import KubernetesModel

enum JobRules: KindRules {
    static func admitCreation(_ job: inout JSON, in service: APIService) throws -> Admitted {
        job = JobSelector.generated(for: job)
        return Admitted()
    }
}
