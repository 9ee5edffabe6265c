import KubernetesClient
import KubernetesModel
import Testing

@testable import APIServer

struct DeletionTests {
    @Test func waitsForFinalizers() async throws {
        let client = try await TestAPI().client
        var object = Sample.configMap("a")
        object["metadata", "finalizers"] = ["example.org/hold"]
        _ = try await client.create(.configMaps, namespace: "default", object)
        let going = try await client.delete(.configMaps, namespace: "default", name: "a")
        #expect(AnyObjectView(going).isBeingDeleted)
        let added = await statusError {
            _ = try await client.patch(
                .configMaps,
                namespace: "default",
                name: "a",
                .merge(["metadata": ["finalizers": ["example.org/hold", "example.org/more"]]])
            )
        }
        #expect(added?.code == 422)
        _ = try await client.patch(
            .configMaps,
            namespace: "default",
            name: "a",
            .merge(["metadata": ["finalizers": .null]])
        )
        #expect(try await client.find(.configMaps, namespace: "default", name: "a") == nil)
    }

    @Test(arguments: [
        (DeleteOptions.PropagationPolicy.foreground, "foregroundDeletion"), (.orphan, "orphan"),
    ])
    func callsTheGarbageCollector(_ policy: DeleteOptions.PropagationPolicy, _ finalizer: String) async throws {
        let client = try await TestAPI().client
        _ = try await client.create(.deployments, namespace: "default", Sample.deployment("d"))
        let options = DeleteOptions(propagationPolicy: policy)
        let going = try await client.delete(.deployments, namespace: "default", name: "d", options: options)
        #expect(AnyObjectView(going).finalizers == [finalizer])
    }

    @Test func respectsPreconditions() async throws {
        let client = try await TestAPI().client
        _ = try await client.create(.configMaps, namespace: "default", Sample.configMap("a"))
        let options = DeleteOptions(uid: "another")
        let error = await statusError {
            _ = try await client.delete(.configMaps, namespace: "default", name: "a", options: options)
        }
        #expect(error?.isConflict == true)
    }

    @Test func emptiesANamespaceBeforeItGoes() async throws {
        let client = try await TestAPI().client
        _ = try await client.create(.namespaces, ["metadata": ["name": "team"]])
        let going = try await client.delete(.namespaces, namespace: nil, name: "team")
        #expect(going["status", "phase"] == "Terminating")
        let refused = await statusError {
            _ = try await client.create(.configMaps, namespace: "team", Sample.configMap("a"))
        }
        #expect(refused?.code == 403)
        #expect(refused?.message.contains("because it is being terminated") == true)
        var final = going
        final["spec", "finalizers"] = []
        _ = try await client.update(.namespaces, final, subresource: "finalize")
        #expect(try await client.find(.namespaces, namespace: nil, name: "team") == nil)
    }

    @Test func protectsTheDefaultNamespace() async throws {
        let client = try await TestAPI().client
        let error = await statusError { _ = try await client.delete(.namespaces, namespace: nil, name: "default") }
        #expect(error?.code == 403)
    }

    @Test func expiresOldEvents() async throws {
        let api = try await TestAPI()
        let event: JSON = [
            "metadata": ["name": "e"], "involvedObject": ["kind": "Pod", "name": "p", "namespace": "default"],
            "reason": "Test", "message": "m", "type": "Normal",
        ]
        _ = try await api.client.create(.events, namespace: "default", event)
        api.clock.advance(by: 3599)
        try await api.service.expireEvents()
        #expect(try await api.client.find(.events, namespace: "default", name: "e") != nil)
        api.clock.advance(by: 2)
        try await api.service.expireEvents()
        #expect(try await api.client.find(.events, namespace: "default", name: "e") == nil)
    }
}
