import Foundation
import KubernetesModel
import Logging
import Synchronization
import TestKit
import Testing

@testable import APIServer

struct ObjectStoreTests {
    enum Kind: CaseIterable { case memory, sqlite }

    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// Runs `body` with a way to open the same log again and again.
    private func withLog(_ kind: Kind, _ body: (() throws -> any RevisionLog) async throws -> Void) async throws {
        let path = FileManager.default.temporaryDirectory.path + "/sampan-store-\(UUID().uuidString)"
        defer { for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) } }
        let memory: any RevisionLog = MemoryLog()
        try await body { kind == .memory ? memory : try SQLiteLog(path: path) }
    }

    private func open(_ log: any RevisionLog, _ retention: StoreState.Retention = .init()) throws -> ObjectStore {
        try ObjectStore(log: log, retention: retention, logger: Self.logger)
    }

    private func key(_ name: String) -> StoreKey {
        StoreKey(collection: "configmaps", namespace: "default", name: name)
    }

    private func value(_ name: String, _ text: String) -> JSON {
        ["metadata": ["name": .string(name), "uid": .string("uid-\(name)")], "data": ["v": .string(text)]]
    }

    @Test(arguments: Kind.allCases) func findsEverythingAfterReopening(_ kind: Kind) async throws {
        try await withLog(kind) { log in
            let store = try open(log())
            _ = try await store.commit(.create(key("a"), value("a", "1")))
            _ = try await store.commit(.create(key("b"), value("b", "1")))
            _ = try await store.commit(.replace(#require(store.object(key("a"))), with: value("a", "2")))
            let last = try #require(store.object(key("b")))
            _ = try await store.commit(.delete(last, last: last.json()))
            // Not closed: this is how a process that was killed leaves its log.
            let again = try open(log())
            #expect(again.revision == 4)
            #expect(try again.object(key("a"))?.json()["data", "v"] == "2")
            #expect(try again.object(key("a"))?.json()["metadata", "resourceVersion"] == "3")
            #expect(again.object(key("b")) == nil)
            #expect(try again.objects("configmaps", at: 2).objects.map(\.key.name) == ["a", "b"])
            try await store.close()
            try await again.close()
        }
    }

    @Test(arguments: Kind.allCases) func letsOneOfManyWritersWin(_ kind: Kind) async throws {
        try await withLog(kind) { log in
            let store = try open(log())
            _ = try await store.commit(.create(key("a"), value("a", "0")))
            let current = try #require(store.object(key("a")))
            let winners = await withTaskGroup(of: Bool.self) { group in
                for index in 0..<50 {
                    group.addTask {
                        let mutation = Mutation.replace(current, with: self.value("a", "\(index)"))
                        return (try? await store.commit(mutation)) != nil
                    }
                }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(winners == 1)
            #expect(store.revision == 2)
            try await store.close()
        }
    }

    @Test(arguments: Kind.allCases) func tellsWatchersInTheOrderOfCommits(_ kind: Kind) async throws {
        try await withLog(kind) { log in
            let store = try open(log())
            let seen = Mutex<[Int64]>([])
            let stop = try store.watch(
                from: 0,
                watcher { notification in
                    if case .added(let object, _) = notification { seen.withLock { $0.append(object.revision) } }
                    return true
                }
            )
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<200 {
                    group.addTask {
                        _ = try await store.commit(.create(self.key("n\(index)"), self.value("n\(index)", "")))
                    }
                }
                try await group.waitForAll()
            }
            #expect(seen.withLock { $0 } == Array(1...200))
            stop()
            try await store.close()
        }
    }

    @Test(arguments: Kind.allCases) func forgetsHistoryButNoObject(_ kind: Kind) async throws {
        try await withLog(kind) { log in
            let retention = StoreState.Retention(revisions: 3, age: .seconds(300))
            let store = try open(log(), retention)
            for index in 0..<10 {
                _ = try await store.commit(.create(key("n\(index)"), value("n\(index)", "")))
            }
            let gone = try #require(store.object(key("n0")))
            _ = try await store.commit(.delete(gone, last: gone.json()))
            try await store.compact()
            #expect(throws: StoreError.expired(oldest: 8)) { try store.watch(from: 7, watcher { _ in true }) }
            #expect(throws: StoreError.expired(oldest: 8)) { try store.objects("configmaps", at: 5) }
            _ = try store.watch(from: 8, watcher { _ in true })
            let again = try open(log(), retention)
            #expect(again.revision == 11)
            #expect(try again.objects("configmaps").objects.count == 9)
            #expect(throws: StoreError.expired(oldest: 8)) { try again.watch(from: 7, watcher { _ in true }) }
            try await store.close()
            try await again.close()
        }
    }

    @Test func endsAWatcherThatIsTooSlow() async throws {
        let store = try open(MemoryLog())
        let ended = Mutex<[String]>([])
        let slow = Watcher(
            filter: ObjectFilter(collection: "configmaps"),
            wantsBookmarks: false,
            deliver: { _ in false },
            end: { error in ended.withLock { $0.append("\((error as? StatusError)?.code ?? 0)") } }
        )
        _ = try store.watch(from: 0, slow)
        _ = try await store.commit(.create(key("a"), value("a", "")))
        _ = try await store.commit(.create(key("b"), value("b", "")))
        #expect(ended.withLock { $0 } == ["410"])
        try await store.close()
    }

    /// Cancelling a task holds the task's lock while its stream ends; publishing holds the store's while it feeds the stream.
    @Test func publishesWhileWatchersAreCancelled() async throws {
        let api = try await TestAPI()
        let definition = try api.service.definition(.configMaps)
        let isDone = Shared(false)
        let writer = Task.detached { @Sendable in
            var index = 0
            while !isDone.value {
                index += 1
                let map = Sample.configMap("m", data: ["v": "\(index)"])
                let key = StoreKey(collection: "configmaps", namespace: "default", name: "m")
                let current = api.service.store.object(key)
                _ = try await api.service.store.commit(
                    current.map { .replace($0, with: map) } ?? .create(key, map)
                )
            }
        }
        let watchers = Task.detached { @Sendable in
            for _ in 0..<500 {
                let watch = try api.service.watch(definition, namespace: nil, options: WatchOptions()) { $0 }
                let reader = Task { for try await _ in watch.events {} }
                await Task.yield()
                reader.cancel()
                _ = await reader.result
            }
            isDone.change { $0 = true }
        }
        try await eventually(within: .seconds(60)) { isDone.value }
        try await watchers.value
        try await writer.value
        try await eventually { api.service.store.watcherCount == 0 }
    }

    @Test func tellsObserversBeforeTheWriterIsAnswered() async throws {
        let store = try open(MemoryLog())
        _ = try await store.commit(.create(key("a"), value("a", "1")))
        let seen = Mutex<[String]>([])
        store.observe("configmaps") { event, object in
            seen.withLock {
                $0.append("\(event.object.key.name)\(object["data", "v"]?.string ?? "")\(event.isDeletion)")
            }
        }
        #expect(seen.withLock { $0 } == ["a1false"])
        let last = try #require(store.object(key("a")))
        _ = try await store.commit(.replace(last, with: value("a", "2")))
        #expect(seen.withLock { $0 } == ["a1false", "a2false"])
        store.endWatches()
        let gone = try #require(store.object(key("a")))
        _ = try await store.commit(.delete(gone, last: gone.json()))
        #expect(seen.withLock { $0 } == ["a1false", "a2false", "a2true"])
        try await store.close()
    }

    @Test func refusesWritesWhenClosed() async throws {
        let store = try open(MemoryLog())
        try await store.close()
        await #expect(throws: StoreError.isClosed) {
            _ = try await store.commit(.create(key("a"), value("a", "")))
        }
    }

    @Test func changesNothingWhenTheLogFails() async throws {
        let store = try open(BrokenLog())
        await #expect(throws: StoreError.self) { _ = try await store.commit(.create(key("a"), value("a", ""))) }
        #expect(store.object(key("a")) == nil)
        #expect(store.revision == 0)
        try await store.close()
    }

    private func watcher(_ deliver: @escaping @Sendable (WatchNotification) -> Bool) -> Watcher {
        Watcher(
            filter: ObjectFilter(collection: "configmaps"),
            wantsBookmarks: false,
            deliver: deliver,
            end: { _ in }
        )
    }
}

/// A full disk.
private struct BrokenLog: RevisionLog {
    struct IsFull: Error {}

    func compactedRevision() -> Int64 { 0 }
    func forEachRow(_ body: (LogRow) throws -> Void) {}
    func append(_ rows: [LogRow]) throws { throw IsFull() }
    func replaceValues(_ rows: [LogRow]) {}
    func compact(through revision: Int64) {}
    func close() {}
}
