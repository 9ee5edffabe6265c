import KubernetesModel
import Testing

@testable import Controllers

struct DeploymentPlanTests {
    private let now = Timestamp(seconds: 1_000_000)

    private func deployment(
        replicas: Int = 4,
        image: String = "a:1",
        spec: JSON = [:],
        status: JSON = [:]
    ) -> DeploymentView {
        var json = JSON.deployment("web", replicas: replicas, image: image, spec: spec)
        json["metadata", "uid"] = "d"
        json["metadata", "generation"] = 1
        json["status"] = status
        return DeploymentView(json)
    }

    /// The ReplicaSet that `deployment` makes for its template, with the given numbers.
    private func replicaSet(
        of deployment: DeploymentView,
        replicas: Int,
        available: Int? = nil,
        age: Int = 0,
        annotations: [String: String] = [:]
    ) throws -> ReplicaSetView {
        let plan = DeploymentPlan(deployment, replicaSets: [], pods: [:], now: now)
        guard case .create(var replicaSet)? = plan.actions.first else {
            throw StatusError.internalError("no ReplicaSet was made")
        }
        replicaSet.replicas = replicas
        replicaSet.json["metadata", "uid"] = .string(replicaSet.name)
        replicaSet.json["metadata", "creationTimestamp"] = .string(Timestamp(seconds: Int64(1000 - age)).description)
        replicaSet.json["status"] = [
            "replicas": JSON(replicas), "readyReplicas": JSON(available ?? replicas),
            "availableReplicas": JSON(available ?? replicas),
        ]
        for (name, value) in annotations { replicaSet.annotations[name] = value }
        return replicaSet
    }

    /// Pods as the status of the ReplicaSets counts them.
    private func pods(of replicaSets: ReplicaSetView...) -> [String: [PodView]] {
        replicaSets.reduce(into: [:]) { pods, replicaSet in
            pods[replicaSet.uid] = (0..<replicaSet.statusReplicas).map { number in
                let isReady = number < replicaSet.availableReplicas
                return PodView([
                    "status": [
                        "phase": "Running", "conditions": [["type": "Ready", "status": isReady ? "True" : "False"]],
                    ]
                ])
            }
        }
    }

    private func sizes(_ plan: DeploymentPlan) -> [String: Int] {
        plan.actions.reduce(into: [:]) { sizes, action in
            switch action {
            case .create(let replicaSet), .update(let replicaSet, _): sizes[image(of: replicaSet)] = replicaSet.replicas
            case .delete: break
            }
        }
    }

    private func image(of replicaSet: ReplicaSetView) -> String {
        replicaSet.template["spec", "containers"]?[0]?["image"]?.string ?? ""
    }

    @Test(arguments: [
        // replicas, maxSurge, maxUnavailable, most pods, fewest available
        (4, "25%", "25%", 5, 3), (10, "25%", "25%", 13, 8), (1, "25%", "25%", 2, 1), (3, "0", "0", 3, 2),
        (5, "50%", "0", 8, 5), (5, "0", "100%", 5, 0), (0, "25%", "25%", 0, 0), (3, "2", "10", 5, 0),
    ])
    func roundsLimits(replicas: Int, surge: String, unavailable: String, most: Int, fewest: Int) {
        func value(_ text: String) -> JSON { Int(text).map { JSON($0) } ?? .string(text) }
        let limits: JSON = ["maxSurge": value(surge), "maxUnavailable": value(unavailable)]
        let view = deployment(replicas: replicas, spec: ["strategy": ["rollingUpdate": limits]])
        #expect(view.maximumPods == most)
        #expect(view.minimumAvailable == fewest)
    }

