import KubernetesClient
import KubernetesModel
import TestKit
import Testing

@testable import Controllers

struct PodGarbageControllerTests {
    @Test
    func removesPodsOfNodesThatAreGone() async throws {
        try await withControllers { cluster in
            cluster.put(
                .pods,
                [
                    "metadata": ["name": "lost", "namespace": "default"], "spec": ["nodeName": "node"],
                    "status": ["phase": "Running"],
                ]
            )
            cluster.remove(.nodes, name: "node")
            try await waitUntil("the pod is gone") { cluster.all(.pods).isEmpty }
        }
    }

    @Test
    func choosesTheOldestFinishedPods() {
        func pod(_ number: Int64, _ phase: String) -> PodView {
            PodView([
                "metadata": [
                    "name": .string("p\(number)"),
                    "creationTimestamp": .string(Timestamp(seconds: number).description),
                ],
                "status": ["phase": .string(phase)],
            ])
        }
        let pods = [pod(5, "Failed"), pod(1, "Running"), pod(2, "Succeeded"), pod(4, "Succeeded"), pod(3, "Failed")]
        #expect(PodGarbageController.excess(of: pods, limit: 2).map(\.name) == ["p2", "p3"])
        #expect(PodGarbageController.excess(of: pods, limit: 4).isEmpty)
    }
}
