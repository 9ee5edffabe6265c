import KubernetesClient
import KubernetesModel
import Testing

@testable import APIServer

struct InProcessClientTests {
    @Test func startsWithTheNamespacesAndTheKubernetesService() async throws {
        let client = try await TestAPI().client
        let names = try await client.list(.namespaces).items.map { AnyObjectView($0).name }
        #expect(names == ["default", "kube-node-lease", "kube-public", "kube-system", "sampan-system"])
        let service = try await client.get(.services, namespace: "default", name: "kubernetes")
        #expect(service["spec", "clusterIP"] == "10.43.0.1")
        let bundle = try await client.get(.configMaps, namespace: "kube-system", name: "kube-root-ca.crt")
        #expect(bundle["data", "ca.crt"] == "test authority")
    }

    /// The controller that publishes the authority sees a namespace before its own creation is answered.
    @Test func aNamespaceIsMadeThoughAControllerFillsItAtTheSameTime() async throws {
        let client = try await TestAPI().client
        let events = try await client.watch(.namespaces, namespace: nil, options: ListOptions())
        let controller = Task {
            for try await event in events {
                guard case .added(let namespace) = event else { continue }
                _ = try? await client.create(
                    .configMaps,
                    namespace: AnyObjectView(namespace).name,
                    Sample.configMap("kube-root-ca.crt")
                )
            }
        }
        defer { controller.cancel() }
        for number in 0..<200 {
            _ = try await client.create(.namespaces, ["metadata": ["name": .string("n-\(number)")]])
        }
        let bundles = try await client.list(.configMaps).items
        #expect(bundles.count >= 200)
    }

    @Test func createsReadsReplacesAndDeletes() async throws {
        let client = try await TestAPI().client
        let created = try await client.create(
            .configMaps,
            namespace: "default",
            Sample.configMap("a", data: ["k": "1"])
        )
        #expect(created["kind"] == "ConfigMap")
        #expect(created["metadata", "creationTimestamp"] == "2027-01-15T08:00:00Z")
        #expect(try await client.get(.configMaps, namespace: "default", name: "a") == created)

        var changed = created
        changed["data", "k"] = "2"
        let updated = try await client.update(.configMaps, changed)
        #expect(updated["data", "k"] == "2")
        #expect(AnyObjectView(updated).uid == AnyObjectView(created).uid)
        #expect(AnyObjectView(updated).resourceVersion != AnyObjectView(created).resourceVersion)

        _ = try await client.delete(.configMaps, namespace: "default", name: "a")
        #expect(try await client.find(.configMaps, namespace: "default", name: "a") == nil)
    }

    @Test func refusesAWriteOverAnotherOne() async throws {
        let client = try await TestAPI().client
        let first = try await client.create(.configMaps, namespace: "default", Sample.configMap("a"))
        var mine = first
        mine["data", "k"] = "mine"
        _ = try await client.update(.configMaps, mine)
        var theirs = first
        theirs["data", "k"] = "theirs"
        let error = await statusError { _ = try await client.update(.configMaps, theirs) }
        #expect(error?.isConflict == true)
        #expect(error?.message.contains("the object has been modified") == true)
    }

    @Test func writesNothingWhenNothingChanges() async throws {
        let client = try await TestAPI().client
        let created = try await client.create(
            .configMaps,
            namespace: "default",
            Sample.configMap("a", data: ["k": "1"])
        )
        let updated = try await client.update(.configMaps, created)
        #expect(AnyObjectView(updated).resourceVersion == AnyObjectView(created).resourceVersion)
    }

    @Test func generatesNames() async throws {
        let client = try await TestAPI().client
        let object: JSON = ["metadata": ["generateName": "job-"]]
        let created = try await client.create(.configMaps, namespace: "default", object)
        #expect(AnyObjectView(created).name.wholeMatch(of: /job-[a-z0-9]{5}/) != nil)
    }

    @Test func refusesWhatHasNoNamespace() async throws {
        let client = try await TestAPI().client
        let error = await statusError {
            _ = try await client.create(.configMaps, namespace: "absent", Sample.configMap("a"))
        }
        #expect(error?.message == "namespaces \"absent\" not found")
    }

    @Test func takesOnlyTheNewestOfTwoEqualNames() async throws {
        let client = try await TestAPI().client
        _ = try await client.create(.configMaps, namespace: "default", Sample.configMap("a"))
        let error = await statusError {
            _ = try await client.create(.configMaps, namespace: "default", Sample.configMap("a"))
        }
        #expect(error?.isAlreadyExists == true)
    }
}
