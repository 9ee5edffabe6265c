import KubernetesClient
import KubernetesModel
import Logging
import ServiceLifecycle

/// A queue of keys and what is done for each: the shape of every controller.
struct Controller: Service {
    let queue: WorkQueue<ObjectKey>
    /// Read by `reconcile`, so complete before the first key is worked on.
    let informers: [Informer]
    let workers: Int
    let reconcile: @Sendable (ObjectKey) async throws -> Void

    init(
        queue: WorkQueue<ObjectKey>,
        informers: [Informer],
        workers: Int = 4,
        reconcile: @escaping @Sendable (ObjectKey) async throws -> Void
    ) {
        self.queue = queue
        self.informers = informers
        self.workers = workers
        self.reconcile = reconcile
    }

    func run() async throws {
        try await cancelWhenGracefulShutdown {
            do {
                for informer in informers { try await informer.waitUntilSynced() }
            } catch is CancellationError {
                return
            }
            await queue.run(workers: workers) { key in
                do {
                    try await reconcile(key)
                } catch let error as StatusError where error.isConflict {
                    // Somebody wrote first, and the informer will soon show what: no failure, just too early.
                    queue.add(key, after: .milliseconds(2))
                }
            }
        }
    }
}

extension WorkQueue<ObjectKey> {
    /// Adds the controller of `object` when it is of `kind`.
    func addController(of object: JSON?, kind: String) {
        guard let object else { return }
        let view = AnyObjectView(object)
        guard let owner = view.controllerReference, owner.kind == kind else { return }
        add(ObjectKey(namespace: view.namespace, name: owner.name))
    }
}
