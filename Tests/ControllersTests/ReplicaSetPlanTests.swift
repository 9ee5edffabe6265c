import KubernetesModel
import Testing

@testable import Controllers

struct ReplicaSetPlanTests {
    private let now = Timestamp(seconds: 1_000_000)

    private func replicaSet(_ replicas: Int, minReadySeconds: Int = 0) -> ReplicaSetView {
        ReplicaSetView([
            "metadata": ["name": "web", "uid": "r", "generation": 7],
            "spec": [
                "replicas": JSON(replicas), "minReadySeconds": JSON(minReadySeconds),
                "selector": ["matchLabels": ["app": "web"]],
                "template": ["metadata": ["labels": ["app": "web", "tier": "front"]]],
            ],
        ])
    }

    private func pod(
        _ name: String,
        node: String = "n",
        phase: String = "Running",
        readyFor seconds: Int64? = 100,
        restarts: Int = 0,
        cost: String? = nil,
        labels: JSON = ["app": "web"]
    ) -> PodView {
        var json: JSON = [
            "metadata": [
                "name": .string(name), "uid": .string(name), "labels": labels,
                "creationTimestamp": .string(Timestamp(seconds: 1000).description),
            ],
            "spec": ["nodeName": .string(node)],
            "status": ["phase": .string(phase), "containerStatuses": [["restartCount": JSON(restarts)]]],
        ]
        if let cost { json["metadata", "annotations"] = ["controller.kubernetes.io/pod-deletion-cost": .string(cost)] }
        if let seconds {
            let since = Timestamp(seconds: now.seconds - seconds).description
            json["status", "conditions"] = [["type": "Ready", "status": "True", "lastTransitionTime": .string(since)]]
        }
        return PodView(json)
    }

    @Test(arguments: [(3, 0, 3), (3, 2, 1), (3, 3, 0), (0, 0, 0), (2000, 0, 500)])
    func makesWhatIsMissing(replicas: Int, existing: Int, creations: Int) {
        let pods = (0..<existing).map { pod("p\($0)") }
        #expect(ReplicaSetPlan(replicaSet(replicas), pods: pods, now: now).creations == creations)
    }

    @Test
    func countsPodsOnTheirWay() {
        let plan = ReplicaSetPlan(replicaSet(3), pods: [pod("a")], unseenCreations: 2, now: now)
        #expect(plan.creations == 0)
        #expect(ReplicaSetPlan(replicaSet(1), pods: [pod("a")], unseenCreations: 2, now: now).deletions.count == 1)
    }

    @Test
    func givesUpTheLeastUsefulFirst() {
        let ordered = [
            pod("unassigned", node: "", phase: "Pending", readyFor: nil),
            pod("pending", phase: "Pending", readyFor: nil),
            pod("unknown", phase: "Unknown", readyFor: nil),
            pod("not-ready", readyFor: nil),
            pod("cheap", cost: "-5"),
            pod("young", readyFor: 5),
            pod("restarted", restarts: 3),
            pod("old"),
            pod("dear", cost: "10"),
        ]
        for count in 0..<ordered.count {
            let plan = ReplicaSetPlan(replicaSet(ordered.count - count), pods: ordered.shuffled(), now: now)
            #expect(plan.deletions.map(\.name) == ordered.prefix(count).map(\.name))
        }
    }

    @Test
    func doesNotCountWhatEndsOrEnded() {
        var stopping = pod("stopping")
        stopping.json["metadata", "deletionTimestamp"] = "2026-01-01T00:00:00Z"
        let pods = [pod("a"), stopping, pod("failed", phase: "Failed"), pod("done", phase: "Succeeded")]
        let plan = ReplicaSetPlan(replicaSet(2), pods: pods, now: now)
        #expect(plan.creations == 1)
        #expect(plan.status["replicas"] == 1)
    }

    @Test
    func waitsUntilReadyPodsAreAvailable() {
        let pods = [pod("a", readyFor: 30), pod("b", readyFor: 4), pod("c", readyFor: nil)]
        let plan = ReplicaSetPlan(replicaSet(3, minReadySeconds: 10), pods: pods, now: now)
        #expect(plan.status["readyReplicas"] == 2)
        #expect(plan.status["availableReplicas"] == 1)
        #expect(plan.nextLook == Timestamp(seconds: now.seconds + 6))
        #expect(plan.status["observedGeneration"] == 7)
    }

    @Test
    func leavesOutWhatIsZeroInsteadOfWritingNull() {
        let status = ReplicaSetPlan(replicaSet(0), pods: [], now: now).status
        #expect(status == ["replicas": 0, "observedGeneration": 7])
    }

    @Test
    func countsPodsWithAllLabelsOfTheTemplate() {
        let pods = [pod("a"), pod("b", labels: ["app": "web", "tier": "front"])]
        #expect(ReplicaSetPlan(replicaSet(2), pods: pods, now: now).status["fullyLabeledReplicas"] == 1)
    }

    @Test
    func makesNothingWhileItIsDeleted() {
        var deleted = replicaSet(3)
        deleted.json["metadata", "deletionTimestamp"] = "2026-01-01T00:00:00Z"
        let plan = ReplicaSetPlan(deleted, pods: [], now: now)
        #expect(plan.creations == 0 && plan.deletions.isEmpty)
    }
}
