package import KubernetesClient
import KubernetesModel
package import Pipelines
package import Review

/// Lets jobs into the namespaces of the environments that whoever started them may deploy to.
package struct ForgeEnvironmentAccess: EnvironmentAccess {
    private static let role = "edit"
    private static let binding = "sampan-jobs"

    private let forge: Forge
    private let client: any ClusterClient

    package init(forge: Forge, client: any ClusterClient) {
        self.forge = forge
        self.client = client
    }

    package func account(
        for job: JobIdentity,
        of project: Project,
        environment name: String
    ) async throws -> JobAccount? {
        let permission = ForgeReleaseAccess.permission(for: .deploy(environment: name))
        guard try await forge.allows(.job(job), permission, in: project) else { return nil }
        let release = ReleaseProject(id: project.id, path: project.pathWithNamespace, webURL: "")
        do { try ReleaseService.checkEnvironment(name) } catch { return nil }
        let environment = try await EnvironmentNamespaces(client: client).environment(name, of: release)
        return JobAccount(
            name: environment.namespace,
            namespace: environment.namespace,
            projectID: project.id,
            project: project.pathWithNamespace,
            environment: name
        )
    }

    package func prepare(_ account: JobAccount, jobsNamespace: String) async throws {
        let environment = ReleaseEnvironment(
            project: ReleaseProject(id: account.projectID, path: account.project, webURL: ""),
            name: account.environment,
            namespace: account.namespace
        )
        try await BundleApplier(client: client, environment: environment).prepareNamespace()
        try await apply(
            .serviceAccounts,
            [
                "apiVersion": "v1", "kind": "ServiceAccount", "automountServiceAccountToken": false,
                "metadata": [
                    "name": .string(account.name), "namespace": .string(jobsNamespace),
                    "labels": JSON(environment.labels),
                ],
            ]
        )
        try await apply(
            .roleBindings,
            [
                "apiVersion": .string(Resource.roleBindings.apiVersion), "kind": "RoleBinding",
                "metadata": [
                    "name": .string(Self.binding), "namespace": .string(account.namespace),
                    "labels": JSON(environment.labels),
                ],
                "roleRef": [
                    "apiGroup": .string(Resource.roleBindings.group), "kind": "ClusterRole", "name": .string(Self.role),
                ],
                "subjects": [
                    [
                        "kind": "ServiceAccount", "name": .string(account.name), "namespace": .string(jobsNamespace),
                    ]
                ],
            ]
        )
    }

    // MARK: - Private

    private func apply(_ resource: Resource, _ object: JSON) async throws {
        let view = AnyObjectView(object)
        _ = try await client.patch(
            resource,
            namespace: view.namespace,
            name: view.name,
            subresource: nil,
            .apply(object),
            options: WriteOptions(fieldManager: BundleApplier.fieldManager, force: true)
        )
    }
}

extension Resource {
    static let roleBindings = Resource(
        group: "rbac.authorization.k8s.io",
        plural: "rolebindings",
        kind: "RoleBinding"
    )
}
