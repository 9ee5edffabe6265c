import KubernetesClient
import KubernetesModel
import TestKit
import Testing

struct ReplicaSetControllerTests {
    private let replicaSet: JSON = [
        "metadata": ["name": "web", "namespace": "default"],
        "spec": [
            "replicas": 3, "selector": ["matchLabels": ["app": "web"]],
            "template": [
                "metadata": ["labels": ["app": "web"]],
                "spec": ["containers": [["name": "main", "image": "a"]]],
            ],
        ],
    ]

    @Test
    func neverMakesTooManyPodsHoweverOftenItIsWoken() async throws {
        try await withControllers { cluster in
            _ = try await cluster.create(.replicaSets, namespace: "default", replicaSet)
            for round in 0..<50 {
                cluster.modify(.replicaSets, namespace: "default", name: "web") {
                    $0["metadata", "annotations"] = ["round": .string("\(round)")]
                }
                await Task.yield()
            }
            try await waitUntil("three are ready") {
                cluster.find(.replicaSets, namespace: "default", name: "web")?["status", "readyReplicas"] == 3
            }
            #expect(cluster.all(.pods).count == 3)
            #expect(cluster.requests.count { $0.verb == .create && $0.resource == .pods } == 3)
        }
    }

    @Test
    func replacesPodsThatGoOrFail() async throws {
        try await withControllers { cluster in
            _ = try await cluster.create(.replicaSets, namespace: "default", replicaSet)
            try await waitUntil("three are there") { cluster.all(.pods).count == 3 }
            let first = AnyObjectView(cluster.all(.pods)[0])
            _ = try await cluster.delete(.pods, namespace: "default", name: first.name)
            try await waitUntil("it is replaced") {
                cluster.all(.pods).count == 3
                    && !cluster.all(.pods).contains { AnyObjectView($0).name == first.name }
            }
            let second = AnyObjectView(cluster.all(.pods)[0])
            cluster.finishPod(namespace: "default", name: second.name, exitCode: 1)
            try await waitUntil("the failed one is replaced") {
                cluster.all(.pods).count { $0["status", "phase"] == "Running" } == 3
            }
        }
    }

    @Test
    func adoptsAndReleasesByLabels() async throws {
        let pod: JSON = ["metadata": ["name": "stray", "namespace": "default", "labels": ["app": "web"]]]
        // It is there before the controllers look, so that no third pod is made in its place.
        try await withControllers(MemoryCluster([(.pods, pod)])) { cluster in
            _ = try await cluster.create(.replicaSets, namespace: "default", replicaSet)
            try await waitUntil("three are there") { cluster.all(.pods).count == 3 }
            let stray = try #require(cluster.find(.pods, namespace: "default", name: "stray"))
            #expect(AnyObjectView(stray).controllerReference?.name == "web")
            cluster.modify(.pods, namespace: "default", name: "stray") { $0["metadata", "labels", "app"] = "other" }
            try await waitUntil("it is released and replaced") {
                cluster.all(.pods).count == 4
                    && cluster.find(.pods, namespace: "default", name: "stray")
                        .map { AnyObjectView($0).ownerReferences.isEmpty } ?? false
            }
        }
    }

    @Test
    func saysWhyPodsCannotBeMadeAndTriesAgain() async throws {
        let cluster = MemoryCluster()
        cluster.fail(.create, .pods, with: .forbidden("exceeded quota"), times: 3)
        try await withControllers(cluster) { cluster in
            _ = try await cluster.create(.replicaSets, namespace: "default", replicaSet)
            try await waitUntil("the failure is an event") {
                cluster.all(.events).contains { $0["reason"] == "FailedCreate" }
            }
            try await waitUntil("three are ready") {
                let status = cluster.find(.replicaSets, namespace: "default", name: "web")?["status"]
                return status?["readyReplicas"] == 3 && status?["conditions"] == nil
            }
        }
    }
}
