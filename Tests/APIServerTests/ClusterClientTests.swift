import KubernetesClient
import KubernetesModel
import Logging
import Testing

@testable import APIServer

/// The same requests through both doors must have the same answers.
struct ClusterClientTests {
    enum Transport: CaseIterable {
        case inProcess, https

        func with(_ body: (any ClusterClient) async throws -> Void) async throws {
            switch self {
            case .inProcess: try await body(TestAPI().client)
            case .https:
                try await TestServer.with { server in
                    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
                    let client = try HTTPSClusterClient(ClusterAccess(kubeconfig: server.kubeconfig), logger: logger)
                    let result = await Result { try await body(client) }
                    try await client.shutdown()
                    try result.get()
                }
            }
        }
    }

    @Test(arguments: Transport.allCases) func writesAndReads(_ transport: Transport) async throws {
        try await transport.with { client in
            let created = try await client.create(.configMaps, namespace: "default", Sample.configMap("a"))
            #expect(try await client.get(.configMaps, namespace: "default", name: "a") == created)
            let patched = try await client.patch(
                .configMaps,
                namespace: "default",
                name: "a",
                .merge(["data": ["k": "v"]])
            )
            #expect(patched["data", "k"] == "v")
            let unchanged = try await client.update(.configMaps, patched)
            #expect(unchanged == patched, "the same content is no change")
            var stale = created
            stale["data"] = ["k": "w"]
            #expect(await statusError { _ = try await client.update(.configMaps, stale) }?.isConflict == true)
            _ = try await client.delete(.configMaps, namespace: "default", name: "a")
            #expect(try await client.find(.configMaps, namespace: "default", name: "a") == nil)
        }
    }

    @Test(arguments: Transport.allCases) func listsInPages(_ transport: Transport) async throws {
        try await transport.with { client in
            _ = try await client.create(.namespaces, ["metadata": ["name": "pages"]])
            for index in 0..<5 {
                let object = Sample.configMap("c\(index)", labels: ["odd": index % 2 == 1 ? "yes" : "no"])
                _ = try await client.create(.configMaps, namespace: "pages", object)
            }
            var options = ListOptions(labelSelector: "odd", limit: 2)
            var names: [String] = []
            let first = try await client.list(.configMaps, namespace: "pages", options: options)
            names += first.items.map { AnyObjectView($0).name }
            // What changes between the pages is not seen: all pages show one moment.
            _ = try await client.delete(.configMaps, namespace: "pages", name: "c3")
            var token = first.continueToken
            while !token.isEmpty {
                options.continueToken = token
                let page = try await client.list(.configMaps, namespace: "pages", options: options)
                #expect(page.resourceVersion == first.resourceVersion)
                names += page.items.map { AnyObjectView($0).name }
                token = page.continueToken
            }
            #expect(names == ["c0", "c1", "c2", "c3", "c4"])
            let odd = try await client.list(
                .configMaps,
                namespace: "pages",
                options: ListOptions(labelSelector: "odd=yes", fieldSelector: "metadata.name!=c3")
            )
            #expect(odd.items.map { AnyObjectView($0).name } == ["c1"])
        }
    }

    @Test(arguments: Transport.allCases) func watchesWhatASelectorSees(_ transport: Transport) async throws {
        try await transport.with { client in
            let start = try await client.list(.configMaps, namespace: "default").resourceVersion
            let watch = try await client.watch(
                .configMaps,
                namespace: "default",
                options: ListOptions(labelSelector: "app=a", resourceVersion: start)
            )
            _ = try await client.create(.configMaps, namespace: "default", Sample.configMap("x", labels: ["app": "a"]))
            _ = try await client.create(.configMaps, namespace: "default", Sample.configMap("y", labels: ["app": "b"]))
            let merge = { (name: String, labels: JSON) in
                try await client.patch(
                    .configMaps,
                    namespace: "default",
                    name: name,
                    .merge(["metadata": ["labels": labels]])
                )
            }
            _ = try await merge("y", ["app": "a"])
            _ = try await merge("x", ["note": "n"])
            _ = try await merge("x", ["app": "c"])
            _ = try await client.delete(.configMaps, namespace: "default", name: "y")
            let seen = try await watch.first(5).map(Self.summary)
            #expect(seen == ["added x", "added y", "modified x", "deleted x", "deleted y"])
        }
    }

