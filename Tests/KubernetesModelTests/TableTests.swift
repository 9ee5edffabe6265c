import KubernetesModel
import Testing

@Suite struct TableTests {
    /// 2026-01-02T03:04:05Z
    static let now: Int64 = 1_767_323_045

    private func row(_ resource: Resource, _ object: JSON, wide: Bool = false) throws -> [JSON] {
        var object = object
        object["metadata", "name"] = object["metadata", "name"] ?? "x"
        object["metadata", "creationTimestamp"] = "2026-01-02T03:00:00Z"
        let table = try #require(ResourceCatalog.builtin.definition(resource)).table(of: [object], now: Self.now)
        let columns = try #require(table["columnDefinitions"]?.array)
        let cells = try #require(table["rows"]?[0]?["cells"]?.array)
        #expect(cells.count == columns.count)
        return zip(columns, cells).filter { wide || $0.0["priority"] == 0 }.map(\.1)
    }

    static let ages: [(String, String)] = [
        ("2026-01-02T03:04:05Z", "0s"), ("2026-01-02T03:02:06Z", "119s"), ("2026-01-02T03:02:05Z", "2m"),
        ("2026-01-02T03:00:00Z", "4m5s"), ("2026-01-02T02:34:05Z", "30m"), ("2026-01-02T00:00:05Z", "3h4m"),
        ("2026-01-01T03:04:05Z", "24h"), ("2025-12-30T01:04:05Z", "3d2h"), ("2025-12-02T03:04:05Z", "31d"),
        ("2023-01-01T03:04:05Z", "3y2d"), ("2010-01-01T03:04:05Z", "16y"), ("2026-01-02T03:04:06Z", "0s"),
        ("2026-01-02T04:04:05Z", "<invalid>"), ("soon", "<unknown>"),
    ]

    @Test(arguments: ages)
    func tellsAges(_ created: String, _ age: String) throws {
        let definition = try #require(ResourceCatalog.builtin.definition(.namespaces))
        let object: JSON = ["metadata": ["name": "a", "creationTimestamp": .string(created)]]
        let table = definition.table(of: [object], now: Self.now)
        #expect(table["rows"]?[0]?["cells"] == ["a", "Active", .string(age)])
    }

    private static func status(_ state: JSON, ready: Bool = false, restarts: Int = 0, name: String = "a") -> JSON {
        [
            "name": .string(name), "state": state, "ready": .bool(ready), "restartCount": JSON(restarts),
            "started": .bool(ready),
        ]
    }

    static let spec: JSON = ["containers": [["name": "a"]], "nodeName": "n1"]
    static let running: JSON = ["running": ["startedAt": "2026-01-02T03:00:00Z"]]

    static let statuses: [(JSON, String, String)] = [
        ([:], "0/1", "Unknown"), (["phase": "Pending"], "0/1", "Pending"),
        (["phase": "Running", "containerStatuses": [status(running, ready: true)]], "1/1", "Running"),
        (["phase": "Running", "containerStatuses": [status(running)]], "0/1", "Running"),
        (
            ["phase": "Pending", "containerStatuses": [status(["waiting": ["reason": "ImagePullBackOff"]])]], "0/1",
            "ImagePullBackOff"
        ),
        (
            ["phase": "Running", "containerStatuses": [status(["waiting": ["reason": "CrashLoopBackOff"]])]], "0/1",
            "CrashLoopBackOff"
        ),
        (
            [
                "phase": "Succeeded",
                "containerStatuses": [status(["terminated": ["exitCode": 0, "reason": "Completed"]])],
            ],
            "0/1", "Completed"
        ),
        (["phase": "Failed", "containerStatuses": [status(["terminated": ["exitCode": 3]])]], "0/1", "ExitCode:3"),
        (
            ["phase": "Failed", "containerStatuses": [status(["terminated": ["exitCode": 137, "signal": 9]])]],
            "0/1", "Signal:9"
        ),
        (["phase": "Failed", "reason": "Evicted"], "0/1", "Evicted"),
        (
            [
                "phase": "Pending",
                "conditions": [["type": "PodScheduled", "status": "False", "reason": "SchedulingGated"]],
            ],
            "0/1", "SchedulingGated"
        ),
    ]

    @Test(arguments: statuses)
    func tellsWhatAPodIsDoing(_ status: JSON, _ ready: String, _ reason: String) throws {
        let cells = try row(.pods, ["spec": Self.spec, "status": status])
        #expect(cells == ["x", .string(ready), .string(reason), "0", "4m5s"])
    }

