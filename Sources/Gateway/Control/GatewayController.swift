import KubernetesClient
import KubernetesModel
import Logging
import ServiceLifecycle

/// Watches the objects that describe routes, keeps the table in step with them, and writes their statuses.
///
/// While the cluster is away the table stays as it is.
struct GatewayController: Service {
    private let client: any ClusterClient
    private let publisher: TablePublisher
    private let snapshot: SnapshotFile?
    private let compiler: GatewayCompilerSettings
    private let logger: Logger
    private let informers: Informers
    private let secrets: Informer
    private let changes: AsyncStream<Void>
    private let saves: AsyncStream<GatewayObjects>
    private let saved: AsyncStream<GatewayObjects>.Continuation

    init(
        client: any ClusterClient,
        publisher: TablePublisher,
        snapshot: SnapshotFile?,
        compiler: GatewayCompilerSettings,
        logger: Logger
    ) {
        self.client = client
        self.publisher = publisher
        self.snapshot = snapshot
        self.compiler = compiler
        self.logger = logger
        informers = Informers(client, logger: logger)
        secrets = Informer(client, .secrets, fieldSelector: "type=kubernetes.io/tls", logger: logger)
        let (changes, changed) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        (saves, saved) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.changes = changes
        for resource in GatewayObjects.resources {
            informers[resource].onChange { _, _ in changed.yield() }
        }
        secrets.onChange { _, _ in changed.yield() }
        informers[.endpointSlices].onHearing { publisher.hear(cluster: $0) }
        changed.yield()
    }

    func run() async throws {
        try await cancelWhenGracefulShutdown {
            try await withThrowingDiscardingTaskGroup { group in
                group.addTask { try await informers.run() }
                group.addTask { try await secrets.run() }
                group.addTask { await save() }
                group.addTask { try await follow() }
            }
        }
    }

    // MARK: - Private

    private func follow() async throws {
        // Half of the objects would make a table without half of the routes.
        try await informers.waitUntilSynced()
        try await secrets.waitUntilSynced()
        for await _ in changes {
            let objects = objects
            let result = compiler.compile(objects)
            publisher.apply(result.table)
            publisher.becomeCurrent()
            saved.yield(objects)
            // Whether a port can be opened shows only now.
            let unavailable = publisher.unavailablePorts
            await write(unavailable.isEmpty ? result.statuses : compiler.compile(objects, unavailable).statuses)
        }
    }

    private var objects: GatewayObjects {
        func sorted(_ resource: Resource) -> [JSON] {
            informers[resource].snapshot().sorted { AnyObjectView($0).key < AnyObjectView($1).key }
        }
        var objects = GatewayObjects()
        objects.classes = sorted(.gatewayClasses)
        objects.gateways = sorted(.gateways)
        objects.routes = sorted(.httpRoutes)
        objects.namespaces = sorted(.namespaces)
        objects.services = sorted(.services)
        objects.endpointSlices = sorted(.endpointSlices)
        objects.referenceGrants = sorted(.referenceGrants)
        objects.secrets = secrets.snapshot().sorted { AnyObjectView($0).key < AnyObjectView($1).key }
        return objects
    }

    /// Writes what differs. A status that cannot be written comes again with the next change.
    private func write(_ statuses: [GatewayStatus]) async {
        for status in statuses {
            guard let held = informers[status.resource].get(status.key),
                Self.differs(AnyObjectView(held).status, status.status)
            else { continue }
            do {
                _ = try await client.patch(
                    status.resource,
                    namespace: status.resource.isNamespaced ? status.key.namespace : nil,
                    name: status.key.name,
                    subresource: "status",
                    .merge(["status": status.status])
                )
                logger.info("Wrote a status", metadata: ["kind": "\(status.resource.kind)", "name": "\(status.key)"])
            } catch {
                logger.warning(
                    "Cannot write a status",
                    metadata: ["kind": "\(status.resource.kind)", "name": "\(status.key)", "error": "\(error)"]
                )
            }
        }
    }

    private static func differs(_ held: JSON, _ wanted: JSON) -> Bool {
        (wanted.object ?? [:]).contains { !isSame(held[$0.key], $0.value) }
    }

    /// Objects are the same whatever the order of their fields: servers may keep another one.
    private static func isSame(_ left: JSON?, _ right: JSON) -> Bool {
        switch (left, right) {
        case (.object(let l), .object(let r)): l.count == r.count && r.allSatisfy { isSame(l[$0.key], $0.value) }
        case (.array(let l), .array(let r)): l.count == r.count && zip(l, r).allSatisfy(isSame)
        default: left == right
        }
    }

    /// Saves the newest objects, at most twice a second.
    private func save() async {
        guard let snapshot else { return }
        for await objects in saves {
            do {
                try await blocking { try snapshot.save(objects) }
            } catch {
                logger.warning("Cannot save the snapshot", metadata: ["error": "\(error)"])
            }
            try? await Task.sleep(for: .milliseconds(500))
        }
    }
}