    @Test
    func makesTheFirstReplicaSetAtFullSize() throws {
        let plan = DeploymentPlan(deployment(), replicaSets: [], pods: [:], now: now)
        #expect(sizes(plan) == ["a:1": 4])
        #expect(plan.revision == "1")
        guard case .create(let created)? = plan.actions.first else { return #expect(Bool(false)) }
        let hash = try #require(created.labels["pod-template-hash"])
        #expect(created.name == "web-\(hash)")
        #expect(created.json["spec", "selector", "matchLabels", "pod-template-hash"] == .string(hash))
        #expect(created.annotations["deployment.kubernetes.io/desired-replicas"] == "4")
        #expect(created.annotations["deployment.kubernetes.io/max-replicas"] == "5")
    }

    @Test
    func knowsATemplateAgainWhoseFieldsAreInAnotherOrder() throws {
        let original = deployment()
        let existing = try replicaSet(of: original, replicas: 4)
        var reordered = original
        reordered.json["spec", "template", "spec"] = [
            "containers": [["image": "a:1", "name": "main"]], "volumes": .null,
        ]
        let plan = DeploymentPlan(reordered, replicaSets: [existing], pods: pods(of: existing), now: now)
        #expect(plan.actions.isEmpty)
    }

    @Test
    func takesPodsThatDoNotServeFirst() throws {
        let old = try replicaSet(of: deployment(), replicas: 4, available: 2, age: 10)
        let new = try replicaSet(of: deployment(image: "a:2"), replicas: 1, available: 0)
        let plan = DeploymentPlan(
            deployment(image: "a:2"),
            replicaSets: [old, new],
            pods: pods(of: old, new),
            now: now
        )
        // Five pods, three must stay, one of the new is not available: one may go, and it is one that serves nobody.
        #expect(sizes(plan)["a:1"] == 3)
    }

    @Test
    func scalesInProportionDuringARollout() throws {
        let annotations = [
            "deployment.kubernetes.io/desired-replicas": "10", "deployment.kubernetes.io/max-replicas": "13",
        ]
        let old = try replicaSet(of: deployment(replicas: 10), replicas: 8, age: 10, annotations: annotations)
        let new = try replicaSet(
            of: deployment(replicas: 10, image: "a:2"),
            replicas: 5,
            available: 0,
            annotations: annotations
        )
        let scaled = deployment(replicas: 15, image: "a:2")
        let plan = DeploymentPlan(scaled, replicaSets: [old, new], pods: pods(of: old, new), now: now)
        let result = sizes(plan)
        #expect(result.values.reduce(0, +) == scaled.maximumPods)
        #expect(result == ["a:1": 12, "a:2": 7])
    }

    @Test
    func recreatesOnlyWhenNothingOldRuns() throws {
        let recreate: JSON = ["strategy": ["type": "Recreate"]]
        let old = try replicaSet(of: deployment(spec: recreate), replicas: 4, age: 10)
        let next = deployment(image: "a:2", spec: recreate)
        var plan = DeploymentPlan(next, replicaSets: [old], pods: pods(of: old), now: now)
        #expect(sizes(plan) == ["a:1": 0])
        var stopped = old
        stopped.replicas = 0
        var last = pods(of: old)
        last[old.uid] = last[old.uid].map { [$0[0]] }
        plan = DeploymentPlan(next, replicaSets: [stopped], pods: last, now: now)
        #expect(sizes(plan).isEmpty)
        plan = DeploymentPlan(next, replicaSets: [stopped], pods: [:], now: now)
        #expect(sizes(plan) == ["a:2": 4])
    }

    @Test
    func givesUpAfterTheProgressDeadline() throws {
        let start = Timestamp(seconds: now.seconds - 600)
        let condition: JSON = [
            "type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated",
            "lastUpdateTime": .string(start.description), "lastTransitionTime": .string(start.description),
        ]
        let status: JSON = ["replicas": 4, "updatedReplicas": 4, "unavailableReplicas": 4, "conditions": [condition]]
        let view = deployment(status: status)
        let new = try replicaSet(of: view, replicas: 4, available: 0)
        var plan = DeploymentPlan(view, replicaSets: [new], pods: pods(of: new), now: now)
        #expect(Conditions(plan.status["conditions"])["Progressing"]?["status"] == "True")
        #expect(plan.nextLook == Timestamp(seconds: now.seconds + 1))
        let later = Timestamp(seconds: now.seconds + 1)
        plan = DeploymentPlan(view, replicaSets: [new], pods: pods(of: new), now: later)
        let progressing = Conditions(plan.status["conditions"])["Progressing"]
        #expect(progressing?["status"] == "False")
        #expect(progressing?["reason"] == "ProgressDeadlineExceeded")
        // What comes up after all is told as well.
        var late = view
        late.json["status"] = plan.status
        let ready = try replicaSet(of: view, replicas: 4)
        plan = DeploymentPlan(late, replicaSets: [ready], pods: pods(of: ready), now: later)
        #expect(Conditions(plan.status["conditions"])["Progressing"]?["reason"] == "NewReplicaSetAvailable")
    }

    @Test
    func countsAndJudges() throws {
        let old = try replicaSet(of: deployment(), replicas: 2, age: 10)
        let new = try replicaSet(of: deployment(image: "a:2"), replicas: 3, available: 0)
        let plan = DeploymentPlan(
            deployment(image: "a:2"),
            replicaSets: [old, new],
            pods: pods(of: old, new),
            now: now
        )
        #expect(plan.status["replicas"] == 5)
        #expect(plan.status["updatedReplicas"] == 3)
        #expect(plan.status["availableReplicas"] == 2)
        #expect(plan.status["unavailableReplicas"] == 3)
        #expect(Conditions(plan.status["conditions"])["Available"]?["reason"] == "MinimumReplicasUnavailable")
    }

    @Test
    func leavesOutWhatIsZeroInsteadOfWritingNull() {
        let plan = DeploymentPlan(deployment(replicas: 0), replicaSets: [], pods: [:], now: now)
        #expect(plan.status.object.map { Array($0.keys) } == ["conditions", "observedGeneration"])
    }

    @Test
    func changesNothingWhenAllIsDone() throws {
        let view = deployment()
        let new = try replicaSet(of: view, replicas: 4)
        let first = DeploymentPlan(view, replicaSets: [new], pods: pods(of: new), now: now)
        var settled = view
        settled.json["status"] = first.status
        let later = Timestamp(seconds: now.seconds + 5000)
        let second = DeploymentPlan(settled, replicaSets: [new], pods: pods(of: new), now: later)
        #expect(second.actions.isEmpty)
        #expect(second.status == first.status)
    }
}
