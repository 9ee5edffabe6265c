import KubernetesClient
import KubernetesModel
import TestKit
import Testing

struct EndpointSliceControllerTests {
    private let service: JSON = [
        "metadata": ["name": "web", "namespace": "default"],
        "spec": ["selector": ["app": "web"], "ports": [["name": "http", "port": 80, "targetPort": 8080]]],
    ]

    private func ready(_ cluster: MemoryCluster) -> Int {
        cluster.all(.endpointSlices).flatMap { $0["endpoints"]?.array ?? [] }
            .count { $0["conditions", "ready"] == true }
    }

    @Test
    func followsReadinessWithinMilliseconds() async throws {
        try await withControllers { cluster in
            _ = try await cluster.create(.services, namespace: "default", service)
            _ = try await cluster.create(.deployments, namespace: "default", .deployment("web", replicas: 2))
            try await waitUntil("both are endpoints") { ready(cluster) == 2 }
            let pod = AnyObjectView(cluster.all(.pods)[0])
            var times: [Duration] = []
            for isReady in [false, true, false, true] {
                let start = ContinuousClock.now
                cluster.setPod(namespace: "default", name: pod.name, isReady: isReady)
                try await waitUntil("it follows") { ready(cluster) == (isReady ? 2 : 1) }
                times.append(start.duration(to: .now))
            }
            #expect(try #require(times.min()) < .seconds(2))
        }
    }

    @Test
    func goesWithItsService() async throws {
        try await withControllers { cluster in
            _ = try await cluster.create(.services, namespace: "default", service)
            try await waitUntil("the empty slice is there") { cluster.all(.endpointSlices).count == 1 }
            _ = try await cluster.delete(.services, namespace: "default", name: "web")
            try await waitUntil("it is gone") { cluster.all(.endpointSlices).isEmpty }
        }
    }

    @Test
    func makesASliceAgainThatSomebodyDeleted() async throws {
        try await withControllers { cluster in
            _ = try await cluster.create(.services, namespace: "default", service)
            try await waitUntil("the slice is there") { cluster.all(.endpointSlices).count == 1 }
            let slice = AnyObjectView(cluster.all(.endpointSlices)[0])
            _ = try await cluster.delete(.endpointSlices, namespace: "default", name: slice.name)
            try await waitUntil("it is there again") {
                cluster.all(.endpointSlices).contains { AnyObjectView($0).uid != slice.uid }
            }
        }
    }
}
