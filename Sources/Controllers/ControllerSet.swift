package import KubernetesClient
package import KubernetesModel
package import Logging
import ServiceLifecycle

/// All controllers of the embedded cluster.
///
/// Make it, and everything else that shares `informers`, before `informers` runs; then run both.
package struct ControllerSet: Service {
    private let services: [any Service]

    /// - Parameters:
    ///   - resources: all kinds that the cluster serves now; the built-in ones unless given
    ///   - rootCertificate: the PEM text that pods trust the API by; published as `kube-root-ca.crt`
    package init(
        client: any ClusterClient,
        informers: Informers,
        resources: @escaping @Sendable () -> [Resource] = { ControllerSet.builtinResources },
        rootCertificate: String? = nil,
        logger: Logger
    ) {
        func recorder(_ component: String) -> EventRecorder {
            EventRecorder(client, component: component, logger: logger)
        }
        let recorders = (
            deployment: recorder("deployment-controller"), replicaSet: recorder("replicaset-controller"),
            job: recorder("job-controller")
        )
        services = [
            recorders.deployment, recorders.replicaSet, recorders.job,
            DeploymentController(
                client: client,
                informers: informers,
                recorder: recorders.deployment,
                logger: logger
            ),
            ReplicaSetController(
                client: client,
                informers: informers,
                recorder: recorders.replicaSet,
                logger: logger
            ),
            JobController(client: client, informers: informers, recorder: recorders.job, logger: logger),
            EndpointSliceController(client: client, informers: informers, logger: logger),
            NamespaceController(client: client, informers: informers, resources: resources, logger: logger),
            GarbageCollector(client: client, informers: informers, resources: resources(), logger: logger),
            ServiceAccountController(
                client: client,
                informers: informers,
                rootCertificate: rootCertificate,
                logger: logger
            ),
            PodGarbageController(client: client, informers: informers, logger: logger),
        ]
    }

    /// The kinds of the catalogue whose objects are stored.
    package static var builtinResources: [Resource] {
        ResourceCatalog.builtin.definitions.filter(\.isStored).map(\.resource)
    }

    /// Runs all of them until graceful shutdown or cancellation.
    package func run() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            for service in services { group.addTask { try await service.run() } }
        }
    }
}
