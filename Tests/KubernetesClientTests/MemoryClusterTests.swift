import KubernetesClient
import KubernetesModel
import TestKit
import Testing

/// What every test that uses the cluster in memory relies on.
struct MemoryClusterTests {
    private let cluster = MemoryCluster()
    private let object: JSON = ["metadata": ["name": "a", "namespace": "x"], "data": ["k": "v", "l": "w"]]

    @Test
    func refusesWritesFromOldVersions() async throws {
        let first = try await cluster.create(.configMaps, namespace: "x", object)
        var changed = first
        changed["data", "k"] = "new"
        _ = try await cluster.update(.configMaps, changed)
        let error = await #expect(throws: StatusError.self) { try await cluster.update(.configMaps, first) }
        #expect(error?.isConflict == true)
        let again = await #expect(throws: StatusError.self) {
            try await cluster.create(.configMaps, namespace: "x", object)
        }
        #expect(again?.isAlreadyExists == true)
    }

    @Test
    func mergesAndRemovesByNull() async throws {
        _ = try await cluster.create(.configMaps, namespace: "x", object)
        let patch: JSON = ["data": ["k": .null, "m": "n"]]
        let patched = try await cluster.patch(.configMaps, namespace: "x", name: "a", .merge(patch))
        #expect(patched["data"] == ["l": "w", "m": "n"])
        let removal = Patch(.json, [["op": "remove", "path": "/data/l"]])
        let removed = try await cluster.patch(.configMaps, namespace: "x", name: "a", removal)
        #expect(removed["data"] == ["m": "n"])
    }

    @Test
    func appliesWhatIsNotThere() async throws {
        let applied = try await cluster.patch(.configMaps, namespace: "x", name: "a", .apply(object))
        #expect(applied["metadata", "uid"] != nil)
        #expect(cluster.all(.configMaps).count == 1)
    }

    @Test
    func keepsStatusAndSpecificationApart() async throws {
        var deployment = try await cluster.create(
            .deployments,
            namespace: "x",
            ["metadata": ["name": "a", "namespace": "x"], "spec": ["replicas": 1]]
        )
        deployment["status"] = ["replicas": 9]
        deployment["spec", "replicas"] = 2
        deployment = try await cluster.update(.deployments, deployment)
        #expect(deployment["status"] == nil)
        #expect(AnyObjectView(deployment).generation == 2)
        deployment["status"] = ["replicas": 9]
        deployment["spec", "replicas"] = 3
        deployment = try await cluster.update(.deployments, deployment, subresource: "status")
        #expect(deployment["status", "replicas"] == 9)
        #expect(deployment["spec", "replicas"] == 2)
        #expect(AnyObjectView(deployment).generation == 2)
    }

    @Test
    func deletesPodsAtOnceOnlyWithoutANode() async throws {
        for name in ["free", "bound"] {
            _ = try await cluster.create(
                .pods,
                namespace: "x",
                ["metadata": ["name": .string(name), "namespace": "x"]]
            )
        }
        let binding: JSON = ["target": ["name": "n"]]
        _ = try await cluster.post(.pods, namespace: "x", name: "bound", subresource: "binding", binding)
        for name in ["free", "bound"] { _ = try await cluster.delete(.pods, namespace: "x", name: name) }
        #expect(cluster.all(.pods).map { AnyObjectView($0).name } == ["bound"])
        #expect(cluster.all(.pods)[0]["metadata", "deletionGracePeriodSeconds"] == 30)
        let force = DeleteOptions(gracePeriodSeconds: 0)
        _ = try await cluster.delete(.pods, namespace: "x", name: "bound", options: force)
        #expect(cluster.all(.pods).isEmpty)
    }

    @Test
    func waitsForFinalizers() async throws {
        var held = object
        held["metadata", "finalizers"] = ["example.com/hold"]
        _ = try await cluster.create(.configMaps, namespace: "x", held)
        _ = try await cluster.delete(.configMaps, namespace: "x", name: "a")
        #expect(AnyObjectView(try #require(cluster.find(.configMaps, namespace: "x", name: "a"))).isBeingDeleted)
        let release: JSON = ["metadata": ["finalizers": .null]]
        _ = try await cluster.patch(.configMaps, namespace: "x", name: "a", .merge(release))
        #expect(cluster.all(.configMaps).isEmpty)
    }
}
