import KubernetesClient
import KubernetesModel
import TestKit
import Testing

struct GarbageCollectorTests {
    private func configMap(_ name: String, owners: [JSON] = []) -> JSON {
        var object: JSON = [
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": ["name": .string(name), "namespace": "default"],
        ]
        if !owners.isEmpty { object["metadata", "ownerReferences"] = .array(owners) }
        return object
    }

    private func reference(_ object: JSON, blocks: Bool = false) -> JSON {
        [
            "apiVersion": object["apiVersion"] ?? "", "kind": object["kind"] ?? "",
            "name": object["metadata", "name"] ?? "", "uid": object["metadata", "uid"] ?? "",
            "blockOwnerDeletion": .bool(blocks),
        ]
    }

    private func find(_ cluster: MemoryCluster, _ name: String) -> JSON? {
        cluster.find(.configMaps, namespace: "default", name: name)
    }

    @Test
    func deletesWhatHasNoOwnerLeft() async throws {
        try await withControllers { cluster in
            let first = cluster.put(.configMaps, configMap("first"))
            let second = cluster.put(.configMaps, configMap("second"))
            cluster.put(.configMaps, configMap("child", owners: [reference(first), reference(second)]))
            cluster.put(.configMaps, configMap("other"))
            _ = try await cluster.delete(.configMaps, namespace: "default", name: "first")
            try await waitUntil("the reference is taken away") {
                find(cluster, "child")?["metadata", "ownerReferences"]?.array?.count == 1
            }
            _ = try await cluster.delete(.configMaps, namespace: "default", name: "second")
            try await waitUntil("the child is gone") { find(cluster, "child") == nil }
            #expect(find(cluster, "other") != nil)
        }
    }

    @Test
    func deletesWhatWasMadeAfterItsOwnerWasGone() async throws {
        try await withControllers { cluster in
            let owner = cluster.put(.configMaps, configMap("owner"))
            cluster.remove(.configMaps, namespace: "default", name: "owner")
            // The same name, but another object.
            cluster.put(.configMaps, configMap("owner"))
            cluster.put(.configMaps, configMap("child", owners: [reference(owner)]))
            try await waitUntil("the child is gone") { find(cluster, "child") == nil }
            #expect(find(cluster, "owner") != nil)
        }
    }

    @Test
    func keepsWhatHasAnOwnerThatTheInformersCannotShow() async throws {
        try await withControllers { cluster in
            let widget: JSON = [
                "apiVersion": "example.com/v1", "kind": "Widget", "name": "w", "uid": "1",
            ]
            cluster.put(.configMaps, configMap("child", owners: [widget]))
            let gone: JSON = ["apiVersion": "v1", "kind": "Secret", "name": "s", "uid": "2"]
            cluster.put(.configMaps, configMap("marker", owners: [gone]))
            try await waitUntil("the marker, which came later, is gone") { find(cluster, "marker") == nil }
            #expect(find(cluster, "child") != nil)
        }
    }

    @Test
    func deletesDependentsFirstInTheForeground() async throws {
        try await withControllers { cluster in
            let owner = cluster.put(.configMaps, configMap("owner"))
            let child = cluster.put(.configMaps, configMap("child", owners: [reference(owner, blocks: true)]))
            var grandchild = configMap("grandchild", owners: [reference(child, blocks: true)])
            grandchild["metadata", "finalizers"] = ["example.com/hold"]
            cluster.put(.configMaps, grandchild)
            _ = try await cluster.delete(
                .configMaps,
                namespace: "default",
                name: "owner",
                options: DeleteOptions(propagationPolicy: .foreground)
            )
            try await waitUntil("the last one is asked to go") {
                find(cluster, "grandchild")?["metadata", "deletionTimestamp"] != nil
            }
            #expect(find(cluster, "owner") != nil)
            #expect(find(cluster, "child") != nil)
            let release: JSON = ["metadata": ["finalizers": .null]]
            _ = try await cluster.patch(.configMaps, namespace: "default", name: "grandchild", .merge(release))
            try await waitUntil("all are gone") { cluster.all(.configMaps).isEmpty }
        }
    }

    @Test
    func leavesDependentsBehindWhenAsked() async throws {
        try await withControllers { cluster in
            let owner = cluster.put(.configMaps, configMap("owner"))
            cluster.put(.configMaps, configMap("child", owners: [reference(owner)]))
            try await waitUntil("the child is looked at") {
                cluster.requests.contains { $0.verb == .get && $0.name == "child" }
            }
            _ = try await cluster.delete(
                .configMaps,
                namespace: "default",
                name: "owner",
                options: DeleteOptions(propagationPolicy: .orphan)
            )
            try await waitUntil("the owner is gone") { find(cluster, "owner") == nil }
            let child = try #require(find(cluster, "child"))
            #expect(AnyObjectView(child).ownerReferences.isEmpty)
        }
    }
}
