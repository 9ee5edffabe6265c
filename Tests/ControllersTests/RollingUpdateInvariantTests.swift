import KubernetesModel
import Testing

@testable import Controllers

/// Random rollouts: steps of the Deployment, of its ReplicaSets, of their status and of pods come in any order.
struct RollingUpdateInvariantTests {
    private struct Simulation {
        var deployment: DeploymentView
        var replicaSets: [ReplicaSetView] = []
        var pods: [String: [PodView]] = [:]
        var generator: any RandomNumberGenerator
        var nextPod = 0
        let now = Timestamp(seconds: 1_000_000)

        init(replicas: Int, surge: JSON, unavailable: JSON, seed: UInt64) {
            let limits: JSON = ["maxSurge": surge, "maxUnavailable": unavailable]
            var json = JSON.deployment("web", replicas: replicas, spec: ["strategy": ["rollingUpdate": limits]])
            json["metadata", "uid"] = "d"
            deployment = DeploymentView(json)
            generator = SplitMix(state: seed)
        }

        var allPods: [PodView] { pods.values.flatMap { $0 } }
        var readyPods: Int { allPods.count(where: \.isReady) }

        var isDone: Bool {
            let image = deployment.template["spec", "containers"]?[0]?["image"]
            return allPods.count == deployment.replicas && readyPods == deployment.replicas
                && allPods.allSatisfy { $0.json["spec", "containers"]?[0]?["image"] == image }
        }

        mutating func stepDeployment() {
            let plan = DeploymentPlan(deployment, replicaSets: replicaSets, pods: pods, now: now)
            for action in plan.actions {
                switch action {
                case .create(var created):
                    created.json["metadata", "uid"] = .string(created.name)
                    created.json["metadata", "creationTimestamp"] = .string(
                        Timestamp(seconds: Int64(replicaSets.count)).description
                    )
                    replicaSets.append(created)
                case .update(let updated, _):
                    if let index = replicaSets.firstIndex(where: { $0.name == updated.name }) {
                        replicaSets[index] = updated
                    }
                case .delete(let deleted): replicaSets.removeAll { $0.name == deleted.name }
                }
            }
            deployment.json["status"] = plan.status
        }

        mutating func stepReplicaSet(_ index: Int) {
            let replicaSet = replicaSets[index]
            let plan = ReplicaSetPlan(replicaSet, pods: pods[replicaSet.name] ?? [], now: now)
            for _ in 0..<plan.creations {
                nextPod += 1
                var pod = PodControl.pod(of: replicaSet, resource: .replicaSets, labels: [:])
                pod["metadata", "uid"] = .string("p\(nextPod)")
                pods[replicaSet.name, default: []].append(PodView(pod))
            }
            let doomed = Set(plan.deletions.map(\.uid))
            pods[replicaSet.name]?.removeAll { doomed.contains($0.uid) }
        }

        mutating func stepStatus(_ index: Int) {
            let replicaSet = replicaSets[index]
            let plan = ReplicaSetPlan(replicaSet, pods: pods[replicaSet.name] ?? [], now: now)
            replicaSets[index].json["status"] = plan.status
        }

        mutating func makeReady() {
            let waiting = pods.flatMap { name, pods in pods.filter { !$0.isReady }.map { (name, $0.uid) } }.sorted {
                $0.1 < $1.1
            }
            guard let (name, uid) = waiting.randomElement(using: &generator),
                let index = pods[name]?.firstIndex(where: { $0.uid == uid })
            else { return }
            pods[name]?[index].json["status"] = [
                "phase": "Running", "conditions": [["type": "Ready", "status": "True"]],
            ]
        }

        mutating func setImage(_ image: String) {
            deployment.json["spec", "template", "spec", "containers"] = [["name": "main", "image": .string(image)]]
        }

        mutating func stepAnything() {
            let index = replicaSets.indices.randomElement(using: &generator)
            switch (Int.random(in: 0..<4, using: &generator), index) {
            case (0, let index?): stepReplicaSet(index)
            case (1, let index?): stepStatus(index)
            case (2, _): makeReady()
            default: stepDeployment()
            }
        }
    }

    private struct SplitMix: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = state
            mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
            return mixed ^ (mixed >> 31)
        }
    }

    @Test(arguments: [
        (1, "25%", "25%"), (2, "1", "0"), (3, "0", "1"), (4, "25%", "25%"), (5, "100%", "0"), (5, "0", "40%"),
        (7, "30%", "30%"), (10, "3", "2"),
    ])
    func neverHasTooFewOrTooManyPods(replicas: Int, surge: String, unavailable: String) async throws {
        func value(_ text: String) -> JSON { Int(text).map { JSON($0) } ?? .string(text) }
        for seed in 0..<5 {
            var simulation = Simulation(
                replicas: replicas,
                surge: value(surge),
                unavailable: value(unavailable),
                seed: UInt64(seed)
            )
            for _ in 0..<5000 where !simulation.isDone {
                simulation.stepAnything()
                await Task.yield()  // tests beside this one wait for events
            }
            #expect(simulation.isDone, "the first rollout of seed \(seed)")
            for round in 0..<6 {
                // Most of the time the next one starts in the middle of the one before.
                simulation.setImage("a:\(1 + (round + seed) % 3)")
                let steps = round == 5 ? 5000 : Int.random(in: 1...120, using: &simulation.generator)
                for _ in 0..<steps where !simulation.isDone {
                    simulation.stepAnything()
                    await Task.yield()
                    let (pods, ready) = (simulation.allPods.count, simulation.readyPods)
                    try #require(pods <= simulation.deployment.maximumPods, "too many in seed \(seed)")
                    try #require(ready >= simulation.deployment.minimumAvailable, "too few in seed \(seed)")
                }
            }
            #expect(simulation.isDone, "the last rollout of seed \(seed)")
        }
    }
}
