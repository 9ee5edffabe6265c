package import KubernetesClient
import KubernetesModel
package import Logging
package import Review
import ServiceLifecycle

/// Keeps the namespaces of environments true to their projects: those of deleted projects go, with all that runs in them, and those of
/// renamed ones say the new name.
///
/// What is to be done is read from the forge, at the start and after each change, so a crash loses nothing. A namespace goes only if the
/// forge knows that its project was deleted: one that it has never heard of, as after a backup was put back, stays.
package struct NamespaceTending: Service {
    private let forge: Forge
    private let client: any ClusterClient
    private let jobsNamespace: String
    private let clock: any Clock<Duration>
    private let logger: Logger

    /// `jobsNamespace` is where the accounts of jobs are.
    package init(
        forge: Forge,
        client: any ClusterClient,
        jobsNamespace: String = "sampan-jobs",
        clock: any Clock<Duration> = ContinuousClock(),
        logger: Logger
    ) {
        self.forge = forge
        self.client = client
        self.jobsNamespace = jobsNamespace
        self.clock = clock
        self.logger = logger
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            for await _ in forge.projectChanges() { await tendUntilDone() }
        }
    }

    // MARK: - Private

    private func tendUntilDone() async {
        var backoff = Backoff()
        while !Task.isCancelled {
            do {
                return try await tend()
            } catch {
                logger.info("namespaces cannot be tended yet", metadata: ["error": "\(error)"])
                try? await clock.sleep(for: backoff.next())
            }
        }
    }

    private func tend() async throws {
        let namespaces = EnvironmentNamespaces(client: client)
        for namespace in try await namespaces.all() where !namespace.isBeingDeleted {
            guard let id = namespace.labels[EnvironmentNamespaces.projectLabel].flatMap({ Int($0) }) else {
                try await adopt(namespace, namespaces)
                continue
            }
            if let project = try await forge.project(id) {
                let name = namespace.annotations[EnvironmentNamespaces.nameAnnotation] ?? ""
                try await namespaces.mark(namespace, as: environment(name, of: project, in: namespace))
            } else if try await forge.wasProjectDeleted(id) {
                try await remove(namespace, project: id)
            }
        }
    }

    /// Marks what an earlier version made, as long as its project has the name that it had then.
    private func adopt(_ namespace: AnyObjectView, _ namespaces: EnvironmentNamespaces) async throws {
        let owner = (namespace.annotations[EnvironmentNamespaces.ownerAnnotation] ?? "").split(
            separator: " ",
            maxSplits: 1
        )
        guard owner.count == 2, let project = try await forge.project(path: String(owner[0])) else { return }
        try await namespaces.mark(namespace, as: environment(String(owner[1]), of: project, in: namespace))
    }

    private func environment(_ name: String, of project: Project, in namespace: AnyObjectView) -> ReleaseEnvironment {
        let project = ReleaseProject(id: project.id, path: project.pathWithNamespace, webURL: "")
        return ReleaseEnvironment(project: project, name: name, namespace: namespace.name)
    }

    private func remove(_ namespace: AnyObjectView, project id: Int) async throws {
        logger.info(
            "removing what a deleted project left",
            metadata: ["project": "\(id)", "namespace": "\(namespace.name)"]
        )
        // The account first: once the namespace is gone nothing leads to it.
        for (resource, home) in [(Resource.serviceAccounts, jobsNamespace), (.namespaces, nil)] as [(Resource, String?)]
        {
            do {
                _ = try await client.delete(resource, namespace: home, name: namespace.name)
            } catch let error as StatusError where error.isNotFound {
                continue
            }
        }
    }
}
