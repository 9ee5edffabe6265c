import KubernetesClient
package import KubernetesModel
import Synchronization

// What tests do to a cluster behind the back of the code under test, and what they ask it afterwards.

extension MemoryCluster {
    package enum Verb: Hashable, Sendable {
        case get, list, watch, create, update, patch, delete, logs
        case post(String)
    }

    /// A request that was received.
    package struct Request: Hashable, Sendable {
        package var verb: Verb
        package var resource: Resource
        /// Empty for collections and generated names.
        package var name: String
    }

    struct Fault {
        var verb: Verb
        var resource: Resource
        var error: StatusError
        var remaining: Int

        func matches(_ request: Request) -> Bool {
            verb == request.verb && resource == request.resource
        }
    }

    /// The requests so far, in order.
    package var requests: [Request] { state.withLock { $0.requests } }

    package func forgetRequests() {
        state.withLock { $0.requests = [] }
    }

    /// Makes the next `times` requests of that kind fail.
    package func fail(_ verb: Verb, _ resource: Resource, with error: StatusError, times: Int = 1) {
        state.withLock { state in
            state.faults.append(Fault(verb: verb, resource: resource, error: error, remaining: times))
        }
    }

    /// Stops the cluster's clock at `time`, from which creation and deletion take their time stamps; `nil` lets it go again.
    package func setTime(_ time: Timestamp?) {
        state.withLock { $0.time = time }
    }

    /// Ends all watches, with `error` if given.
    package func breakWatches(with error: (any Error)? = nil) {
        let watchers = state.withLock { state in
            defer { state.watchers = [:] }
            return Array(state.watchers.values)
        }
        for watcher in watchers { watcher.continuation.finish(throwing: error) }
    }

    package var watcherCount: Int { state.withLock { $0.watchers.count } }

    /// Forgets what happened: watches from before now are refused as expired.
    package func compact() {
        state.withLock { $0.compact() }
    }

    /// Sends a bookmark to all watches.
    package func sendBookmarks() {
        let (watchers, version) = state.withLock { (Array($0.watchers.values), String($0.version)) }
        for watcher in watchers { watcher.continuation.yield(.bookmark(resourceVersion: version)) }
    }

    // MARK: Objects, without waiting

    package func find(_ resource: Resource, namespace: String = "", name: String) -> JSON? {
        state.withLock { $0.object(resource, ObjectKey(namespace: namespace, name: name)) }
    }

    /// All objects of the kind, by name.
    package func all(_ resource: Resource) -> [JSON] {
        state.withLock { $0.objects(of: resource) }
    }

    /// Stores the object with its status; makes up the metadata of a new one.
    @discardableResult
    package func put(_ resource: Resource, _ object: JSON) -> JSON {
        state.withLock { state in
            var object = object
            object["apiVersion"] = .string(resource.apiVersion)
            object["kind"] = .string(resource.kind)
            if object["metadata", "uid"] == nil {
                let held = state.object(resource, AnyObjectView(object).key)
                object["metadata", "uid"] = held?["metadata", "uid"] ?? .string("uid-\(state.nextSerial())")
            }
            if object["metadata", "creationTimestamp"] == nil {
                object["metadata", "creationTimestamp"] = .string((state.time ?? .present).description)
            }
            if object["metadata", "generation"] == nil { object["metadata", "generation"] = 1 }
            return state.put(resource, object)
        }
    }

    /// Takes the object away at once, whatever its finalizers.
    package func remove(_ resource: Resource, namespace: String = "", name: String) {
        state.withLock { state in
            guard let object = state.object(resource, ObjectKey(namespace: namespace, name: name)) else { return }
            _ = state.remove(resource, object)
        }
    }

    /// Changes the object if it is there; answers with it.
    @discardableResult
    package func modify(
        _ resource: Resource,
        namespace: String = "",
        name: String,
        _ change: (inout JSON) -> Void
    ) -> JSON? {
        state.withLock { state in
            guard var object = state.object(resource, ObjectKey(namespace: namespace, name: name)) else { return nil }
            let before = object
            change(&object)
            return object == before ? before : state.put(resource, object)
        }
    }

    /// Merges `fields` into the status of the object.
    package func setStatus(_ resource: Resource, namespace: String = "", name: String, _ fields: JSON) {
        modify(resource, namespace: namespace, name: name) { object in
            for (field, value) in fields.object ?? [:] { object["status", field] = value }
        }
    }

    /// The log that ``logs(namespace:pod:options:)`` gives.
    package func setLogs(namespace: String, pod: String, _ chunks: [[UInt8]]) {
        state.withLock { $0.logs[ObjectKey(namespace: namespace, name: pod)] = chunks }
    }
}
