package import KubernetesClient
import KubernetesModel
package import Logging
import ServiceLifecycle

/// Removes pods that nobody will: those of nodes that are gone, and the oldest finished ones beyond 12,500.
package struct PodGarbageController: Service {
    package static let finishedPodLimit = 12_500
    /// The one key: the work is about all pods.
    private static let everything = ObjectKey(namespace: "", name: "pods")

    private let client: any ClusterClient
    private let nodes: Informer
    private let pods: Informer
    private let queue: WorkQueue<ObjectKey>
    private let logger: Logger

    package init(client: any ClusterClient, informers: Informers, logger: Logger) {
        self.client = client
        self.logger = logger
        nodes = informers[.nodes]
        pods = informers[.pods]
        queue = WorkQueue("podgc", logger: logger)
        let queue = queue
        nodes.onChange { _, new in
            if new == nil { queue.add(Self.everything) }
        }
        pods.onChange { old, new in
            guard let new, PodView(new).isFinished, old.map({ !PodView($0).isFinished }) ?? true else { return }
            // Finished pods come in crowds; once a second is often enough.
            queue.add(Self.everything, after: .seconds(1))
        }
    }

    package func run() async throws {
        queue.add(Self.everything)
        try await Controller(queue: queue, informers: [nodes, pods], workers: 1) { _ in try await collect() }.run()
    }

    private func collect() async throws {
        let all = pods.snapshot().map(PodView.init)
        for pod in Self.excess(of: all, limit: Self.finishedPodLimit) {
            try await remove(pod, why: "finished long ago")
        }
        let known = Set(nodes.snapshot().map { AnyObjectView($0).name })
        for pod in all where !pod.nodeName.isEmpty && !known.contains(pod.nodeName) {
            // The informer may only not know the node yet.
            guard try await client.find(.nodes, namespace: nil, name: pod.nodeName) == nil else { continue }
            try await remove(pod, why: "its node is gone")
        }
    }

    /// The oldest finished pods beyond `limit`.
    static func excess(of pods: [PodView], limit: Int) -> [PodView] {
        let finished = pods.filter { $0.isFinished && !$0.isBeingDeleted }
        guard finished.count > limit else { return [] }
        return Array(finished.sorted { $0.creationTimestamp < $1.creationTimestamp }.prefix(finished.count - limit))
    }

    private func remove(_ pod: PodView, why: String) async throws {
        do {
            _ = try await client.delete(
                .pods,
                namespace: pod.namespace,
                name: pod.name,
                options: DeleteOptions(gracePeriodSeconds: 0, uid: pod.uid)
            )
            logger.info("Pod is removed", metadata: ["pod": "\(pod.key)", "reason": "\(why)"])
        } catch let error as StatusError where error.isNotFound || error.isConflict {
            return
        }
    }
}
