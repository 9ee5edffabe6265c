import KubernetesClient
import KubernetesModel

/// How a watch starts and what it tells beside changes.
struct WatchOptions: Sendable {
    var list = ListOptions()
    var wantsBookmarks = true
    /// Marks the end of the initial events by a bookmark (`sendInitialEvents`).
    var marksInitialEvents = false
}

extension APIService {
    /// The most notifications that may wait for a watcher beside those that it starts with; a slower one is ended.
    static let watchBufferLimit = 16_384

    /// Starts a watch that hands each notification to `transform`'s result.
    ///
    /// The stream ends with a `StatusError` of 410 when its reader is too slow, and without an error when the server stops.
    func watch<Element: Sendable>(
        _ definition: ResourceDefinition,
        namespace: String?,
        options: WatchOptions,
        _ transform: @escaping @Sendable (WatchNotification) -> Element
    ) throws -> RunningWatch<Element> {
        let resource = definition.resource
        let filter = try filter(resource, namespace: namespace, options: options.list)
        let start = try revision(options.list.resourceVersion)
        let limit = Self.watchBufferLimit + store.objectCount(filter.collection)
        let (stream, continuation) = AsyncThrowingStream<Element, any Error>.makeStream(
            bufferingPolicy: .bufferingOldest(limit)
        )
        let watcher = Watcher(
            filter: filter,
            wantsBookmarks: options.wantsBookmarks,
            marksInitialEvents: options.marksInitialEvents,
            deliver: { notification in
                if case .enqueued = continuation.yield(transform(notification.served(as: definition))) {
                    true
                } else {
                    false
                }
            },
            end: { error in continuation.finish(throwing: error) }
        )
        do {
            let unregister = try store.watch(from: start, watcher)
            continuation.onTermination = { _ in unregister() }
        } catch {
            throw StatusError(error, resource, "")
        }
        return RunningWatch(events: stream) { continuation.finish() }
    }
}

/// A watch that goes on until its stream is dropped or it is ended.
struct RunningWatch<Element: Sendable>: Sendable {
    let events: AsyncThrowingStream<Element, any Error>
    let end: @Sendable () -> Void
}
