import KubernetesClient
import KubernetesModel
import Testing

@testable import APIServer

struct AdmissionTests {
    @Test func givesEveryServiceItsOwnAddress() async throws {
        let client = try await TestAPI().client
        let addresses = try await withThrowingTaskGroup(of: String.self) { group in
            for index in 0..<40 {
                group.addTask {
                    let service = try await client.create(.services, namespace: "default", Sample.service("s\(index)"))
                    return service["spec", "clusterIP"]?.string ?? ""
                }
            }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(addresses.count == 40)
        #expect(addresses.allSatisfy { $0.hasPrefix("10.43.0.") && $0 != "10.43.0.1" && $0 != "10.43.0.10" })
    }

    @Test func honoursRequestedAddressesAndPorts() async throws {
        let client = try await TestAPI().client
        let wanted: JSON = [
            "clusterIP": "10.43.0.77", "type": "NodePort", "ports": [["port": 80, "nodePort": 30_080]],
        ]
        let service = try await client.create(.services, namespace: "default", Sample.service("a", wanted))
        #expect(service["spec", "clusterIP"] == "10.43.0.77")
        let taken = await statusError {
            _ = try await client.create(
                .services,
                namespace: "default",
                Sample.service("b", ["clusterIP": "10.43.0.77"])
            )
        }
        #expect(taken?.message.contains("provided IP is already allocated") == true)
        let port: JSON = ["type": "NodePort", "ports": [["port": 80, "nodePort": 30_080]]]
        let portTaken = await statusError {
            _ = try await client.create(.services, namespace: "default", Sample.service("c", port))
        }
        #expect(portTaken?.message.contains("provided port is already allocated") == true)
        // What a deleted service had is free again, and so is what the refused ones held.
        _ = try await client.delete(.services, namespace: "default", name: "a")
        _ = try await client.create(.services, namespace: "default", Sample.service("d", wanted))
    }

    @Test func keepsAServicesAddressWhenItIsApplied() async throws {
        let client = try await TestAPI().client
        let first = try await client.create(.services, namespace: "default", Sample.service("a", ["type": "NodePort"]))
        var again = Sample.service("a", ["type": "NodePort"])
        again["metadata", "namespace"] = "default"
        again["spec", "ports"] = [["port": 80, "targetPort": 9090]]
        let second = try await client.update(.services, again)
        #expect(second["spec", "clusterIP"] == first["spec", "clusterIP"])
        let nodePort = { (service: JSON) in service["spec", "ports"]?.array?.first?["nodePort"]?.int }
        #expect(nodePort(second) == nodePort(first))
        #expect(nodePort(first).map { (30_000...32_767).contains($0) } == true)
    }

    @Test func leavesHeadlessServicesWithoutAddress() async throws {
        let client = try await TestAPI().client
        let service = try await client.create(
            .services,
            namespace: "default",
            Sample.service("h", ["clusterIP": "None"])
        )
        #expect(service["spec", "clusterIP"] == "None")
    }

    @Test func encodesTheTextOfSecrets() async throws {
        let client = try await TestAPI().client
        let secret: JSON = ["metadata": ["name": "s"], "stringData": ["password": "open sesame"]]
        let created = try await client.create(.secrets, namespace: "default", secret)
        #expect(created["data", "password"] == "b3BlbiBzZXNhbWU=")
        #expect(created["stringData"] == nil)
        #expect(created["type"] == "Opaque")
    }

    @Test func selectsAJobsPodsByItsUID() async throws {
        let client = try await TestAPI().client
        let pod: JSON = ["restartPolicy": "Never", "containers": [["name": "c", "image": "i"]]]
        let job: JSON = ["metadata": ["name": "j"], "spec": ["template": ["spec": pod]]]
        let created = try await client.create(.jobs, namespace: "default", job)
        let label = "batch.kubernetes.io/controller-uid"
        #expect(created["spec", "selector", "matchLabels", label]?.string == AnyObjectView(created).uid)
        #expect(created["spec", "template", "metadata", "labels", label]?.string == AnyObjectView(created).uid)
    }

    @Test(arguments: [
        (#""podFailurePolicy":{"rules":[]}"#, "spec.podFailurePolicy: Forbidden: not implemented"),
        (#""successPolicy":{"rules":[]}"#, "spec.successPolicy: Forbidden: not implemented"),
        (#""backoffLimitPerIndex":1"#, "spec.backoffLimitPerIndex: Forbidden: not implemented"),
        (#""maxFailedIndexes":1"#, "spec.maxFailedIndexes: Forbidden: not implemented"),
        (#""managedBy":"example.org/other""#, #"spec.managedBy: Unsupported value: "example.org/other""#),
        (#""completionMode":"Indexed","parallelism":2"#, "spec.completions: Required value: when completion mode"),
    ])
    func refusesWhatTheJobControllerWouldPassOver(_ field: String, _ message: String) async throws {
        let client = try await TestAPI().client
        let pod = #"{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}"#
        let job = #"{"metadata":{"name":"j"},"spec":{\#(field),"template":{"spec":\#(pod)}}}"#
        let error = await statusError {
            _ = try await client.create(.jobs, namespace: "default", JSON(parsing: job))
        }
        #expect(error?.code == 422)
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "it was taken")")
    }

    @Test(arguments: [
        (#"{}"#, "BestEffort"), (#"{"requests":{"cpu":"1"}}"#, "Burstable"),
        (#"{"limits":{"cpu":"1","memory":"1Gi"}}"#, "Guaranteed"),
        (#"{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"500m","memory":"1Gi"}}"#, "Burstable"),
        (#"{"limits":{"cpu":"1"}}"#, "Burstable"),
    ])
    func ranksPodsByWhatTheyAskFor(_ resources: String, _ expected: String) throws {
        let container: JSON = ["name": "c", "resources": try JSON(parsing: resources)]
        #expect(PodRules.qualityOfService(of: ["spec": ["containers": [container]]]) == expected)
    }

    @Test func servesNewKindsAtOnceAndForgetsThem() async throws {
        let api = try await TestAPI()
        let definition: JSON = [
            "metadata": ["name": "boats.example.org"],
            "spec": [
                "group": "example.org", "scope": "Namespaced", "names": ["plural": "boats", "kind": "Boat"],
                "versions": [
                    [
                        "name": "v1", "served": true, "storage": true,
                        "schema": [
                            "openAPIV3Schema": [
                                "type": "object",
                                "properties": [
                                    "spec": [
                                        "type": "object", "properties": ["sails": ["type": "integer", "default": 2]],
                                    ]
                                ],
                            ]
                        ],
                    ]
                ],
            ],
        ]
        let boats = Resource(group: "example.org", plural: "boats", kind: "Boat")
        #expect(await statusError { _ = try await api.client.list(boats) }?.isNotFound == true)
        let created = try await api.client.create(.customResourceDefinitions, definition)
        let conditions = created["status", "conditions"]?.array?.compactMap { $0["type"]?.string }
        #expect(conditions == ["NamesAccepted", "Established"])
        let boat = try await api.client.create(boats, namespace: "default", ["metadata": ["name": "b"], "spec": [:]])
        #expect(boat["spec", "sails"] == 2)
        _ = try await api.client.delete(.customResourceDefinitions, namespace: nil, name: "boats.example.org")
        #expect(await statusError { _ = try await api.client.list(boats) }?.isNotFound == true)
    }
}
