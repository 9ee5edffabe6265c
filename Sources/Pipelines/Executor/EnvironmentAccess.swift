package import Review

/// The identity by which a job reaches the cluster: a ServiceAccount in the jobs' namespace that may work in the namespace of the job's
/// environment, and nowhere else.
package struct JobAccount: Hashable, Sendable {
    /// The ServiceAccount's name.
    package var name: String
    /// The environment's namespace.
    package var namespace: String
    package var projectID: Int
    /// `group/name`
    package var project: String
    package var environment: String

    package init(name: String, namespace: String, projectID: Int, project: String, environment: String) {
        self.name = name
        self.namespace = namespace
        self.projectID = projectID
        self.project = project
        self.environment = environment
    }
}

/// Gives jobs with an `environment:` their identity in the cluster.
package protocol EnvironmentAccess: Sendable {
    /// The account of a job; `nil` when whoever started the job may not deploy to the environment, or nobody can because of its name.
    func account(for job: JobIdentity, of project: Project, environment: String) async throws -> JobAccount?

    /// Makes the account in `jobsNamespace`, the environment's namespace, and the role binding that joins them, as far as they are
    /// missing.
    func prepare(_ account: JobAccount, jobsNamespace: String) async throws
}
