package import KubernetesModel
package import Logging
import ServiceLifecycle
import Synchronization

/// One informer per kind, shared by everything that runs against a cluster in this process.
///
/// Everything asks for its informers, registers its handlers and indexes, and only then does the set run.
package final class Informers: Service {
    private struct State {
        var informers: [Resource: Informer] = [:]
        var isRunning = false
    }

    private let client: any ClusterClient
    private let logger: Logger
    private let state = Mutex(State())

    package init(_ client: any ClusterClient, logger: Logger) {
        self.client = client
        self.logger = logger
    }

    /// The informer of all objects of `resource`; all of the set can be asked for ``Informer/controlled(by:)``.
    package subscript(resource: Resource) -> Informer {
        state.withLock { state in
            if let informer = state.informers[resource] { return informer }
            precondition(!state.isRunning, "Informers must be asked for before the set runs.")
            let informer = Informer(client, resource, logger: logger)
            informer.addIndex(Informer.controllerIndex) { object in
                let view = AnyObjectView(object)
                return [view.controllerReference?.uid ?? "none in \(view.namespace)"]
            }
            state.informers[resource] = informer
            return informer
        }
    }

    package func waitUntilSynced() async throws {
        for informer in state.withLock({ Array($0.informers.values) }) {
            try await informer.waitUntilSynced()
        }
    }

    /// Runs all informers until graceful shutdown or cancellation.
    package func run() async throws {
        let informers = state.withLock { state in
            state.isRunning = true
            return Array(state.informers.values)
        }
        try await withThrowingDiscardingTaskGroup { group in
            for informer in informers { group.addTask { try await informer.run() } }
        }
    }
}

extension Informer {
    fileprivate static let controllerIndex = "controller"

    /// The objects whose controller has that uid; only for informers of an ``Informers`` set.
    package func controlled(by uid: String) -> [JSON] {
        indexed(Self.controllerIndex, uid)
    }

    /// The objects of a namespace that have no controller; only for informers of an ``Informers`` set.
    package func uncontrolled(namespace: String) -> [JSON] {
        indexed(Self.controllerIndex, "none in \(namespace)")
    }
}
