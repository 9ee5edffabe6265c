import KubernetesClient
import KubernetesModel
import Logging
import TestKit
import Testing

struct InformerTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// Runs `informer` while `body` runs.
    private func following(_ informer: Informer, _ body: () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await informer.run() }
            try await body()
            group.cancelAll()
        }
    }

    private func configMap(_ name: String, namespace: String = "default", value: String = "a") -> JSON {
        ["metadata": ["name": .string(name), "namespace": .string(namespace)], "data": ["key": .string(value)]]
    }

    @Test
    func holdsWhatTheClusterHolds() async throws {
        let cluster = MemoryCluster([(.configMaps, configMap("one")), (.configMaps, configMap("two", namespace: "x"))])
        let informer = Informer(cluster, .configMaps, logger: logger)
        informer.addIndex("value") { [$0["data", "key"]?.string ?? ""] }
        #expect(!informer.isSynced)
        try await following(informer) {
            try await informer.waitUntilSynced()
            #expect(informer.snapshot().count == 2)
            #expect(informer.list(namespace: "x").count == 1)
            _ = try await cluster.create(.configMaps, namespace: "x", configMap("three", namespace: "x", value: "b"))
            try await waitUntil("three arrives") { informer.get(namespace: "x", name: "three") != nil }
            #expect(informer.indexed("value", "b").count == 1)
            #expect(informer.indexed("value", "a").count == 2)
            _ = try await cluster.delete(.configMaps, namespace: "default", name: "one")
            try await waitUntil("one goes") { informer.get(namespace: "default", name: "one") == nil }
            #expect(informer.indexed("value", "a").count == 1)
            #expect(informer.list(namespace: "default").isEmpty)
        }
    }

    @Test
    func tellsOfChangesInOrder() async throws {
        let cluster = MemoryCluster([(.configMaps, configMap("a", value: "0"))])
        let informer = Informer(cluster, .configMaps, logger: logger)
        let told = Shared<[String]>([])
        informer.onChange { old, new in
            let values = [old, new].map { $0?["data", "key"]?.string ?? "-" }
            told.change { $0.append(values.joined(separator: ">")) }
        }
        try await following(informer) {
            try await informer.waitUntilSynced()
            try await waitUntil("the watch stands") { cluster.watcherCount == 1 }
            for value in ["1", "2", "3"] { cluster.put(.configMaps, configMap("a", value: value)) }
            cluster.remove(.configMaps, namespace: "default", name: "a")
            try await waitUntil("all is told") { told.value.count == 5 }
        }
        #expect(told.value == ["->0", "0>1", "1>2", "2>3", "3>-"])
    }

    @Test
    func missesNothingWhileTheWatchIsBroken() async throws {
        let cluster = MemoryCluster([(.configMaps, configMap("a"))])
        let informer = Informer(cluster, .configMaps, logger: logger)
        try await following(informer) {
            try await waitUntil("the watch stands") { cluster.watcherCount == 1 }
            cluster.breakWatches(with: StatusError.internalError("broken"))
            cluster.put(.configMaps, configMap("b"))
            cluster.remove(.configMaps, namespace: "default", name: "a")
            try await waitUntil("b is there") { informer.get(namespace: "default", name: "b") != nil }
            try await waitUntil("a is gone") { informer.get(namespace: "default", name: "a") == nil }
        }
        #expect(cluster.requests.filter { $0.verb == .list }.count == 1)
    }

    @Test
    func tellsWhetherItHearsTheCluster() async throws {
        let cluster = MemoryCluster([(.configMaps, configMap("a"))])
        let informer = Informer(cluster, .configMaps, logger: logger)
        let told = Shared<[Bool]>([])
        informer.onHearing { hears in told.change { $0.append(hears) } }
        try await following(informer) {
            try await waitUntil("the watch stands") { informer.hearsCluster }
            cluster.breakWatches(with: StatusError.internalError("broken"))
            try await waitUntil("the watch stands again") { told.value.count == 4 }
            #expect(informer.hearsCluster)
        }
        #expect(told.value.prefix(4) == [false, true, false, true])
    }

    @Test
    func listsAgainWhenItsVersionIsGone() async throws {
        let cluster = MemoryCluster([(.configMaps, configMap("a"))])
        let informer = Informer(cluster, .configMaps, logger: logger)
        let deleted = Shared<[String]>([])
        informer.onChange { old, new in
            if new == nil, let old { deleted.change { $0.append(AnyObjectView(old).name) } }
        }
        try await following(informer) {
            try await waitUntil("the watch stands") { cluster.watcherCount == 1 }
            cluster.breakWatches()
            cluster.remove(.configMaps, namespace: "default", name: "a")
            cluster.put(.configMaps, configMap("b"))
            cluster.compact()
            try await waitUntil("b is there") { informer.get(namespace: "default", name: "b") != nil }
        }
        #expect(deleted.value == ["a"])
        #expect(cluster.requests.filter { $0.verb == .list }.count == 2)
    }

    @Test
    func resumesAtTheLastBookmark() async throws {
        let cluster = MemoryCluster([(.configMaps, configMap("a"))])
        let informer = Informer(cluster, .configMaps, logger: logger)
        try await following(informer) {
            try await waitUntil("the watch stands") { cluster.watcherCount == 1 }
            cluster.compact()
            cluster.sendBookmarks()
            cluster.breakWatches()
            try await waitUntil("the watch stands again") { cluster.watcherCount == 1 }
        }
        #expect(cluster.requests.filter { $0.verb == .list }.count == 1)
    }

    @Test
    func triesUntilTheClusterAnswers() async throws {
        let cluster = MemoryCluster([(.configMaps, configMap("a"))])
        cluster.fail(.list, .configMaps, with: .unavailable("starting"), times: 2)
        let informer = Informer(cluster, .configMaps, logger: logger)
        try await following(informer) {
            try await informer.waitUntilSynced()
        }
        #expect(informer.snapshot().count == 1)
    }

    @Test
    func selectsByLabelsAndFields() async throws {
        let cluster = MemoryCluster()
        for (name, node) in [("a", "n1"), ("b", "n2")] {
            cluster.put(
                .pods,
                ["metadata": ["name": .string(name), "namespace": "x"], "spec": ["nodeName": .string(node)]]
            )
        }
        let informer = Informer(cluster, .pods, fieldSelector: "spec.nodeName=n1", logger: logger)
        try await following(informer) {
            try await informer.waitUntilSynced()
            #expect(informer.snapshot().map { AnyObjectView($0).name } == ["a"])
            try await waitUntil("the watch stands") { cluster.watcherCount == 1 }
            cluster.modify(.pods, namespace: "x", name: "a") { $0["spec", "nodeName"] = "n2" }
            cluster.modify(.pods, namespace: "x", name: "b") { $0["spec", "nodeName"] = "n1" }
            try await waitUntil("b replaces a") { informer.snapshot().map { AnyObjectView($0).name } == ["b"] }
        }
    }

    @Test
    func waitingEndsWithTheTask() async throws {
        let informer = Informer(MemoryCluster(), .pods, logger: logger)
        await withTaskGroup(of: Bool.self) { group in
            group.addTask { (try? await informer.waitUntilSynced()) == nil }
            group.cancelAll()
            #expect(await group.next() == true)
        }
    }
}