    static let initStatuses: [(JSON, String)] = [
        (status(running), "Init:0/2"), (status(["waiting": ["reason": "PodInitializing"]]), "Init:0/2"),
        (status(["waiting": ["reason": "ErrImagePull"]]), "Init:ErrImagePull"),
        (status(["terminated": ["exitCode": 1, "reason": "Error"]]), "Init:Error"),
        (status(["terminated": ["exitCode": 1]]), "Init:ExitCode:1"),
        (status(["terminated": ["exitCode": 0]]), "Pending"),
    ]

    @Test(arguments: initStatuses)
    func tellsWhatInitContainersAreDoing(_ first: JSON, _ reason: String) throws {
        let spec: JSON = ["containers": [["name": "c"]], "initContainers": [["name": "a"], ["name": "b"]]]
        let pod: JSON = ["spec": spec, "status": ["phase": "Pending", "initContainerStatuses": [first]]]
        #expect(try row(.pods, pod)[2].string == reason)
    }

    @Test func countsSidecars() throws {
        let spec: JSON = ["containers": [["name": "a"]], "initContainers": [["name": "s", "restartPolicy": "Always"]]]
        let sidecar = Self.status(Self.running, ready: true, restarts: 2, name: "s")
        let status: JSON = [
            "phase": "Running", "initContainerStatuses": [sidecar],
            "containerStatuses": [Self.status(Self.running, ready: true)],
        ]
        #expect(try row(.pods, ["spec": spec, "status": status])[1...3] == ["2/2", "Running", "2"])
    }

    @Test func tellsRestartsAndTermination() throws {
        var container = Self.status(Self.running, ready: true, restarts: 3)
        container["lastState"] = ["terminated": ["exitCode": 1, "finishedAt": "2026-01-02T03:02:00Z"]]
        var pod: JSON = [
            "spec": Self.spec, "status": ["phase": "Running", "podIP": "10.42.0.7", "containerStatuses": [container]],
        ]
        #expect(try row(.pods, pod)[3] == "3 (2m5s ago)")
        #expect(Array(try row(.pods, pod, wide: true)[5...]) == ["10.42.0.7", "n1", "<none>", "<none>"])
        pod["metadata", "deletionTimestamp"] = "2026-01-02T03:04:00Z"
        #expect(try row(.pods, pod)[2] == "Terminating")
        pod["status", "phase"] = "Succeeded"
        #expect(try row(.pods, pod)[2] != "Terminating")
    }

    @Test func showsRunningWhenAContainerIsDone() throws {
        let spec: JSON = ["containers": [["name": "a"], ["name": "b"]]]
        let done = Self.status(["terminated": ["exitCode": 0, "reason": "Completed"]])
        var status: JSON = [
            "phase": "Running", "containerStatuses": [done, Self.status(Self.running, ready: true, name: "b")],
        ]
        #expect(try row(.pods, ["spec": spec, "status": status])[2] == "NotReady")
        status["conditions"] = [["type": "Ready", "status": "True"]]
        #expect(try row(.pods, ["spec": spec, "status": status])[2] == "Running")
    }

    @Test func printsWorkloads() throws {
        let workload: JSON = [
            "spec": [
                "replicas": 3, "selector": ["matchLabels": ["app": "web"]],
                "template": [
                    "spec": ["containers": [["name": "web", "image": "w:1"], ["name": "s", "image": "s:1"]]]
                ],
            ],
            "status": ["replicas": 3, "readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2],
        ]
        #expect(
            try row(.deployments, workload, wide: true) == ["x", "2/3", 1, 2, "4m5s", "web,s", "w:1,s:1", "app=web"]
        )
        #expect(try row(.replicaSets, workload) == ["x", 3, 3, 2, "4m5s"])
    }

    @Test func printsJobs() throws {
        var job: JSON = [
            "spec": ["completions": 2, "parallelism": 1],
            "status": ["succeeded": 1, "startTime": "2026-01-02T03:04:00Z"],
        ]
        #expect(try row(.jobs, job) == ["x", "Running", "1/2", "5s", "4m5s"])
        job["status"] = [
            "succeeded": 2, "startTime": "2026-01-02T03:01:00Z", "completionTime": "2026-01-02T03:01:30Z",
            "conditions": [["type": "Complete", "status": "True"]],
        ]
        #expect(try row(.jobs, job) == ["x", "Complete", "2/2", "30s", "4m5s"])
        #expect(try row(.jobs, ["spec": ["parallelism": 3]])[2] == "0/1 of 3")
    }

