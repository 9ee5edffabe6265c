import KubernetesClient
import KubernetesModel
import TestKit
import Testing

struct NamespaceControllerTests {
    @Test
    func emptiesANamespaceAndLetsItGo() async throws {
        try await withControllers { cluster in
            let namespace: JSON = ["metadata": ["name": "default"], "spec": ["finalizers": ["kubernetes"]]]
            _ = try await cluster.create(.namespaces, namespace: nil, namespace)
            try await waitUntil("it has its ServiceAccount") {
                cluster.find(.serviceAccounts, namespace: "default", name: "default") != nil
            }
            _ = try await cluster.create(.deployments, namespace: "default", .deployment("web", replicas: 2))
            _ = try await cluster.create(
                .configMaps,
                namespace: "default",
                ["metadata": ["name": "settings", "namespace": "default"]]
            )
            try await waitUntil("the rollout is done") { cluster.isRolledOut("web") }
            _ = try await cluster.delete(.namespaces, namespace: nil, name: "default")
            try await waitUntil("the namespace is gone") { cluster.all(.namespaces).isEmpty }
            for resource in [Resource.deployments, .replicaSets, .pods, .configMaps, .serviceAccounts] {
                #expect(cluster.all(resource).isEmpty, "\(resource.plural)")
            }
        }
    }

    @Test
    func restoresTheDefaultServiceAccount() async throws {
        try await withControllers { cluster in
            cluster.put(.namespaces, ["metadata": ["name": "shop"]])
            try await waitUntil("it is there") {
                cluster.find(.serviceAccounts, namespace: "shop", name: "default") != nil
            }
            _ = try await cluster.delete(.serviceAccounts, namespace: "shop", name: "default")
            try await waitUntil("it is there again") {
                cluster.find(.serviceAccounts, namespace: "shop", name: "default") != nil
            }
        }
    }
}
