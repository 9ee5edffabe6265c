import KubernetesModel

/// What a watcher is told.
enum WatchNotification: Sendable {
    case added(StoredObject, JSON)
    case modified(StoredObject, JSON)
    case deleted(StoredObject, JSON)
    case bookmark(Int64)
    /// A bookmark that follows the last of the objects that a watch starts with.
    case initialEventsEnd(Int64)
}

/// Selects objects of one collection.
struct ObjectFilter: Sendable {
    let collection: String
    /// All namespaces when `nil`.
    var namespace: String?
    /// The only name that `fields` can select, known apart so that others are passed over unparsed.
    var name: String?
    var labels = LabelSelector(matchLabels: [:])
    /// Everything when `nil`.
    var fields: FieldSelector?

    /// `object` is the parsed form of `stored`, asked for only when a field decides.
    func matches(_ stored: StoredObject, _ object: @autoclosure () throws -> JSON) rethrows -> Bool {
        guard namespace == nil || stored.key.namespace == namespace, name == nil || stored.key.name == name else {
            return false
        }
        guard labels.matches(stored.labels) else { return false }
        guard let fields else { return true }
        return try fields.matches(object())
    }

    /// What `event` is to a watcher of the selected objects: one that starts to match is added, one that stops to is deleted.
    func notification(of event: StoreEvent, object: JSON) -> WatchNotification? {
        let matchedBefore = event.previous.map { previous in
            matches(previous, (try? previous.json()) ?? .null)
        }
        let matchesNow = !event.isDeletion && matches(event.object, object)
        switch (matchedBefore ?? false, matchesNow) {
        case (false, true): return .added(event.object, object)
        case (true, true): return .modified(event.object, object)
        case (true, false): return .deleted(event.object, object)
        case (false, false): return nil
        }
    }
}

/// One registered watch.
struct Watcher: Sendable {
    let filter: ObjectFilter
    let wantsBookmarks: Bool
    var marksInitialEvents = false
    /// Hands a notification over without waiting; `false` when the watcher's buffer is full, which ends the watch.
    ///
    /// Called under the store's lock: it must be quick and must not call the store.
    let deliver: @Sendable (WatchNotification) -> Bool
    /// Ends the watch: with an error, or as the server stops.
    let end: @Sendable ((any Error)?) -> Void
}
