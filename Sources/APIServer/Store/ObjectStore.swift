import KubernetesModel
import Logging
import NIOPosix
import Synchronization

/// All objects of the cluster: durable in a log, current in memory, published to watchers in the order of their commits.
///
/// One writer makes everything that waits durable in one transaction (group commit), then updates the memory, tells the watchers and
/// answers the callers, so whoever was answered finds the write after any crash. Reads never wait for writes.
final class ObjectStore: Sendable {
    /// The most writes that may wait; more are refused.
    static let maximumPendingWrites = 10_000

    private struct PendingWrite {
        let mutation: Mutation
        let continuation: CheckedContinuation<JSON, any Error>
    }

    private struct Queue {
        var writes: [PendingWrite] = []
        var isDraining = false
        var isClosed = false
    }

    private let log: any RevisionLog
    private let retention: StoreState.Retention
    private let state: Mutex<StoreState>
    private let queue = Mutex(Queue())
    private let writer = NIOThreadPool(numberOfThreads: 1)
    private let logger: Logger

    /// Reads the whole log. Blocks.
    init(log: any RevisionLog, retention: StoreState.Retention = .init(), logger: Logger) throws {
        self.log = log
        self.retention = retention
        self.logger = logger
        state = Mutex(try Self.restore(log))
        writer.start()
    }

    // MARK: - Reading

    var revision: Int64 { state.withLock(\.revision) }

    func objectCount(_ collection: String) -> Int { state.withLock { $0.objectCount(collection) } }

    var watcherCount: Int { state.withLock(\.watcherCount) }

    func object(_ key: StoreKey) -> StoredObject? { state.withLock { $0.object(key) } }

    /// The objects of a collection in ascending order of namespace and name, and the revision at which they are so: the newest one,
    /// or `past` when it is given.
    func objects(
        _ collection: String,
        namespace: String? = nil,
        at past: Int64? = nil
    ) throws(StoreError)
        -> (objects: [StoredObject], revision: Int64)
    {
        try state.withLock { state throws(StoreError) in
            guard let past else { return (state.objects(collection, namespace: namespace), state.revision) }
            return (try state.objects(collection, namespace: namespace, at: past), past)
        }
    }

    // MARK: - Writing

    /// Makes the change durable and answers with the object as written.
    func commit(_ mutation: Mutation) async throws -> JSON {
        try await withCheckedThrowingContinuation { continuation in
            enqueue(PendingWrite(mutation: mutation, continuation: continuation))
        }
    }

    /// Forgets history beyond the retention and the rows that only it needed.
    @concurrent
    func compact() async throws {
        let now = ContinuousClock.now
        guard let forgotten = state.withLock({ $0.trimHistory(retention, at: now) }) else { return }
        try await writer.runIfActive { [log] in try log.compact(through: forgotten) }
    }

    /// Refuses further writes, finishes those that wait, ends all watches and closes the log.
    func close() async throws {
        let wasClosed = queue.withLock { queue in
            defer { queue.isClosed = true }
            return queue.isClosed
        }
        guard !wasClosed else { return }
        endWatches()
        try await writer.runIfActive { [log] in try log.close() }
        try await writer.shutdownGracefully()
    }

    // MARK: - Watching

    /// Starts a watch: with the present objects when `start` is `nil`, else with the events after that revision. What comes first is
    /// delivered before this returns.
    ///
    /// - Returns: A function that ends the registration, to be called when the watcher goes away.
    func watch(from start: Int64?, _ watcher: Watcher) throws(StoreError) -> @Sendable () -> Void {
        let id = try state.withLock { state throws(StoreError) in
            let (id, first) = try state.addWatcher(watcher, from: start)
            for event in first where event.object.key.collection == watcher.filter.collection {
                guard let object = try? event.object.json() else { continue }
                guard let notification = watcher.filter.notification(of: event, object: object) else { continue }
                _ = watcher.deliver(notification)
            }
            if watcher.marksInitialEvents { _ = watcher.deliver(.initialEventsEnd(state.revision)) }
            return id
        }
        // Not here: a task that is cancelled calls this under its own lock, for which the writer may wait while it tells watchers.
        return { [weak self] in
            self?.writer.submit { [weak self] state in
                guard case .active = state else { return }
                self?.state.withLock { $0.removeWatcher(id, collection: watcher.filter.collection) }
            }
        }
    }

