import KubernetesModel
import Testing

@testable import Controllers

struct EndpointSlicePlanTests {
    private func service(_ spec: JSON = [:]) -> AnyObjectView {
        var json: JSON = [
            "metadata": ["name": "web", "namespace": "default", "uid": "s", "labels": ["team": "shop"]],
            "spec": [
                "clusterIP": "10.43.0.9", "selector": ["app": "web"],
                "ports": [["name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"]],
            ],
        ]
        for (field, value) in spec.object ?? [:] { json["spec", field] = value }
        return AnyObjectView(json)
    }

    private func pod(_ number: Int, isReady: Bool = true, isStopping: Bool = false, port: Int? = nil) -> PodView {
        var json: JSON = [
            "metadata": ["name": .string("p\(1000 + number)"), "namespace": "default", "uid": .string("u\(number)")],
            "spec": ["nodeName": "n", "containers": [["name": "main"]]],
            "status": [
                "phase": "Running", "podIP": .string("10.42.\(number / 250).\(number % 250)"),
                "conditions": [["type": "Ready", "status": isReady ? "True" : "False"]],
            ],
        ]
        if isStopping { json["metadata", "deletionTimestamp"] = "2026-01-01T00:00:00Z" }
        if let port {
            json["spec", "containers"] = [["name": "main", "ports": [["name": "web", "containerPort": JSON(port)]]]]
        }
        return PodView(json)
    }

    @Test(arguments: [
        (true, false, false, true, true, false), (false, false, false, false, false, false),
        (true, true, false, false, true, true), (false, true, false, false, false, true),
        (false, false, true, true, false, false), (true, true, true, true, true, true),
    ])
    func tellsTheConditions(
        isReady: Bool,
        isStopping: Bool,
        publishesAll: Bool,
        ready: Bool,
        serving: Bool,
        terminating: Bool
    ) throws {
        let plan = EndpointSlicePlan(
            service(["publishNotReadyAddresses": .bool(publishesAll)]),
            pods: [pod(1, isReady: isReady, isStopping: isStopping)],
            slices: []
        )
        let endpoint = try #require(plan.creations.first?["endpoints"]?[0])
        #expect(
            endpoint["conditions"]
                == ["ready": .bool(ready), "serving": .bool(serving), "terminating": .bool(terminating)]
        )
        #expect(endpoint["targetRef", "uid"] == "u1")
        #expect(endpoint["nodeName"] == "n")
    }

    @Test
    func describesTheService() throws {
        let slice = try #require(EndpointSlicePlan(service(), pods: [pod(1)], slices: []).creations.first)
        #expect(
            slice["metadata", "labels"]?.stringMap == [
                "kubernetes.io/service-name": "web", "team": "shop",
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            ]
        )
        #expect(slice["ports"] == [["name": "http", "port": 8080, "protocol": "TCP"]])
        #expect(slice["addressType"] == "IPv4")
        let headless = try #require(
            EndpointSlicePlan(service(["clusterIP": "None"]), pods: [pod(1)], slices: []).creations.first
        )
        #expect(AnyObjectView(headless).labels["service.kubernetes.io/headless"] == "")
    }

    @Test
    func resolvesNamedPortsPerPod() {
        let named = service(["ports": [["name": "http", "port": 80, "targetPort": "web"]]])
        let plan = EndpointSlicePlan(named, pods: [pod(1, port: 8080), pod(2, port: 9090), pod(3)], slices: [])
        let ports = plan.creations.map { $0["ports"]?[0]?["port"]?.int ?? 0 }
        #expect(Set(ports) == [8080, 9090, 0])
        #expect(Set(plan.creations.map { AnyObjectView($0).name }).count == 3)
    }

    @Test
    func leavesOutWhatHasNoAddressOrEnded() {
        var pending = pod(1)
        pending.json["status", "podIP"] = nil
        var ended = pod(2)
        ended.json["status", "phase"] = "Succeeded"
        let plan = EndpointSlicePlan(service(), pods: [pending, ended], slices: [])
        #expect(plan.creations.map { $0["endpoints"]?.array?.count } == [0])
    }

    @Test
    func splitsAtAHundredAndWritesOnlyWhatChanges() throws {
        var pods = (0..<250).map { pod($0) }
        let plan = EndpointSlicePlan(service(), pods: pods, slices: [])
        #expect(plan.creations.map { $0["endpoints"]?.array?.count } == [100, 100, 50])
        let slices = plan.creations.map { AnyObjectView($0) }
        #expect(EndpointSlicePlan(service(), pods: pods, slices: slices).isEmpty)
        pods.remove(at: 30)
        let shrunk = EndpointSlicePlan(service(), pods: pods, slices: slices)
        #expect(shrunk.updates.count == 1 && shrunk.creations.isEmpty && shrunk.deletions.isEmpty)
        #expect(shrunk.updates[0]["endpoints"]?.array?.count == 99)
        pods.append(pod(300))
        let refilled = EndpointSlicePlan(service(), pods: pods, slices: slices)
        #expect(refilled.updates.count == 1 && refilled.creations.isEmpty)
    }

    @Test
    func replacesAReadyStateInPlace() throws {
        let slices = EndpointSlicePlan(service(), pods: [pod(1), pod(2)], slices: []).creations.map {
            AnyObjectView($0)
        }
        let plan = EndpointSlicePlan(service(), pods: [pod(1, isReady: false), pod(2)], slices: slices)
        let update = try #require(plan.updates.first)
        #expect(update["endpoints"]?.array?.map { $0["conditions", "ready"] } == [false, true])
    }

    @Test
    func keepsOneEmptySlice() {
        let slices = EndpointSlicePlan(service(), pods: [pod(1)], slices: []).creations.map { AnyObjectView($0) }
        let emptied = EndpointSlicePlan(service(), pods: [], slices: slices)
        #expect(emptied.updates.count == 1 && emptied.deletions.isEmpty)
        let empty = emptied.updates.map { AnyObjectView($0) }
        #expect(EndpointSlicePlan(service(), pods: [], slices: empty).isEmpty)
    }
}

extension EndpointSlicePlan {
    fileprivate var isEmpty: Bool { creations.isEmpty && updates.isEmpty && deletions.isEmpty }
}
