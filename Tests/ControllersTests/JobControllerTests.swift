import KubernetesClient
import KubernetesModel
import TestKit
import Testing

struct JobControllerTests {
    @Test
    func completesWhenEnoughPodsSucceeded() async throws {
        try await withControllers(kubelet: { _ in .succeeded }) { cluster in
            _ = try await cluster.create(
                .jobs,
                namespace: "default",
                .job("work", spec: ["completions": 5, "parallelism": 2])
            )
            try await waitUntil("it is complete") {
                cluster.condition(.jobs, "work", "Complete")?["status"] == "True"
            }
            let status = try #require(cluster.find(.jobs, namespace: "default", name: "work")?["status"])
            #expect(status["succeeded"] == 5)
            #expect(status["active"] == nil)
            #expect(status["startTime"] != nil && status["completionTime"] != nil)
            #expect(cluster.all(.pods).count == 5)
            #expect(cluster.all(.pods).allSatisfy { $0["metadata", "labels", "job-name"] == "work" })
        }
    }

    @Test
    func countsPodsThatAreDeletedBeforeItEnds() async throws {
        try await withControllers(kubelet: { _ in .succeeded }) { cluster in
            let spec: JSON = ["completions": 12, "parallelism": 1]
            _ = try await cluster.create(.jobs, namespace: "default", .job("work", spec: spec))
            try await waitUntil("it is complete") {
                for pod in cluster.all(.pods) where pod["metadata", "annotations", "sampan.dev/counted"] != nil {
                    let name = AnyObjectView(pod).name
                    _ = try? await cluster.delete(.pods, namespace: "default", name: name)
                }
                return cluster.condition(.jobs, "work", "Complete")?["status"] == "True"
            }
            let status = try #require(cluster.find(.jobs, namespace: "default", name: "work")?["status"])
            #expect(status["succeeded"] == 12)
            #expect(cluster.requests.count { $0.verb == .create && $0.resource == .pods } == 12)
        }
    }

    @Test
    func worksThroughItsIndexes() async throws {
        try await withControllers(kubelet: { _ in .succeeded }) { cluster in
            let spec: JSON = ["completions": 5, "parallelism": 2, "completionMode": "Indexed"]
            _ = try await cluster.create(.jobs, namespace: "default", .job("work", spec: spec))
            try await waitUntil("it is complete") {
                cluster.condition(.jobs, "work", "Complete")?["status"] == "True"
            }
            let hosts = cluster.all(.pods).compactMap { $0["spec", "hostname"]?.string }
            #expect(hosts.sorted() == (0..<5).map { "work-\($0)" })
            let status = cluster.find(.jobs, namespace: "default", name: "work")?["status"]
            #expect(status?["completedIndexes"] == "0-4" && status?["succeeded"] == 5)
        }
    }

    @Test
    func failsAtItsLimitAndStopsTheOthers() async throws {
        try await withControllers(kubelet: { _ in .failed }) { cluster in
            _ = try await cluster.create(
                .jobs,
                namespace: "default",
                .job("work", spec: ["completions": 1, "parallelism": 1, "backoffLimit": 0])
            )
            try await waitUntil("it failed") { cluster.condition(.jobs, "work", "Failed")?["status"] == "True" }
            #expect(cluster.condition(.jobs, "work", "Failed")?["reason"] == "BackoffLimitExceeded")
            let status = try #require(cluster.find(.jobs, namespace: "default", name: "work")?["status"])
            #expect(status["failed"] == 1)
            #expect(cluster.all(.pods).count == 1)
        }
    }

    @Test
    func stopsAtItsDeadline() async throws {
        try await withControllers { cluster in
            _ = try await cluster.create(.jobs, namespace: "default", .job("work", spec: ["activeDeadlineSeconds": 1]))
            try await waitUntil("it runs") {
                cluster.requests.contains { $0.verb == .create && $0.resource == .pods }
            }
            try await waitUntil("it failed") { cluster.condition(.jobs, "work", "Failed")?["status"] == "True" }
            #expect(cluster.condition(.jobs, "work", "Failed")?["reason"] == "DeadlineExceeded")
            #expect(cluster.all(.pods).isEmpty)
        }
    }

    @Test
    func waitsWhileSuspended() async throws {
        try await withControllers { cluster in
            _ = try await cluster.create(.jobs, namespace: "default", .job("work", spec: ["suspend": true]))
            try await waitUntil("it says so") {
                cluster.condition(.jobs, "work", "Suspended")?["status"] == "True"
            }
            #expect(cluster.all(.pods).isEmpty)
            let resume: JSON = ["spec": ["suspend": false]]
            _ = try await cluster.patch(.jobs, namespace: "default", name: "work", .merge(resume))
            try await waitUntil("it runs") { cluster.all(.pods).count == 1 }
            let pause: JSON = ["spec": ["suspend": true]]
            _ = try await cluster.patch(.jobs, namespace: "default", name: "work", .merge(pause))
            try await waitUntil("its pod is stopped") { cluster.all(.pods).isEmpty }
        }
    }

    @Test
    func goesAfterItsTime() async throws {
        try await withControllers(kubelet: { _ in .succeeded }) { cluster in
            _ = try await cluster.create(
                .jobs,
                namespace: "default",
                .job("work", spec: ["completions": 1, "ttlSecondsAfterFinished": 0])
            )
            try await waitUntil("it ran and went with its pod") {
                cluster.all(.jobs).isEmpty && cluster.all(.pods).isEmpty
            }
            #expect(cluster.requests.contains { $0.verb == .create && $0.resource == .pods })
        }
    }
}
