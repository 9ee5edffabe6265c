import KubernetesModel
import Testing

@testable import Scheduler

struct SchedulingDecisionTests {
    private func node(
        _ name: String,
        cpu: String = "2",
        memory: String = "4Gi",
        pods: String = "110",
        labels: JSON = [:],
        spec: JSON = [:]
    ) -> JSON {
        [
            "metadata": ["name": .string(name), "labels": labels], "spec": spec,
            "status": ["allocatable": ["cpu": .string(cpu), "memory": .string(memory), "pods": .string(pods)]],
        ]
    }

    private func pod(
        _ name: String = "new",
        cpu: String = "100m",
        on node: String? = nil,
        labels: JSON = [:],
        spec: JSON = [:],
        phase: String = "Pending"
    ) -> JSON {
        var json: JSON = [
            "metadata": ["name": .string(name), "namespace": "default", "uid": .string(name), "labels": labels],
            "spec": ["containers": [["name": "main", "resources": ["requests": ["cpu": .string(cpu)]]]]],
            "status": ["phase": .string(phase)],
        ]
        for (field, value) in spec.object ?? [:] { json["spec", field] = value }
        if let node { json["spec", "nodeName"] = .string(node) }
        return json
    }

    private func decide(_ pod: JSON, nodes: [JSON], pods: [JSON] = []) -> SchedulingDecision {
        SchedulingDecision(for: SchedulablePod(pod), in: SchedulerSnapshot(nodes: nodes, pods: pods))
    }

    private func message(_ decision: SchedulingDecision) -> String {
        if case .unschedulable(let message) = decision { message } else { "\(decision)" }
    }

    @Test
    func choosesTheNodeWithMostRoom() {
        let nodes = [node("a"), node("b"), node("c")]
        let pods = [pod("x", cpu: "1", on: "a"), pod("y", cpu: "500m", on: "c"), pod("z", cpu: "100m", on: "b")]
        #expect(decide(pod(), nodes: nodes, pods: pods) == .bind(node: "b"))
    }

