import KubernetesModel

/// What the log amounts to: the current objects, the recent history, and who watches. Pure: no clock, no I/O.
struct StoreState {
    /// How much history is kept for watches that start in the past and lists that continue.
    struct Retention: Sendable {
        var revisions = 10_000
        var age: Duration = .seconds(300)
    }

    typealias Observer = @Sendable (StoreEvent, JSON) -> Void

    private struct HistoryEntry {
        let event: StoreEvent
        let writtenAt: ContinuousClock.Instant
    }

    /// The newest revision.
    private(set) var revision: Int64
    /// The newest revision whose event is no longer in the history.
    private(set) var forgotten: Int64
    private var collections: [String: StoredCollection] = [:]
    /// Revisions follow each other without a gap, so an entry's place is its revision less the oldest one.
    private var history: [HistoryEntry] = []
    private var watchers: [String: [Int: Watcher]] = [:]
    private var nextWatcherID = 0
    private var observers: [String: [Observer]] = [:]

    init(compactedRevision: Int64 = 0) {
        revision = compactedRevision
        forgotten = compactedRevision
    }

    func object(_ key: StoreKey) -> StoredObject? { collections[key.collection]?[key] }

    func objectCount(_ collection: String) -> Int { collections[collection]?.count ?? 0 }

    var historyCount: Int { history.count }

    var watcherCount: Int { watchers.values.reduce(0) { $0 + $1.count } }

    /// The objects of a collection in ascending order of namespace and name.
    mutating func objects(_ collection: String, namespace: String?) -> [StoredObject] {
        collections[collection]?.objects(namespace: namespace) ?? []
    }

    /// The objects as they were right after `past`.
    mutating func objects(
        _ collection: String,
        namespace: String?,
        at past: Int64
    ) throws(StoreError)
        -> [StoredObject]
    {
        var changed: [StoreKey: StoredObject?] = [:]
        for event in try events(after: past).reversed() where event.object.key.collection == collection {
            guard namespace == nil || event.object.key.namespace == namespace else { continue }
            changed[event.object.key] = .some(event.previous)
        }
        let present = objects(collection, namespace: namespace)
        guard !changed.isEmpty else { return present }
        let untouched = present.filter { changed[$0.key] == nil }
        return (untouched + changed.values.compactMap { $0 }).sorted(by: StoredCollection.isOrderedBefore)
    }

    /// The events after `past`, oldest first.
    func events(after past: Int64) throws(StoreError) -> [StoreEvent] {
        guard past <= revision else { throw .fromTheFuture(current: revision) }
        guard past >= forgotten else { throw .expired(oldest: forgotten) }
        return history[Int(past - forgotten)...].map(\.event)
    }
}

// MARK: - Writing

extension StoreState {
    /// Takes over a row of the log at start-up. Rows up to the compacted revision are state, later ones are history too.
    mutating func restore(_ event: StoreEvent, at now: ContinuousClock.Instant) {
        apply(event, at: now)
    }

    /// Takes over events that are durable, in the order of their revisions, and tells the watchers.
    ///
    /// - Returns: The watchers that were too slow; the caller must end them after it gave up its lock.
    mutating func publish(_ changes: [(event: StoreEvent, object: JSON)], at now: ContinuousClock.Instant) -> [Watcher]
    {
        var tooSlow: [Watcher] = []
        for change in changes {
            apply(change.event, at: now)
            for observer in observers[change.event.object.key.collection] ?? [] {
                observer(change.event, change.object)
            }
            tooSlow += notifyWatchers(of: change.event, object: change.object)
        }
        return tooSlow
    }

    private mutating func apply(_ event: StoreEvent, at now: ContinuousClock.Instant) {
        let key = event.object.key
        collections[key.collection, default: StoredCollection()][key] = event.isDeletion ? nil : event.object
        guard event.revision > revision else { return }
        precondition(event.revision == revision + 1, "Revisions must follow each other without a gap.")
        revision = event.revision
        history.append(HistoryEntry(event: event, writtenAt: now))
    }

    /// Forgets history beyond `retention`.
    ///
    /// - Returns: The newest revision that was forgotten, when there is one more than before.
    mutating func trimHistory(_ retention: Retention, at now: ContinuousClock.Instant) -> Int64? {
        let tooMany = max(0, history.count - retention.revisions)
        let tooOld = history.firstIndex { now - $0.writtenAt <= retention.age } ?? history.count
        let count = max(tooMany, tooOld)
        guard count > 0 else { return nil }
        history.removeFirst(count)
        forgotten += Int64(count)
        return forgotten
    }
}

// MARK: - Watching

extension StoreState {
    /// Registers `watcher` and gives it what it must see first: the present objects when `start` is `nil`, else the events after it.
    mutating func addWatcher(
        _ watcher: Watcher,
        from start: Int64?
    ) throws(StoreError) -> (id: Int, first: [StoreEvent]) {
        let first: [StoreEvent]
        if let start {
            first = try events(after: start)
        } else {
            let present = objects(watcher.filter.collection, namespace: watcher.filter.namespace)
            first = present.map { StoreEvent(object: $0, previous: nil, isDeletion: false) }
        }
        nextWatcherID += 1
        watchers[watcher.filter.collection, default: [:]][nextWatcherID] = watcher
        return (nextWatcherID, first)
    }

    mutating func addObserver(of collection: String, _ observer: @escaping Observer) {
        for object in objects(collection, namespace: nil) {
            guard let json = try? object.json() else { continue }
            observer(StoreEvent(object: object, previous: nil, isDeletion: false), json)
        }
        observers[collection, default: []].append(observer)
    }

    mutating func removeWatcher(_ id: Int, collection: String) {
        watchers[collection]?[id] = nil
    }

    mutating func removeAllWatchers() -> [Watcher] {
        defer { watchers = [:] }
        return watchers.values.flatMap(\.values)
    }

    /// Tells watchers that ask for bookmarks that nothing up to now is outstanding.
    mutating func sendBookmarks() -> [Watcher] {
        var tooSlow: [Watcher] = []
        for (collection, members) in watchers {
            for (id, watcher) in members where watcher.wantsBookmarks {
                guard !watcher.deliver(.bookmark(revision)) else { continue }
                watchers[collection]?[id] = nil
                tooSlow.append(watcher)
            }
        }
        return tooSlow
    }

    private mutating func notifyWatchers(of event: StoreEvent, object: JSON) -> [Watcher] {
        let collection = event.object.key.collection
        guard let members = watchers[collection] else { return [] }
        var tooSlow: [Watcher] = []
        for (id, watcher) in members {
            guard let notification = watcher.filter.notification(of: event, object: object) else { continue }
            guard !watcher.deliver(notification) else { continue }
            watchers[collection]?[id] = nil
            tooSlow.append(watcher)
        }
        return tooSlow
    }
}
