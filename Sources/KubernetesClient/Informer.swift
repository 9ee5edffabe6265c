package import KubernetesModel
package import Logging
import ServiceLifecycle
import Synchronization

/// Keeps the objects of one kind at hand: lists them, then watches, and tells of every change.
///
/// Reads are synchronous, from any thread, and never go to the cluster; they may lag behind it by the time an event takes. What was
/// read once stays readable while the cluster cannot be reached. Changes are told one at a time, in the order of the cluster, after
/// the store shows them; several changes of one object may be told as one.
///
///     let pods = Informer(client, .pods, logger: logger)
///     pods.onChange { old, new in queue.add(AnyObjectView(new ?? old!).key) }
///     // run `pods` as a service, then:
///     try await pods.waitUntilSynced()
package final class Informer: Service {
    /// Told about a change: `old` is `nil` for a new object, `new` is `nil` for one that is gone. Must return at once: add a key to a queue.
    package typealias ChangeHandler = @Sendable (_ old: JSON?, _ new: JSON?) -> Void
    /// Told whether the informer hears the cluster. Must return at once.
    package typealias HearingHandler = @Sendable (_ hearsCluster: Bool) -> Void

    package let resource: Resource
    private let client: any ClusterClient
    private let namespace: String?
    private let options: ListOptions
    private let clock: any Clock<Duration>
    private let logger: Logger
    private let state: Mutex<State>
    private let synced = Gate()

    private struct State {
        var store = ObjectStore()
        var handlers: [ChangeHandler] = []
        var hearsCluster = false
        var hearingHandlers: [HearingHandler] = []
    }

    /// - Parameters:
    ///   - namespace: all namespaces when `nil`
    ///   - labelSelector: in the syntax of `kubectl -l`
    ///   - fieldSelector: such as `spec.nodeName=a`
    package init(
        _ client: any ClusterClient,
        _ resource: Resource,
        namespace: String? = nil,
        labelSelector: String = "",
        fieldSelector: String = "",
        logger: Logger,
        clock: any Clock<Duration> = ContinuousClock()
    ) {
        self.client = client
        self.resource = resource
        self.namespace = namespace
        options = ListOptions(labelSelector: labelSelector, fieldSelector: fieldSelector)
        self.logger = logger
        self.clock = clock
        state = Mutex(State())
    }

    // MARK: Before it runs

    /// Calls `handler` for every change from now on; objects that are held already come first, as new ones.
    package func onChange(_ handler: @escaping ChangeHandler) {
        let held = state.withLock { state in
            state.handlers.append(handler)
            return Array(state.store.objects.values)
        }
        for object in held { handler(nil, object) }
    }

    /// Calls `handler` with ``hearsCluster`` now and whenever it changes.
    package func onHearing(_ handler: @escaping HearingHandler) {
        handler(
            state.withLock { state in
                state.hearingHandlers.append(handler)
                return state.hearsCluster
            }
        )
    }

    /// Lets ``indexed(_:_:)`` find objects by the values that `keys` gives.
    package func addIndex(_ name: String, keys: @escaping @Sendable (JSON) -> [String]) {
        state.withLock { $0.store.addIndex(name, keys: keys) }
    }

    // MARK: Reading

    /// All objects, in no order.
    package func snapshot() -> [JSON] {
        state.withLock { Array($0.store.objects.values) }
    }

    package func get(_ key: ObjectKey) -> JSON? {
        state.withLock { $0.store.objects[key] }
    }

    package func get(namespace: String = "", name: String) -> JSON? {
        get(ObjectKey(namespace: namespace, name: name))
    }

    /// The objects of a namespace, in no order.
    package func list(namespace: String) -> [JSON] {
        state.withLock { $0.store.objects(namespace: namespace) }
    }

    /// The objects for which the index `name` gave `value`, in no order.
    package func indexed(_ name: String, _ value: String) -> [JSON] {
        state.withLock { $0.store.objects(index: name, value) }
    }

    /// The first list was read completely.
    package var isSynced: Bool { synced.isOpen }

    /// A watch is open: what is read here lags by no more than the time that an event takes. Between two watches, which servers end now
    /// and then, it is `false` for a moment.
    package var hearsCluster: Bool { state.withLock(\.hearsCluster) }

    /// Returns once the first list was read and told to the handlers; throws when the task is cancelled.
    package func waitUntilSynced() async throws {
        try await synced.wait()
    }

    // MARK: Running

    /// Follows the cluster until graceful shutdown or cancellation. Failures are logged and tried again after 0.1 to 10 seconds.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await self.follow()
        }
    }

    private func follow() async {
        var backoff = Backoff()
        var version: String?
        while !Task.isCancelled {
            do {
                let start: String
                if let version { start = version } else { start = try await load() }
                version = start
                if try await watch(from: start, version: &version) { backoff.reset() }
            } catch is CancellationError {
                return
            } catch {
                if (error as? StatusError)?.isExpired == true { version = nil }
                logger.debug("Watch broke", metadata: ["resource": "\(resource.qualifiedName)", "error": "\(error)"])
            }
            try? await clock.sleep(for: backoff.next())
        }
    }

    /// Reads everything; answers with the version at which a watch continues.
    private func load() async throws -> String {
        var options = self.options
        var items: [JSON] = []
        var list: ObjectList
        repeat {
            list = try await client.list(resource, namespace: namespace, options: options)
            items += list.items
            options.continueToken = list.continueToken
        } while !list.continueToken.isEmpty
        tell { $0.replaceAll(with: items) }
        synced.open()
        return list.resourceVersion
    }

    /// Takes in events until the watch ends, keeping `version` at the last one seen; answers whether there were any.
    private func watch(from start: String, version: inout String?) async throws -> Bool {
        var options = self.options
        options.resourceVersion = start
        var hasEvents = false
        let events = try await client.watch(resource, namespace: namespace, options: options)
        tell(hearsCluster: true)
        defer { tell(hearsCluster: false) }
        for try await event in events {
            hasEvents = true
            switch event {
            case .added(let object), .modified(let object):
                version = AnyObjectView(object).resourceVersion
                tell { store in store.put(object).map { [$0] } ?? [] }
            case .deleted(let object):
                version = AnyObjectView(object).resourceVersion
                tell { store in
                    store.remove(AnyObjectView(object).key).map { _ in [.init(old: object, new: nil)] } ?? []
                }
            case .bookmark(let resourceVersion):
                version = resourceVersion
            }
        }
        return hasEvents
    }

    /// Changes the store and tells the handlers, which are called outside the lock: they may read the store.
    private func tell(_ change: (inout ObjectStore) -> [ObjectStore.Change]) {
        let (changes, handlers) = state.withLock { state in (change(&state.store), state.handlers) }
        for change in changes {
            for handler in handlers { handler(change.old, change.new) }
        }
    }

    private func tell(hearsCluster: Bool) {
        let handlers = state.withLock { state in
            state.hearsCluster = hearsCluster
            return state.hearingHandlers
        }
        for handler in handlers { handler(hearsCluster) }
    }
}
