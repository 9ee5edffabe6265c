package import KubernetesClient
package import KubernetesModel
package import Logging
import ServiceLifecycle

/// Deletes objects whose owners are gone, and lets owners go that wait for their dependents.
///
/// An informer that does not show an owner proves nothing: its absence is always asked of the cluster before anything is deleted.
package struct GarbageCollector: Service {
    private struct Item: Hashable, Sendable, CustomStringConvertible {
        var resource: Resource
        var key: ObjectKey

        var description: String { "\(resource.qualifiedName) \(key)" }
    }

    private static let ownerIndex = "owner"

    private let client: any ClusterClient
    private let informers: [Resource: Informer]
    private let kinds: [String: Resource]
    private let queue: WorkQueue<Item>
    private let logger: Logger

    /// - Parameter resources: the kinds whose objects own or are owned
    package init(client: any ClusterClient, informers: Informers, resources: [Resource], logger: Logger) {
        self.client = client
        self.logger = logger
        queue = WorkQueue("garbage", logger: logger, maximumBackoff: .seconds(30))
        var byResource: [Resource: Informer] = [:]
        for resource in resources where resource != .events {
            let informer = informers[resource]
            informer.addIndex(Self.ownerIndex) { AnyObjectView($0).ownerReferences.map(\.uid) }
            byResource[resource] = informer
        }
        self.informers = byResource
        kinds = Dictionary(
            resources.map { ("\($0.apiVersion)/\($0.kind)", $0) },
            uniquingKeysWith: { first, _ in first }
        )
        for (resource, informer) in byResource { follow(informer, resource) }
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            for informer in informers.values {
                guard (try? await informer.waitUntilSynced()) != nil else { return }
            }
            await queue.run(workers: 8) { try await process($0) }
        }
    }

    // MARK: - Watching

    private func follow(_ informer: Informer, _ resource: Resource) {
        let (queue, informers) = (queue, informers)
        informer.onChange { _, new in
            guard let new else { return }
            let view = AnyObjectView(new)
            let hasWork = view.isBeingDeleted ? view.waitsForCollector : !view.ownerReferences.isEmpty
            if hasWork { queue.add(Item(resource: resource, key: view.key)) }
        }
        informer.onChange { old, new in
            // Gone, or waiting for its dependents: each of those must be looked at.
            let isWaiting = new.map { AnyObjectView($0).waitsForCollector } ?? true
            guard let object = new ?? old, isWaiting else { return }
            let uid = AnyObjectView(object).uid
            for (dependentResource, dependents) in informers {
                for dependent in dependents.indexed(Self.ownerIndex, uid) {
                    queue.add(Item(resource: dependentResource, key: AnyObjectView(dependent).key))
                }
            }
            guard new == nil else { return }
            // What it belonged to may have waited for it.
            for reference in AnyObjectView(object).ownerReferences {
                guard let owner = Self.item(reference, namespace: AnyObjectView(object).namespace, in: informers) else {
                    continue
                }
                queue.add(owner)
            }
        }
    }

    private static func item(
        _ reference: OwnerReference,
        namespace: String,
        in informers: [Resource: Informer]
    ) -> Item? {
        let resource = informers.keys.first { $0.apiVersion == reference.apiVersion && $0.kind == reference.kind }
        return resource.map { Item(resource: $0, key: key(of: reference, $0, namespace: namespace)) }
    }

    private static func key(of reference: OwnerReference, _ resource: Resource, namespace: String) -> ObjectKey {
        ObjectKey(namespace: resource.isNamespaced ? namespace : "", name: reference.name)
    }

    // MARK: - Working

    private func process(_ item: Item) async throws {
        let namespace = item.resource.isNamespaced ? item.key.namespace : nil
        // The informer may be late: what is decided here is decided on the object as it is.
        guard let live = try await client.find(item.resource, namespace: namespace, name: item.key.name) else { return }
        let object = AnyObjectView(live)
        let dependents = dependents(of: object)
        let plan = try await GarbagePlan(object, hasDependents: !dependents.isEmpty) { reference in
            try await owner(reference, of: object)
        }
        do {
            try await perform(plan, on: object, item.resource, dependents: dependents)
        } catch let error as StatusError where error.isConflict || error.isNotFound {
            // It or a dependent changed meanwhile.
            queue.add(item, after: .milliseconds(5))
        }
    }

    private func perform(
        _ plan: GarbagePlan,
        on object: AnyObjectView,
        _ resource: Resource,
        dependents: [(Resource, AnyObjectView)]
    ) async throws {
        switch plan {
        case .nothing: return
        case .keep(let owners): _ = try await client.setOwners(of: object, resource, owners)
        case .delete(let kind): try await delete(object, resource, kind)
        case .deleteDependents: try await deleteDependents(of: object, resource, dependents)
        case .orphanDependents: try await orphan(dependents, of: object, resource)
        }
    }

    private func delete(_ object: AnyObjectView, _ resource: Resource, _ kind: GarbagePlan.DeletionKind) async throws {
        let policy: DeleteOptions.PropagationPolicy =
            switch kind {
            case .background: .background
            case .foreground: .foreground
            case .orphan: .orphan
            }
        _ = try await client.delete(
            resource,
            namespace: resource.isNamespaced ? object.namespace : nil,
            name: object.name,
            options: DeleteOptions(
                propagationPolicy: policy,
                uid: object.uid,
                resourceVersion: object.resourceVersion
            )
        )
        logger.info("Object without owner is deleted", metadata: ["kind": "\(resource.kind)", "key": "\(object.key)"])
    }

    /// Deletes what blocks the deletion of `object`; once nothing does, lets it go.
    private func deleteDependents(
        of object: AnyObjectView,
        _ resource: Resource,
        _ dependents: [(Resource, AnyObjectView)]
    ) async throws {
        let blocking = dependents.filter { _, dependent in
            dependent.ownerReferences.contains { $0.uid == object.uid && $0.blocksOwnerDeletion }
        }
        guard !blocking.isEmpty else {
            return try await removeFinalizer(GarbagePlan.foregroundFinalizer, from: object, resource)
        }
        for (dependentResource, dependent) in blocking where !dependent.isBeingDeleted {
            queue.add(Item(resource: dependentResource, key: dependent.key))
        }
    }

    private func orphan(
        _ dependents: [(Resource, AnyObjectView)],
        of object: AnyObjectView,
        _ resource: Resource
    ) async throws {
        for (dependentResource, dependent) in dependents {
            try await client.release(dependent, dependentResource, by: object)
        }
        try await removeFinalizer(GarbagePlan.orphanFinalizer, from: object, resource)
    }

    private func removeFinalizer(_ finalizer: String, from object: AnyObjectView, _ resource: Resource) async throws {
        let remaining = object.finalizers.filter { $0 != finalizer }
        let metadata: JSON = [
            "resourceVersion": .string(object.resourceVersion),
            "finalizers": remaining.isEmpty ? .null : JSON(remaining),
        ]
        _ = try await client.patch(
            resource,
            namespace: resource.isNamespaced ? object.namespace : nil,
            name: object.name,
            .merge(["metadata": metadata])
        )
    }

    private func dependents(of object: AnyObjectView) -> [(Resource, AnyObjectView)] {
        informers.flatMap { resource, informer in
            informer.indexed(Self.ownerIndex, object.uid).map { (resource, AnyObjectView($0)) }
        }
    }

    /// Looks the owner up: in the informer if it shows the very one (its end is an event that leads here again), else in the cluster.
    private func owner(_ reference: OwnerReference, of object: AnyObjectView) async throws -> GarbagePlan.Owner {
        guard let resource = kinds["\(reference.apiVersion)/\(reference.kind)"] else {
            return .present  // a kind that is not collected: it is not ours to say that it is gone
        }
        let key = Self.key(of: reference, resource, namespace: object.namespace)
        if let held = informers[resource]?.get(key).map({ AnyObjectView($0) }), held.uid == reference.uid {
            return held.waitsForDependents ? .waitsForDependents : .present
        }
        return try await confirmed(key, reference, resource)
    }

    private func confirmed(
        _ key: ObjectKey,
        _ reference: OwnerReference,
        _ resource: Resource
    ) async throws -> GarbagePlan.Owner {
        let namespace = resource.isNamespaced ? key.namespace : nil
        guard
            let live = try await client.find(resource, namespace: namespace, name: key.name).map({ AnyObjectView($0) }),
            live.uid == reference.uid
        else { return .absent }
        return live.waitsForDependents ? .waitsForDependents : .present
    }
}

extension AnyObjectView {
    fileprivate var waitsForDependents: Bool {
        isBeingDeleted && finalizers.contains(GarbagePlan.foregroundFinalizer)
    }

    fileprivate var waitsForCollector: Bool {
        waitsForDependents || (isBeingDeleted && finalizers.contains(GarbagePlan.orphanFinalizer))
    }
}