    @Test(arguments: Transport.allCases) func keepsStatusAndSpecificationApart(_ transport: Transport) async throws {
        try await transport.with { client in
            let created = try await client.create(.deployments, namespace: "default", Sample.deployment("d"))
            #expect(AnyObjectView(created).generation == 1)
            var status = created
            status["status"] = ["replicas": 1, "observedGeneration": 1]
            status["spec", "replicas"] = 9
            let withStatus = try await client.update(.deployments, status, subresource: "status")
            #expect(withStatus["spec", "replicas"] == 1)
            #expect(withStatus["status", "replicas"] == 1)
            #expect(AnyObjectView(withStatus).generation == 1)
            var spec = withStatus
            spec["spec", "replicas"] = 3
            spec["status", "replicas"] = 7
            let withSpec = try await client.update(.deployments, spec)
            #expect(withSpec["status", "replicas"] == 1)
            #expect(AnyObjectView(withSpec).generation == 2)
            let scaled = try await client.patch(
                .deployments,
                namespace: "default",
                name: "d",
                subresource: "scale",
                .merge(["spec": ["replicas": 5]])
            )
            #expect(scaled["kind"] == "Scale")
            #expect(scaled["status", "selector"] == "app=d")
            #expect(try await client.get(.deployments, namespace: "default", name: "d")["spec", "replicas"] == 5)
        }
    }

    @Test(arguments: Transport.allCases) func bindsAndDeletesPods(_ transport: Transport) async throws {
        try await transport.with { client in
            let pod = try await client.create(.pods, namespace: "default", Sample.pod("p"))
            #expect(pod["status", "phase"] == "Pending")
            #expect(pod["status", "qosClass"] == "BestEffort")
            #expect(pod["spec", "serviceAccountName"] == "default")
            #expect(pod["spec", "volumes"]?.array?.first?["name"]?.string?.hasPrefix("kube-api-access-") == true)
            let binding: JSON = ["metadata": ["name": "p"], "target": ["kind": "Node", "name": "n1"]]
            _ = try await client.post(.pods, namespace: "default", name: "p", subresource: "binding", binding)
            let again = await statusError {
                _ = try await client.post(.pods, namespace: "default", name: "p", subresource: "binding", binding)
            }
            #expect(again?.isConflict == true)
            let bound = try await client.get(.pods, namespace: "default", name: "p")
            #expect(bound["spec", "nodeName"] == "n1")

            let going = try await client.delete(.pods, namespace: "default", name: "p")
            #expect(going["metadata", "deletionGracePeriodSeconds"] == 30)
            #expect(try await client.find(.pods, namespace: "default", name: "p") != nil)
            let now = DeleteOptions(gracePeriodSeconds: 0, uid: AnyObjectView(pod).uid)
            _ = try await client.delete(.pods, namespace: "default", name: "p", options: now)
            #expect(try await client.find(.pods, namespace: "default", name: "p") == nil)
        }
    }

    @Test(arguments: Transport.allCases) func appliesOnTheServer(_ transport: Transport) async throws {
        try await transport.with { client in
            let wanted: JSON = [
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "s"], "data": ["a": "1", "b": "2"],
            ]
            let apply = { (object: JSON, manager: String, force: Bool) in
                try await client.patch(
                    .configMaps,
                    namespace: "default",
                    name: "s",
                    subresource: nil,
                    .apply(object),
                    options: WriteOptions(fieldManager: manager, force: force)
                )
            }
            _ = try await apply(wanted, "one", false)
            var changed = wanted
            changed["data"] = ["a": "9"]
            let conflict = await statusError { _ = try await apply(changed, "two", false) }
            #expect(conflict?.code == 409)
            _ = try await apply(changed, "two", true)
            var fewer = wanted
            fewer["data"] = ["c": "3"]
            let last = try await apply(fewer, "one", false)
            #expect(last["data"] == ["a": "9", "c": "3"])
        }
    }

    private static func summary(_ event: WatchEvent) -> String {
        switch event {
        case .added(let object): "added \(AnyObjectView(object).name)"
        case .modified(let object): "modified \(AnyObjectView(object).name)"
        case .deleted(let object): "deleted \(AnyObjectView(object).name)"
        case .bookmark: "bookmark"
        }
    }
}

extension Result where Failure == any Error {
    init(_ body: () async throws -> Success) async {
        do {
            self = .success(try await body())
        } catch {
            self = .failure(error)
        }
    }
}
