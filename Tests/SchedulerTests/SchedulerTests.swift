import KubernetesClient
import KubernetesModel
import Logging
import Scheduler
import TestKit
import Testing

struct SchedulerTests {
    private func withScheduler(_ cluster: MemoryCluster, _ body: () async throws -> Void) async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let informers = Informers(cluster, logger: logger)
        let scheduler = Scheduler(client: cluster, informers: informers, logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await scheduler.run() }
            group.addTask { try await informers.run() }
            try await body()
            group.cancelAll()
        }
    }

    private func node(_ name: String, cpu: String) -> JSON {
        [
            "metadata": ["name": .string(name)],
            "status": ["allocatable": ["cpu": .string(cpu), "memory": "4Gi", "pods": "110"]],
        ]
    }

    private func pod(_ name: String, cpu: String, spec: JSON = [:]) -> JSON {
        var json: JSON = [
            "metadata": ["name": .string(name), "namespace": "default"],
            "spec": ["containers": [["name": "main", "resources": ["requests": ["cpu": .string(cpu)]]]]],
        ]
        for (field, value) in spec.object ?? [:] { json["spec", field] = value }
        return json
    }

    private func nodeName(_ cluster: MemoryCluster, _ name: String) -> String? {
        cluster.find(.pods, namespace: "default", name: name)?["spec", "nodeName"]?.string
    }

    @Test
    func neverGivesOutMoreThanANodeHas() async throws {
        let cluster = MemoryCluster([(.nodes, node("a", cpu: "2")), (.nodes, node("b", cpu: "3"))])
        try await withScheduler(cluster) {
            for number in 0..<20 {
                _ = try await cluster.create(.pods, namespace: "default", pod("p\(number)", cpu: "500m"))
            }
            try await waitUntil("ten have a node and ten know why not") {
                let pods = cluster.all(.pods)
                return pods.count { $0["spec", "nodeName"] != nil } == 10
                    && pods.count { $0["status", "conditions"]?[0]?["reason"] == "Unschedulable" } == 10
            }
            let placed = Dictionary(grouping: cluster.all(.pods)) { $0["spec", "nodeName"]?.string ?? "" }
            #expect(placed["a"]?.count == 4)
            #expect(placed["b"]?.count == 6)
        }
    }

    @Test
    func triesAgainWhenThereIsRoom() async throws {
        let cluster = MemoryCluster([(.nodes, node("a", cpu: "1"))])
        try await withScheduler(cluster) {
            _ = try await cluster.create(.pods, namespace: "default", pod("first", cpu: "1"))
            try await waitUntil("the first has a node") { nodeName(cluster, "first") == "a" }
            _ = try await cluster.create(.pods, namespace: "default", pod("second", cpu: "1"))
            try await waitUntil("the second is told why") {
                let condition = cluster.find(.pods, namespace: "default", name: "second")?["status", "conditions"]?[0]
                return condition?["message"] == "0/1 nodes are available: 1 Insufficient cpu."
            }
            try await waitUntil("there is an event") {
                cluster.all(.events).contains { $0["reason"] == "FailedScheduling" }
            }
            cluster.remove(.pods, namespace: "default", name: "first")
            try await waitUntil("the second has a node") { nodeName(cluster, "second") == "a" }
            _ = try await cluster.create(.pods, namespace: "default", pod("third", cpu: "4"))
            cluster.put(.nodes, node("big", cpu: "8"))
            try await waitUntil("the third has the new node") { nodeName(cluster, "third") == "big" }
            try await waitUntil("it is told") {
                cluster.all(.events).contains { $0["message"] == "Successfully assigned default/third to big" }
            }
        }
    }

    @Test
    func leavesPodsOfOtherSchedulersAndGatedOnesAlone() async throws {
        let cluster = MemoryCluster([(.nodes, node("a", cpu: "1"))])
        try await withScheduler(cluster) {
            let other = pod("other", cpu: "100m", spec: ["schedulerName": "mine"])
            let gated = pod("gated", cpu: "100m", spec: ["schedulingGates": [["name": "wait"]]])
            for pod in [other, gated, pod("ours", cpu: "100m")] {
                _ = try await cluster.create(.pods, namespace: "default", pod)
            }
            try await waitUntil("ours has a node") { nodeName(cluster, "ours") == "a" }
            #expect(nodeName(cluster, "other") == nil)
            #expect(nodeName(cluster, "gated") == nil)
        }
    }

    @Test
    func triesAgainWhenTheBindingFails() async throws {
        let cluster = MemoryCluster([(.nodes, node("a", cpu: "1"))])
        cluster.fail(.post("binding"), .pods, with: .unavailable("busy"), times: 2)
        try await withScheduler(cluster) {
            _ = try await cluster.create(.pods, namespace: "default", pod("p", cpu: "1"))
            try await waitUntil("it has a node") { nodeName(cluster, "p") == "a" }
        }
    }
}
