package import KubernetesClient
import KubernetesModel

/// The namespaces of environments in a cluster, each marked with the project and the environment that it belongs to.
///
/// The mark is the project's number: a project that is renamed keeps its environments, and their addresses, and one that takes over an old
/// name does not get them.
package struct EnvironmentNamespaces: Sendable {
    static let projectLabel = "sampan.dev/project-id"
    static let nameAnnotation = "sampan.dev/environment"
    /// `group/name environment`, for people.
    static let ownerAnnotation = "sampan.dev/owner"

    let client: any ClusterClient

    package init(client: any ClusterClient) {
        self.client = client
    }

    /// The namespace that an environment of a project lives in; by its name, where none is marked.
    /// - Parameter project: `group/name`
    package func name(project: String, environment: String) async throws -> String {
        let owner = Self.owner(project: project, environment: environment)
        let found = try await namespaces("app.kubernetes.io/managed-by=sampan").first {
            $0.annotations[Self.ownerAnnotation] == owner
        }
        let project = ReleaseProject(id: 0, path: project, webURL: "")
        return found?.name ?? ReleaseEnvironment(project: project, name: environment).namespace
    }

    /// The environment in the namespace that is marked as its own, or in the one that it gets when it is new.
    func environment(_ name: String, of project: ReleaseProject) async throws -> ReleaseEnvironment {
        let found = try await namespaces("\(Self.projectLabel)=\(project.id)").first {
            $0.annotations[Self.nameAnnotation] == name && !$0.isBeingDeleted
        }
        return ReleaseEnvironment(project: project, name: name, namespace: found?.name)
    }

    /// All that was made for environments, marked or not.
    func all() async throws -> [AnyObjectView] { try await namespaces("app.kubernetes.io/managed-by=sampan") }

    /// Makes the environment's namespace, or marks it; refuses one that belongs to somebody else.
    func prepare(_ environment: ReleaseEnvironment) async throws {
        guard let existing = try await client.find(.namespaces, namespace: nil, name: environment.namespace) else {
            var metadata = Self.mark(of: environment)
            metadata["name"] = .string(environment.namespace)
            let object: JSON = ["apiVersion": "v1", "kind": "Namespace", "metadata": metadata]
            _ = try await client.create(.namespaces, object)
            return
        }
        let view = AnyObjectView(existing)
        guard Self.belongs(view, to: environment) else {
            let owner = view.annotations[Self.ownerAnnotation] ?? "somebody else"
            throw ReleaseError(
                "the namespace \(view.name) belongs to \(owner), not to \(Self.owner(of: environment))"
                    + (view.labels[Self.projectLabel].map { "; its project has the number \($0)" } ?? "")
            )
        }
        guard !view.isBeingDeleted else {
            throw ReleaseError("the namespace \(view.name) is being deleted; deploy again later")
        }
        try await mark(view, as: environment)
    }

    /// Writes down whose the namespace is, unless that is there already.
    func mark(_ namespace: AnyObjectView, as environment: ReleaseEnvironment) async throws {
        let mark = Self.mark(of: environment)
        let isMarked = ["labels", "annotations"].allSatisfy { part in
            let present = namespace.json["metadata", part]?.stringMap ?? [:]
            return (mark[part]?.stringMap ?? [:]).allSatisfy { present[$0.key] == $0.value }
        }
        guard !isMarked else { return }
        _ = try await client.patch(
            .namespaces,
            namespace: nil,
            name: namespace.name,
            subresource: nil,
            .merge(["metadata": mark])
        )
    }

    // MARK: - Private

    private func namespaces(_ selector: String) async throws -> [AnyObjectView] {
        let options = ListOptions(labelSelector: selector)
        return try await client.list(.namespaces, namespace: nil, options: options).items.map(AnyObjectView.init)
    }

    private static func mark(of environment: ReleaseEnvironment) -> JSON {
        var labels = environment.labels
        labels[projectLabel] = "\(environment.project.id)"
        let annotations = [nameAnnotation: environment.name, ownerAnnotation: owner(of: environment)]
        return ["labels": JSON(labels), "annotations": JSON(annotations)]
    }

    /// One that an earlier version made names its owner only by the project's path.
    private static func belongs(_ namespace: AnyObjectView, to environment: ReleaseEnvironment) -> Bool {
        guard let id = namespace.labels[projectLabel] else {
            return namespace.annotations[ownerAnnotation] == owner(of: environment)
        }
        return id == "\(environment.project.id)" && namespace.annotations[nameAnnotation] == environment.name
    }

    private static func owner(of environment: ReleaseEnvironment) -> String {
        owner(project: environment.project.path, environment: environment.name)
    }

    private static func owner(project: String, environment: String) -> String { "\(project) \(environment)" }
}
