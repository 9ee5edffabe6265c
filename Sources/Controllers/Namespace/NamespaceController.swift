package import KubernetesClient
package import KubernetesModel
package import Logging
import ServiceLifecycle

/// Empties namespaces that are being deleted, then lets them go.
package struct NamespaceController: Service {
    /// The finalizer in the specification of every namespace.
    private static let finalizer = "kubernetes"

    private let client: any ClusterClient
    private let namespaces: Informer
    private let resources: @Sendable () -> [Resource]
    private let queue: WorkQueue<ObjectKey>
    private let logger: Logger

    /// - Parameter resources: all kinds that the cluster serves now
    package init(
        client: any ClusterClient,
        informers: Informers,
        resources: @escaping @Sendable () -> [Resource],
        logger: Logger
    ) {
        self.client = client
        self.resources = resources
        self.logger = logger
        namespaces = informers[.namespaces]
        queue = WorkQueue("namespace", logger: logger, maximumBackoff: .seconds(10))
        let queue = queue
        namespaces.onChange { _, new in
            if let new, AnyObjectView(new).isBeingDeleted { queue.add(AnyObjectView(new).key) }
        }
        // The last pod to stop is what most namespaces wait for.
        let namespaces = namespaces
        informers[.pods].onChange { old, new in
            guard new == nil, let old else { return }
            let key = ObjectKey(namespace: "", name: AnyObjectView(old).namespace)
            if let namespace = namespaces.get(key), AnyObjectView(namespace).isBeingDeleted { queue.add(key) }
        }
    }

    package func run() async throws {
        try await Controller(queue: queue, informers: [namespaces], reconcile: reconcile).run()
    }

    private func reconcile(_ key: ObjectKey) async throws {
        guard let object = try await client.find(.namespaces, namespace: nil, name: key.name),
            AnyObjectView(object).isBeingDeleted
        else { return }
        let finalizers = object["spec", "finalizers"]?.array?.compactMap(\.string) ?? []
        guard finalizers.contains(Self.finalizer) else { return }
        let remaining = try await deleteContent(of: key.name)
        guard remaining == 0 else {
            logger.debug("Namespace is not empty", metadata: ["namespace": "\(key.name)", "objects": "\(remaining)"])
            queue.add(key, after: .milliseconds(200))
            return
        }
        var emptied = object
        emptied["spec", "finalizers"] = JSON(finalizers.filter { $0 != Self.finalizer })
        _ = try await client.update(.namespaces, emptied, subresource: "finalize")
        logger.info("Namespace is deleted", metadata: ["namespace": "\(key.name)"])
    }

    /// Asks for the deletion of everything in the namespace; answers how many objects were still there.
    private func deleteContent(of namespace: String) async throws -> Int {
        var count = 0
        for resource in resources() where resource.isNamespaced {
            let objects: [JSON]
            do {
                objects = try await client.list(resource, namespace: namespace).items
            } catch let error as StatusError where error.isNotFound || error.code == 405 {
                continue  // not stored: reviews and the like
            }
            count += objects.count
            for object in objects.map({ AnyObjectView($0) }) where !object.isBeingDeleted {
                try await delete(object, resource)
            }
        }
        return count
    }

    private func delete(_ object: AnyObjectView, _ resource: Resource) async throws {
        do {
            _ = try await client.delete(
                resource,
                namespace: object.namespace,
                name: object.name,
                options: DeleteOptions(propagationPolicy: .background, uid: object.uid)
            )
        } catch let error as StatusError where error.isNotFound || error.isConflict {
            return
        }
    }
}