    @Test func printsServices() throws {
        let service: JSON = [
            "spec": [
                "type": "NodePort", "clusterIP": "10.43.0.9", "selector": ["app": "web"],
                "ports": [["port": 80, "nodePort": 30_080, "protocol": "TCP"], ["port": 53, "protocol": "UDP"]],
            ]
        ]
        #expect(
            try row(.services, service, wide: true)
                == ["x", "NodePort", "10.43.0.9", "<none>", "80:30080/TCP,53/UDP", "4m5s", "app=web"]
        )
        #expect(try row(.services, ["spec": ["type": "LoadBalancer"]])[3] == "<pending>")
        #expect(try row(.services, ["spec": ["type": "ExternalName", "externalName": "a.b"]])[3] == "a.b")
    }

    @Test func printsSlicesAndLeases() throws {
        let addresses = (1...5).map { JSON.object(["addresses": ["10.42.0.\($0)"]]) }
        let slice: JSON = ["addressType": "IPv4", "ports": [["port": 8080]], "endpoints": .array(addresses)]
        #expect(
            try row(.endpointSlices, slice)
                == ["x", "IPv4", "8080", "10.42.0.1,10.42.0.2,10.42.0.3 + 2 more...", "4m5s"]
        )
        #expect(try row(.endpointSlices, ["addressType": "IPv4"])[2...3] == ["<unset>", "<unset>"])
        #expect(try row(.leases, ["spec": ["holderIdentity": "n1"]]) == ["x", "n1", "4m5s"])
    }

    @Test func printsNodesAndConfiguration() throws {
        let node: JSON = [
            "metadata": ["name": "n1", "labels": ["node-role.kubernetes.io/control-plane": ""]],
            "spec": ["unschedulable": true],
            "status": [
                "conditions": [["type": "Ready", "status": "True"]], "nodeInfo": ["kubeletVersion": "v1.36.0"],
                "addresses": [["type": "InternalIP", "address": "10.0.0.1"]],
            ],
        ]
        #expect(try row(.nodes, node) == ["n1", "Ready,SchedulingDisabled", "control-plane", "4m5s", "v1.36.0"])
        #expect(try row(.nodes, node, wide: true)[5] == "10.0.0.1")
        #expect(try row(.nodes, ["status": [:]])[1...2] == ["Unknown", "<none>"])
        #expect(try row(.configMaps, ["data": ["a": "1"], "binaryData": ["b": ""]]) == ["x", 2, "4m5s"])
        #expect(try row(.secrets, ["type": "Opaque", "data": ["a": "MQ=="]]) == ["x", "Opaque", 1, "4m5s"])
    }

    @Test func printsEvents() throws {
        let event: JSON = [
            "involvedObject": ["kind": "Pod", "name": "web-1"], "type": "Warning", "reason": "BackOff",
            "message": "again\n",
            "lastTimestamp": "2026-01-02T03:04:00Z", "firstTimestamp": "2026-01-02T03:00:00Z", "count": 4,
        ]
        #expect(try row(.events, event) == ["5s", "Warning", "BackOff", "pod/web-1", "again"])
        #expect(Array(try row(.events, event, wide: true)[7...]) == ["4m5s", 4, "x"])
    }

    @Test func printsGatewaysAndReleases() throws {
        let gateway: JSON = [
            "spec": ["gatewayClassName": "sampan"],
            "status": [
                "addresses": [["value": "10.0.0.1"]], "conditions": [["type": "Programmed", "status": "True"]],
            ],
        ]
        #expect(try row(.gateways, gateway) == ["x", "sampan", "10.0.0.1", "True", "4m5s"])
        #expect(try row(.httpRoutes, ["spec": ["hostnames": ["a", "b"]]]) == ["x", #"["a","b"]"#, "4m5s"])
        let release: JSON = [
            "spec": ["number": 7, "environment": "daily", "commit": "abc"], "status": ["phase": "deployed"],
        ]
        #expect(try row(.releases, release) == ["x", 7, "daily", "deployed", "abc", "4m5s"])
    }

    @Test func carriesWhatIsAskedFor() throws {
        let definition = try #require(ResourceCatalog.builtin.definition(.configMaps))
        let object: JSON = ["metadata": ["name": "a"], "data": ["a": "1"]]
        let table = definition.table(of: [object], now: 0)
        #expect(table["kind"] == "Table" && table["apiVersion"] == "meta.k8s.io/v1")
        #expect(table["rows"]?[0]?["object"]?["kind"] == "PartialObjectMetadata")
        #expect(table["rows"]?[0]?["object"]?["data"] == nil)
        #expect(definition.table(of: [object], now: 0, includeObject: .object)["rows"]?[0]?["object"] == object)
        #expect(definition.table(of: [object], now: 0, includeObject: .none)["rows"]?[0]?["object"] == nil)
    }
}
