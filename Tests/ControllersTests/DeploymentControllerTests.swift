import KubernetesClient
import KubernetesModel
import TestKit
import Testing

struct DeploymentControllerTests {
    @Test
    func startsPodsAndReportsThem() async throws {
        try await withControllers { cluster in
            _ = try await cluster.create(.deployments, namespace: "default", .deployment("web", replicas: 3))
            try await waitUntil("the rollout is done") { cluster.isRolledOut("web") }
            #expect(cluster.all(.pods).count == 3)
            #expect(cluster.all(.replicaSets).count == 1)
            try await waitUntil("the conditions are set") {
                cluster.condition(.deployments, "web", "Progressing")?["reason"] == "NewReplicaSetAvailable"
            }
            #expect(cluster.condition(.deployments, "web", "Available")?["reason"] == "MinimumReplicasAvailable")
            let deployment = try #require(cluster.find(.deployments, namespace: "default", name: "web"))
            #expect(AnyObjectView(deployment).annotations["deployment.kubernetes.io/revision"] == "1")
            let pod = try #require(cluster.all(.pods).first.map { AnyObjectView($0) })
            #expect(pod.controllerReference?.kind == "ReplicaSet")
            #expect(pod.labels["pod-template-hash"] != nil)
        }
    }

    @Test
    func rollsToANewTemplateAndBack() async throws {
        try await withControllers { cluster in
            _ = try await cluster.create(.deployments, namespace: "default", .deployment("web", replicas: 4))
            try await waitUntil("the first rollout is done") { cluster.isRolledOut("web") }
            let first = AnyObjectView(try #require(cluster.all(.replicaSets).first)).name
            try await setImage("a:2", cluster)
            try await waitUntil("the second rollout is done") { cluster.isRolledOut("web") }
            try await waitUntil("the old pods are gone") { cluster.images(of: "web") == ["a:2": 4] }
            #expect(cluster.all(.replicaSets).count == 2)
            try await setImage("a:1", cluster)
            try await waitUntil("the way back is done") {
                cluster.isRolledOut("web") && cluster.images(of: "web") == ["a:1": 4]
            }
            #expect(cluster.all(.replicaSets).count == 2)
            let again = AnyObjectView(try #require(cluster.find(.replicaSets, namespace: "default", name: first)))
            #expect(again.annotations["deployment.kubernetes.io/revision"] == "3")
            #expect(again.annotations["deployment.kubernetes.io/revision-history"] == "1")
        }
    }

    @Test
    func bringsOnePodUpWithoutWaitingForAnyClock() async throws {
        try await withControllers { cluster in
            var times: [Duration] = []
            for number in 0..<10 {
                let start = ContinuousClock.now
                let name = "web\(number)"
                _ = try await cluster.create(.deployments, namespace: "default", .deployment(name, replicas: 1))
                try await waitUntil("the rollout is done") { cluster.isRolledOut(name) }
                times.append(start.duration(to: .now))
            }
            // The best of ten: the others may have waited for the tests beside this one.
            #expect(try #require(times.min()) < .seconds(2))
        }
    }

    private func setImage(_ image: String, _ cluster: MemoryCluster) async throws {
        let containers: JSON = [["name": "main", "image": .string(image)]]
        _ = try await cluster.patch(
            .deployments,
            namespace: "default",
            name: "web",
            .merge(["spec": ["template": ["spec": ["containers": containers]]]])
        )
    }

    @Test
    func stopsAtPodsThatNeverBecomeReady() async throws {
        try await withControllers(kubelet: { pod in
            pod["spec", "containers"]?[0]?["image"] == "bad" ? .running : .ready
        }) { cluster in
            _ = try await cluster.create(.deployments, namespace: "default", .deployment("web", replicas: 4))
            try await waitUntil("the first rollout is done") { cluster.isRolledOut("web") }
            try await setImage("bad", cluster)
            // 25 % of 4 is one pod more and one less.
            try await waitUntil("the rollout stands") { cluster.images(of: "web") == ["a:1": 3, "bad": 2] }
            try await Task.sleep(for: .milliseconds(50))
            try await waitUntil("the status follows") { cluster.deploymentStatus("web")["availableReplicas"] == 3 }
            #expect(cluster.images(of: "web") == ["a:1": 3, "bad": 2])
            #expect(cluster.condition(.deployments, "web", "Available")?["status"] == "True")
            try await setImage("a:1", cluster)
            try await waitUntil("the way back is done") { cluster.images(of: "web") == ["a:1": 4] }
        }
    }

    @Test
    func neverRunsOldAndNewTogetherWhenItRecreates() async throws {
        try await withControllers { cluster in
            let spec: JSON = ["strategy": ["type": "Recreate"]]
            _ = try await cluster.create(
                .deployments,
                namespace: "default",
                .deployment("web", replicas: 3, spec: spec)
            )
            try await waitUntil("the first rollout is done") { cluster.isRolledOut("web") }
            let mixed = Shared(false)
            let watchers = cluster.watcherCount
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    let watch = try await cluster.watch(.pods, namespace: nil, options: ListOptions())
                    for try await _ in watch where cluster.images(of: "web").count > 1 { mixed.change { $0 = true } }
                }
                try await waitUntil("the watch stands") { cluster.watcherCount == watchers + 1 }
                try await setImage("a:2", cluster)
                try await waitUntil("the second rollout is done") { cluster.images(of: "web") == ["a:2": 3] }
                group.cancelAll()
            }
            #expect(!mixed.value)
        }
    }

