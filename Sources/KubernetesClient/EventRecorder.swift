package import KubernetesModel
package import Logging
import ServiceLifecycle
import Synchronization

/// Writes the events that `kubectl describe` and `kubectl get events` show.
///
/// ``record(_:_:reason:_:)`` returns at once; ``run()`` sends. The same thing told again about the same object raises the count of the
/// event that is there. At most 1,000 events wait and 4,096 are remembered; what is beyond is dropped, since events are only a help.
package final class EventRecorder: Service {
    package enum EventType: String, Sendable {
        case normal = "Normal"
        case warning = "Warning"
    }

    private struct Occurrence: Sendable {
        var identity: EventIdentity
        var time: Timestamp
    }

    private let client: any ClusterClient
    private let component: String
    private let host: String
    private let logger: Logger
    private let occurrences: AsyncStream<Occurrence>
    private let continuation: AsyncStream<Occurrence>.Continuation
    private let now: @Sendable () -> Timestamp

    /// - Parameters:
    ///   - component: who tells, such as `deployment-controller` or `kubelet`
    ///   - host: the node it happened on, if any
    package init(
        _ client: any ClusterClient,
        component: String,
        host: String = "",
        logger: Logger,
        now: @escaping @Sendable () -> Timestamp = { .present }
    ) {
        self.client = client
        self.component = component
        self.host = host
        self.logger = logger
        self.now = now
        (occurrences, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1000))
    }

    /// Tells that `reason` (a word in CamelCase) happened to `object`, whose JSON must say its kind.
    package func record(_ type: EventType, _ object: JSON, reason: String, _ message: String) {
        let identity = EventIdentity(
            object: AnyObjectView(object),
            type: type.rawValue,
            reason: reason,
            message: String(message.prefix(1024))
        )
        continuation.yield(Occurrence(identity: identity, time: now()))
    }

    /// Sends what was recorded until graceful shutdown or cancellation.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            var known = KnownEvents(capacity: 4096)
            for await occurrence in self.occurrences {
                await self.send(occurrence, known: &known)
            }
        }
    }

    // MARK: - Private

    private func send(_ occurrence: Occurrence, known: inout KnownEvents) async {
        let identity = occurrence.identity
        do {
            if var event = known[identity], try await raiseCount(of: &event, occurrence) {
                known[identity] = event
            } else {
                known[identity] = try await create(occurrence)
            }
        } catch {
            logger.debug(
                "Event was not written",
                metadata: ["reason": "\(identity.reason)", "object": "\(identity.name)", "error": "\(error)"]
            )
        }
    }

    /// Answers `false` when the event is no longer there.
    private func raiseCount(of event: inout KnownEvent, _ occurrence: Occurrence) async throws -> Bool {
        event.count += 1
        do {
            _ = try await client.patch(
                .events,
                namespace: occurrence.identity.eventNamespace,
                name: event.name,
                .merge(["count": JSON(event.count), "lastTimestamp": .string(occurrence.time.description)])
            )
            return true
        } catch let error as StatusError where error.isNotFound {
            return false
        }
    }

    private func create(_ occurrence: Occurrence) async throws -> KnownEvent {
        let identity = occurrence.identity
        let nanoseconds = UInt64(occurrence.time.seconds) &* 1_000_000_000 &+ UInt64(occurrence.time.nanoseconds)
        let unique = String(nanoseconds ^ UInt64.random(in: 0..<1 << 20), radix: 16)
        let name = "\(identity.name.prefix(200)).\(unique)"
        var event = identity.event(name: name, time: occurrence.time)
        event["source"] = ["component": .string(component)]
        if !host.isEmpty { event["source", "host"] = .string(host) }
        event["reportingComponent"] = .string(component)
        event["reportingInstance"] = .string(host)
        _ = try await client.create(.events, namespace: identity.eventNamespace, event)
        return KnownEvent(name: name, count: 1)
    }
}

/// What makes two occurrences one event.
private struct EventIdentity: Hashable, Sendable {
    var apiVersion: String
    var kind: String
    var namespace: String
    var name: String
    var uid: String
    var resourceVersion: String
    var type: String
    var reason: String
    var message: String

    init(object: AnyObjectView, type: String, reason: String, message: String) {
        apiVersion = object.apiVersion
        kind = object.kind
        namespace = object.namespace
        name = object.name
        uid = object.uid
        resourceVersion = object.resourceVersion
        self.type = type
        self.reason = reason
        self.message = message
    }

    /// Events of objects without a namespace live in `default`.
    var eventNamespace: String { namespace.isEmpty ? "default" : namespace }

    static func == (left: EventIdentity, right: EventIdentity) -> Bool {
        left.kind == right.kind && left.namespace == right.namespace && left.name == right.name
            && left.uid == right.uid && left.type == right.type && left.reason == right.reason
            && left.message == right.message
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(uid)
        hasher.combine(name)
        hasher.combine(reason)
        hasher.combine(message)
    }

    func event(name eventName: String, time: Timestamp) -> JSON {
        var involved: JSON = [
            "apiVersion": .string(apiVersion), "kind": .string(kind), "name": .string(name), "uid": .string(uid),
            "resourceVersion": .string(resourceVersion),
        ]
        if !namespace.isEmpty { involved["namespace"] = .string(namespace) }
        return [
            "apiVersion": "v1", "kind": "Event",
            "metadata": ["name": .string(eventName), "namespace": .string(eventNamespace)],
            "involvedObject": involved,
            "type": .string(type), "reason": .string(reason), "message": .string(message),
            "count": 1,
            "firstTimestamp": .string(time.description), "lastTimestamp": .string(time.description),
        ]
    }
}

private struct KnownEvent: Sendable {
    var name: String
    var count: Int
}

/// Remembers the newest events; forgets the older half when it is full.
private struct KnownEvents: Sendable {
    private let capacity: Int
    private var events: OrderedDictionary<EventIdentity, KnownEvent> = [:]

    init(capacity: Int) {
        self.capacity = capacity
    }

    subscript(identity: EventIdentity) -> KnownEvent? {
        get { events[identity] }
        set {
            events[identity] = nil
            guard let newValue else { return }
            if events.count >= capacity { events.removeFirst(capacity / 2) }
            events[identity] = newValue
        }
    }
}