    @Test
    func saysHowManyNodesRefusedAndWhy() {
        let nodes = [
            node("a"), node("b", cpu: "50m"), node("c", spec: ["unschedulable": true]),
            node("d", spec: ["taints": [["key": "gpu", "value": "yes", "effect": "NoSchedule"]]]),
        ]
        let full = pod("x", cpu: "2", on: "a")
        #expect(
            message(decide(pod(), nodes: nodes, pods: [full]))
                == "0/4 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, 1 node(s) were unschedulable, 2 Insufficient cpu."
        )
        #expect(message(decide(pod(cpu: "3"), nodes: [node("a")])) == "0/1 nodes are available: 1 Insufficient cpu.")
        #expect(message(decide(pod(), nodes: [])) == "no nodes available to schedule pods")
    }

    @Test
    func countsRequestsOfAllContainers() {
        let two: JSON = ["resources": ["requests": ["cpu": "600m"]]]
        let spec: JSON = ["containers": [two, two], "initContainers": [["resources": ["requests": ["cpu": "1500m"]]]]]
        #expect(SchedulablePod(pod(spec: spec)).requests == ["cpu": 1500])
        let sidecar: JSON = ["restartPolicy": "Always", "resources": ["requests": ["cpu": "1"]]]
        #expect(
            SchedulablePod(pod(spec: ["containers": [two], "initContainers": [sidecar]])).requests == ["cpu": 1600]
        )
        let limited: JSON = ["containers": [["resources": ["limits": ["cpu": "250m"]]]]]
        #expect(SchedulablePod(pod(spec: limited)).requests == ["cpu": 250])
    }

    @Test
    func doesNotCountFinishedPods() {
        let done = pod("x", cpu: "2", on: "a", phase: "Succeeded")
        #expect(decide(pod(cpu: "2"), nodes: [node("a")], pods: [done]) == .bind(node: "a"))
    }

    @Test
    func respectsTheNumberOfPods() {
        let decision = decide(pod(), nodes: [node("a", pods: "1")], pods: [pod("x", on: "a")])
        #expect(message(decision) == "0/1 nodes are available: 1 Too many pods.")
    }

    @Test(
        arguments: [
            (["disk": "ssd"] as JSON, true), (["disk": "hdd"] as JSON, false), ([:] as JSON, true),
        ] as [(JSON, Bool)]
    )
    func followsNodeSelectors(selector: JSON, fits: Bool) {
        let decision = decide(pod(spec: ["nodeSelector": selector]), nodes: [node("a", labels: ["disk": "ssd"])])
        #expect((decision == .bind(node: "a")) == fits)
    }

    @Test(arguments: [
        ("In", ["ssd", "nvme"], true), ("In", ["hdd"], false), ("NotIn", ["hdd"], true), ("NotIn", ["ssd"], false),
        ("Exists", [], true), ("DoesNotExist", [], false),
    ])
    func followsNodeAffinity(operation: String, values: [String], fits: Bool) {
        let expression: JSON = ["key": "disk", "operator": .string(operation), "values": JSON(values)]
        let terms: JSON = ["nodeSelectorTerms": [["matchExpressions": [expression]]]]
        let spec: JSON = [
            "affinity": ["nodeAffinity": ["requiredDuringSchedulingIgnoredDuringExecution": terms]]
        ]
        let decision = decide(pod(spec: spec), nodes: [node("a", labels: ["disk": "ssd"])])
        #expect((decision == .bind(node: "a")) == fits)
    }

    @Test(
        arguments: [
            (["key": "gpu", "operator": "Exists"] as JSON, true),
            (["key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"], true),
            (["key": "gpu", "value": "no"], false), (["operator": "Exists"], true),
            (["key": "gpu", "operator": "Exists", "effect": "NoExecute"], false),
        ] as [(JSON, Bool)]
    )
    func followsTolerations(toleration: JSON, fits: Bool) {
        let tainted = node("a", spec: ["taints": [["key": "gpu", "value": "yes", "effect": "NoSchedule"]]])
        let decision = decide(pod(spec: ["tolerations": [toleration]]), nodes: [tainted])
        #expect((decision == .bind(node: "a")) == fits)
    }

    @Test
    func keepsHostPortsApart() {
        func spec(_ port: Int, _ address: String? = nil) -> JSON {
            var entry: JSON = ["containerPort": JSON(port), "hostPort": JSON(port)]
            entry["hostIP"] = address.map { .string($0) }
            return ["containers": [["ports": [entry]]]]
        }
        let taken = pod("x", on: "a", spec: spec(80))
        #expect(
            message(decide(pod(spec: spec(80, "10.0.0.1")), nodes: [node("a")], pods: [taken]))
                == "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
        )
        #expect(decide(pod(spec: spec(81)), nodes: [node("a")], pods: [taken]) == .bind(node: "a"))
    }

    private func affinity(_ kind: String, app: String) -> JSON {
        let term: JSON = ["labelSelector": ["matchLabels": ["app": .string(app)]], "topologyKey": "zone"]
        return ["affinity": [kind: ["requiredDuringSchedulingIgnoredDuringExecution": [term]]]]
    }

    @Test
    func bringsTogetherAndKeepsApart() {
        let nodes = [
            node("a", labels: ["zone": "1"]), node("b", labels: ["zone": "1"]), node("c", labels: ["zone": "2"]),
        ]
        let database = pod("db", cpu: "1", on: "a", labels: ["app": "db"])
        let near = decide(pod(spec: affinity("podAffinity", app: "db")), nodes: nodes, pods: [database])
        #expect(near == .bind(node: "b"))
        let far = decide(pod(spec: affinity("podAntiAffinity", app: "db")), nodes: nodes, pods: [database])
        #expect(far == .bind(node: "c"))
        let shy = pod("shy", on: "c", spec: affinity("podAntiAffinity", app: "loud"))
        let loud = decide(pod(cpu: "1500m", labels: ["app": "loud"]), nodes: nodes, pods: [database, shy])
        #expect(loud == .bind(node: "b"))
    }

    @Test
    func letsTheFirstOfAGroupStart() {
        let spec = affinity("podAffinity", app: "db")
        let nodes = [node("a", labels: ["zone": "1"])]
        #expect(decide(pod(labels: ["app": "db"], spec: spec), nodes: nodes) == .bind(node: "a"))
        #expect(
            message(decide(pod(spec: spec), nodes: nodes))
                == "0/1 nodes are available: 1 node(s) didn't match pod affinity rules."
        )
    }

    @Test
    func prefersWhatThePodPrefers() {
        let preference: JSON = [
            "weight": 10,
            "preference": ["matchExpressions": [["key": "disk", "operator": "In", "values": ["ssd"]]]],
        ]
        let spec: JSON = [
            "affinity": ["nodeAffinity": ["preferredDuringSchedulingIgnoredDuringExecution": [preference]]]
        ]
        let nodes = [node("a"), node("b", labels: ["disk": "ssd"])]
        let busy = pod("x", cpu: "1", on: "b")
        #expect(decide(pod(spec: spec), nodes: nodes, pods: [busy]) == .bind(node: "b"))
    }
}