    @Test
    func followsScaling() async throws {
        try await withControllers { cluster in
            _ = try await cluster.create(.deployments, namespace: "default", .deployment("web", replicas: 1))
            try await waitUntil("one pod is ready") { cluster.isRolledOut("web") }
            for replicas in [5, 2, 0, 3] {
                let patch: JSON = ["spec": ["replicas": JSON(replicas)]]
                _ = try await cluster.patch(.deployments, namespace: "default", name: "web", .merge(patch))
                try await waitUntil("\(replicas) pods are there") {
                    cluster.all(.pods).count == replicas && cluster.isRolledOut("web")
                }
            }
        }
    }

    @Test
    func keepsOnlyTheHistoryThatItMay() async throws {
        try await withControllers { cluster in
            let spec: JSON = ["revisionHistoryLimit": 1]
            _ = try await cluster.create(
                .deployments,
                namespace: "default",
                .deployment("web", replicas: 1, spec: spec)
            )
            try await waitUntil("the first rollout is done") { cluster.isRolledOut("web") }
            for version in 2...4 {
                try await setImage("a:\(version)", cluster)
                try await waitUntil("version \(version) runs") { cluster.images(of: "web") == ["a:\(version)": 1] }
                try await waitUntil("version \(version) is reported") { cluster.isRolledOut("web") }
            }
            try await waitUntil("old ReplicaSets are gone") { cluster.all(.replicaSets).count == 2 }
        }
    }

    @Test
    func goesWithAllThatItMade() async throws {
        try await withControllers { cluster in
            _ = try await cluster.create(.deployments, namespace: "default", .deployment("web", replicas: 2))
            try await waitUntil("the rollout is done") { cluster.isRolledOut("web") }
            _ = try await cluster.delete(
                .deployments,
                namespace: "default",
                name: "web",
                options: DeleteOptions(propagationPolicy: .background)
            )
            try await waitUntil("everything is gone") {
                cluster.all(.pods).isEmpty && cluster.all(.replicaSets).isEmpty
            }
        }
    }

    @Test
    func adoptsWhatAnOrphaningDeletionLeft() async throws {
        try await withControllers { cluster in
            _ = try await cluster.create(.deployments, namespace: "default", .deployment("web", replicas: 2))
            try await waitUntil("the rollout is done") { cluster.isRolledOut("web") }
            let pods = Set(cluster.all(.pods).map { AnyObjectView($0).uid })
            _ = try await cluster.delete(
                .deployments,
                namespace: "default",
                name: "web",
                options: DeleteOptions(propagationPolicy: .orphan)
            )
            try await waitUntil("the Deployment is gone") { cluster.all(.deployments).isEmpty }
            #expect(cluster.all(.replicaSets).allSatisfy { AnyObjectView($0).ownerReferences.isEmpty })
            _ = try await cluster.create(.deployments, namespace: "default", .deployment("web", replicas: 2))
            try await waitUntil("it is rolled out again") { cluster.isRolledOut("web") }
            #expect(Set(cluster.all(.pods).map { AnyObjectView($0).uid }) == pods)
        }
    }

    @Test
    func sharesWithItsOldSizeWhilePaused() async throws {
        try await withControllers { cluster in
            _ = try await cluster.create(.deployments, namespace: "default", .deployment("web", replicas: 2))
            try await waitUntil("the rollout is done") { cluster.isRolledOut("web") }
            let pause: JSON = ["spec": ["paused": true]]
            _ = try await cluster.patch(.deployments, namespace: "default", name: "web", .merge(pause))
            try await waitUntil("it says so") {
                cluster.condition(.deployments, "web", "Progressing")?["reason"] == "DeploymentPaused"
            }
            try await setImage("a:2", cluster)
            let scale: JSON = ["spec": ["replicas": 4]]
            _ = try await cluster.patch(.deployments, namespace: "default", name: "web", .merge(scale))
            try await waitUntil("the old template grows") { cluster.images(of: "web") == ["a:1": 4] }
            let resume: JSON = ["spec": ["paused": false]]
            _ = try await cluster.patch(.deployments, namespace: "default", name: "web", .merge(resume))
            try await waitUntil("the new template runs") { cluster.images(of: "web") == ["a:2": 4] }
        }
    }
}
