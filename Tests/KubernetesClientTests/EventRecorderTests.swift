import KubernetesClient
import KubernetesModel
import Logging
import TestKit
import Testing

struct EventRecorderTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    @Test
    func countsTheSameAndKeepsTheDifferentApart() async throws {
        let cluster = MemoryCluster()
        let pod = cluster.put(.pods, ["metadata": ["name": "web", "namespace": "shop"]])
        let recorder = EventRecorder(cluster, component: "kubelet", host: "node-1", logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await recorder.run() }
            for _ in 0..<3 { recorder.record(.warning, pod, reason: "BackOff", "restarting") }
            recorder.record(.normal, pod, reason: "Pulled", "image is there")
            try await waitUntil("both events are written") {
                cluster.all(.events).compactMap { $0["count"]?.int }.sorted() == [1, 3]
            }
            for event in cluster.all(.events) {
                cluster.remove(.events, namespace: "shop", name: AnyObjectView(event).name)
            }
            recorder.record(.warning, pod, reason: "BackOff", "restarting")
            try await waitUntil("a lost event is written anew") { cluster.all(.events).count == 1 }
            group.cancelAll()
        }
        let event = try #require(cluster.all(.events).first)
        #expect(event["involvedObject", "uid"] == pod["metadata", "uid"])
        #expect(event["involvedObject", "kind"] == "Pod")
        #expect(event["metadata", "namespace"] == "shop")
        #expect(event["type"] == "Warning")
        #expect(event["source"] == ["component": "kubelet", "host": "node-1"])
        #expect(event["count"] == 1)
    }

    @Test
    func putsEventsOfClusterObjectsIntoDefault() async throws {
        let cluster = MemoryCluster()
        let node = cluster.put(.nodes, ["metadata": ["name": "node-1"]])
        let recorder = EventRecorder(cluster, component: "kubelet", logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await recorder.run() }
            recorder.record(.normal, node, reason: "NodeReady", "ready")
            try await waitUntil("the event is written") { !cluster.all(.events).isEmpty }
            group.cancelAll()
        }
        #expect(cluster.all(.events).first?["metadata", "namespace"] == "default")
    }
}
