package import KubernetesClient
import KubernetesModel
package import Logging
import ServiceLifecycle

/// Keeps the EndpointSlices of every Service with a selector true to its pods: what decides who gets traffic.
package struct EndpointSliceController: Service {
    private let client: any ClusterClient
    private let services: Informer
    private let pods: Informer
    private let slices: Informer
    private let queue: WorkQueue<ObjectKey>

    package init(client: any ClusterClient, informers: Informers, logger: Logger) {
        self.client = client
        services = informers[.services]
        pods = informers[.pods]
        slices = informers[.endpointSlices]
        queue = WorkQueue("endpointslice", logger: logger, maximumBackoff: .seconds(5))
        follow()
    }

    package func run() async throws {
        try await Controller(queue: queue, informers: [services, pods, slices], reconcile: reconcile).run()
    }

    private func follow() {
        let (queue, services) = (queue, services)
        services.onChange { old, new in
            if let object = new ?? old { queue.add(AnyObjectView(object).key) }
        }
        slices.onChange { old, new in
            guard let object = new ?? old, let service = Self.service(of: AnyObjectView(object)) else { return }
            queue.add(service)
        }
        pods.onChange { old, new in
            let pods = [old, new].compactMap { $0.map { AnyObjectView($0) } }
            guard let namespace = pods.first?.namespace else { return }
            for service in services.list(namespace: namespace).map({ AnyObjectView($0) }) {
                guard let selector = Self.selector(of: service) else { continue }
                if pods.contains(where: { selector.matches($0.labels) }) { queue.add(service.key) }
            }
        }
    }

    private func reconcile(_ key: ObjectKey) async throws {
        let existing = slices.list(namespace: key.namespace).map { AnyObjectView($0) }
            .filter { Self.service(of: $0) == key && !$0.isBeingDeleted }
        guard let service = services.get(key).map({ AnyObjectView($0) }), !service.isBeingDeleted,
            let selector = Self.selector(of: service)
        else {
            for slice in existing { try await delete(slice) }
            return
        }
        let selected = pods.list(namespace: key.namespace).map(PodView.init).filter { selector.matches($0.labels) }
        let plan = EndpointSlicePlan(service, pods: selected, slices: existing)
        for slice in plan.updates { _ = try await client.update(.endpointSlices, slice) }
        for slice in plan.creations { try await create(slice, namespace: key.namespace) }
        for slice in plan.deletions { try await delete(slice) }
    }

    /// A slice that is there already is one that the informer does not show yet: its event comes and leads here again.
    private func create(_ slice: JSON, namespace: String) async throws {
        do {
            _ = try await client.create(.endpointSlices, namespace: namespace, slice)
        } catch let error as StatusError where error.isAlreadyExists {
            throw StatusError.modified(.endpointSlices, AnyObjectView(slice).name)
        }
    }

    private func delete(_ slice: AnyObjectView) async throws {
        do {
            _ = try await client.delete(
                .endpointSlices,
                namespace: slice.namespace,
                name: slice.name,
                options: DeleteOptions(uid: slice.uid)
            )
        } catch let error as StatusError where error.isNotFound {
            return
        }
    }

    /// `nil` for Services whose endpoints somebody else keeps.
    private static func selector(of service: AnyObjectView) -> LabelSelector? {
        let labels = service.spec["selector"]?.stringMap ?? [:]
        guard !labels.isEmpty, service.spec["type"]?.string != "ExternalName" else { return nil }
        return LabelSelector(matchLabels: labels)
    }

    private static func service(of slice: AnyObjectView) -> ObjectKey? {
        let labels = slice.labels
        guard labels[EndpointSlicePlan.managedByLabel] == EndpointSlicePlan.manager else { return nil }
        return labels[EndpointSlicePlan.serviceLabel].map { ObjectKey(namespace: slice.namespace, name: $0) }
    }
}