    /// Calls `body` with every present object of a collection, and from then on with each change before whoever made it is answered.
    ///
    /// Called under the store's lock, and for as long as the store lives: `body` must be quick and must not call the store.
    func observe(_ collection: String, _ body: @escaping StoreState.Observer) {
        state.withLock { $0.addObserver(of: collection, body) }
    }

    func sendBookmarks() {
        end(state.withLock { $0.sendBookmarks() })
    }

    /// Ends all watches as a stopping server does; clients then watch again elsewhere or later.
    func endWatches() {
        for watcher in state.withLock({ $0.removeAllWatchers() }) { watcher.end(nil) }
    }
}

// MARK: - The writer

extension ObjectStore {
    private func enqueue(_ write: PendingWrite) {
        let refusal: StoreError? = queue.withLock { queue in
            if queue.isClosed { return .isClosed }
            if queue.writes.count >= Self.maximumPendingWrites { return .overloaded }
            queue.writes.append(write)
            guard !queue.isDraining else { return nil }
            queue.isDraining = true
            writer.submit { _ in self.drain() }
            return nil
        }
        if let refusal { write.continuation.resume(throwing: refusal) }
    }

    private func drain() {
        while true {
            let batch = queue.withLock { queue in
                defer { queue.writes = [] }
                queue.isDraining = !queue.writes.isEmpty
                return queue.writes
            }
            guard !batch.isEmpty else { return }
            write(batch)
        }
    }

    /// Decides, makes durable, publishes, answers: in this order.
    private func write(_ batch: [PendingWrite]) {
        let outcomes = decide(batch.map(\.mutation))
        let changes = outcomes.compactMap { try? $0.get() }
        do {
            if !changes.isEmpty { try log.append(changes.map { LogRow($0.event) }) }
        } catch {
            logger.error("the store could not be written", metadata: ["error": "\(error)"])
            let failure = error as? StoreError ?? .writeFailed("\(error)")
            for write in batch { write.continuation.resume(throwing: failure) }
            return
        }
        end(state.withLock { $0.publish(changes, at: .now) })
        for (write, outcome) in zip(batch, outcomes) {
            write.continuation.resume(with: outcome.map(\.object).mapError { $0 })
        }
        forgetExcess()
    }

    /// Keeps the history within its bound under load, between the calls of `compact`.
    private func forgetExcess() {
        let excess = state.withLock { state -> Int64? in
            guard state.historyCount > retention.revisions * 2 else { return nil }
            return state.trimHistory(retention, at: .now)
        }
        guard let excess else { return }
        do {
            try log.compact(through: excess)
        } catch {
            logger.warning("the store could not be compacted", metadata: ["error": "\(error)"])
        }
    }

    private func decide(_ mutations: [Mutation]) -> [Result<(event: StoreEvent, object: JSON), StoreError>] {
        var revision = self.revision
        var written: [StoreKey: StoredObject?] = [:]
        return mutations.map { mutation in
            let current = written[mutation.key] ?? object(mutation.key)
            switch (mutation.precondition, current) {
            case (.isAbsent, .some): return .failure(.alreadyExists)
            case (.isAtRevision(let expected), _) where current?.revision != expected: return .failure(.modified)
            default: break
            }
            revision += 1
            var object = mutation.object
            let stored = StoredObject(key: mutation.key, revision: revision, object: &object)
            written[mutation.key] = .some(mutation.isDeletion ? nil : stored)
            let event = StoreEvent(object: stored, previous: current, isDeletion: mutation.isDeletion)
            return .success((event, object))
        }
    }

    private func end(_ tooSlow: [Watcher]) {
        for watcher in tooSlow {
            logger.info("a watcher was too slow", metadata: ["collection": "\(watcher.filter.collection)"])
            watcher.end(StatusError.expired("the watcher could not keep up: list again"))
        }
    }

    private static func restore(_ log: any RevisionLog) throws -> StoreState {
        var state = StoreState(compactedRevision: try log.compactedRevision())
        let now = ContinuousClock.now
        try log.forEachRow { row in
            let event = StoreEvent(
                object: try StoredObject(key: row.key, revision: row.revision, bytes: row.value),
                previous: state.object(row.key),
                isDeletion: row.isDeletion
            )
            state.restore(event, at: now)
        }
        return state
    }
}

extension LogRow {
    init(_ event: StoreEvent) {
        self.init(
            revision: event.revision,
            key: event.object.key,
            uid: event.object.uid,
            isDeletion: event.isDeletion,
            value: event.object.bytes
        )
    }
}
