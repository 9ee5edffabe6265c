import Controllers
import KubernetesClient
import KubernetesModel
import Logging
import TestKit

/// Runs all controllers and a node that makes pods ready against a cluster in memory.
func withControllers(
    _ cluster: MemoryCluster = MemoryCluster(),
    kubelet: @escaping @Sendable (JSON) -> FakeKubelet.Outcome = { _ in .ready },
    _ body: (MemoryCluster) async throws -> Void
) async throws {
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let informers = Informers(cluster, logger: logger)
    let controllers = ControllerSet(client: cluster, informers: informers, logger: logger)
    let node = FakeKubelet(cluster, decide: kubelet)
    cluster.put(.nodes, ["metadata": ["name": "node"]])
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await controllers.run() }
        group.addTask { try await informers.run() }
        group.addTask { try await node.run() }
        try await informers.waitUntilSynced()
        try await body(cluster)
        group.cancelAll()
    }
}

extension JSON {
    static func deployment(
        _ name: String,
        replicas: Int,
        image: String = "a:1",
        spec: JSON = [:]
    ) -> JSON {
        var deployment: JSON = [
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": ["name": .string(name), "namespace": "default", "labels": ["app": .string(name)]],
            "spec": [
                "replicas": JSON(replicas),
                "selector": ["matchLabels": ["app": .string(name)]],
                "template": [
                    "metadata": ["labels": ["app": .string(name)]],
                    "spec": ["containers": [["name": "main", "image": .string(image)]]],
                ],
            ],
        ]
        for (field, value) in spec.object ?? [:] { deployment["spec", field] = value }
        return deployment
    }

    static func job(_ name: String, spec: JSON = [:]) -> JSON {
        var job: JSON = [
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": ["name": .string(name), "namespace": "default"],
            "spec": [
                "template": [
                    "spec": ["restartPolicy": "Never", "containers": [["name": "main", "image": "a:1"]]]
                ]
            ],
        ]
        for (field, value) in spec.object ?? [:] { job["spec", field] = value }
        return job
    }
}

extension MemoryCluster {
    func deploymentStatus(_ name: String) -> JSON {
        find(.deployments, namespace: "default", name: name)?["status"] ?? [:]
    }

    func condition(_ resource: Resource, _ name: String, _ type: String) -> JSON? {
        find(resource, namespace: "default", name: name)?["status", "conditions"]?.array?.first {
            $0["type"]?.string == type
        }
    }

    func isRolledOut(_ name: String) -> Bool {
        guard let deployment = find(.deployments, namespace: "default", name: name) else { return false }
        let (status, replicas) = (deployment["status"] ?? [:], deployment["spec", "replicas"]?.int ?? 1)
        return status["observedGeneration"] == deployment["metadata", "generation"]
            && ["replicas", "updatedReplicas", "availableReplicas"].allSatisfy {
                (status[$0]?.int ?? 0) == replicas
            }
    }

    /// The image that the active pods of `app` run, with their number.
    func images(of app: String) -> [String: Int] {
        all(.pods).filter { $0["metadata", "labels", "app"]?.string == app }.reduce(into: [:]) { images, pod in
            images[pod["spec", "containers"]?[0]?["image"]?.string ?? "", default: 0] += 1
        }
    }
}
