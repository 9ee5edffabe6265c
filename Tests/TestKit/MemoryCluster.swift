package import KubernetesClient
package import KubernetesModel
import Synchronization

/// A cluster in memory for unit tests: it stores, watches and selects as a real one, but neither defaults nor validates, and nothing
/// runs in it. Make pods ready with ``setStatus(_:namespace:name:_:)`` or a ``FakeKubelet``.
///
/// Kept as in a real cluster: resource versions, uids, generations, `generateName`, conflicts, the status subresource, merge and JSON patches,
/// graceful deletion of pods that have a node, finalizers, `propagationPolicy`, bindings. Apply is a merge in which fields set to null go away.
package final class MemoryCluster: ClusterClient {
    let state = Mutex(MemoryClusterState())

    package init() {}

    package init(_ objects: [(Resource, JSON)]) {
        for (resource, object) in objects { put(resource, object) }
    }

    // MARK: ClusterClient

    package func get(_ resource: Resource, namespace: String?, name: String) async throws -> JSON {
        try perform(.get, resource, name) { state, time in
            try state.existing(resource, namespace, name)
        }
    }

    package func list(_ resource: Resource, namespace: String?, options: ListOptions) async throws -> ObjectList {
        let selection = try Selection(options, namespace: namespace)
        return try perform(.list, resource, "") { state, _ in
            ObjectList(
                items: state.objects(of: resource).filter(selection.matches),
                resourceVersion: String(state.version)
            )
        }
    }

    package func watch(_ resource: Resource, namespace: String?, options: ListOptions) async throws -> WatchStream {
        let selection = try Selection(options, namespace: namespace)
        return try perform(.watch, resource, "") { state, _ in
            let (stream, continuation) = WatchStream.makeStream()
            let id = try state.addWatcher(resource, selection, from: options.resourceVersion, continuation)
            continuation.onTermination = { [weak self] _ in self?.removeWatcher(id) }
            return stream
        }
    }

    package func create(
        _ resource: Resource,
        namespace: String?,
        _ object: JSON,
        options: WriteOptions
    ) async throws -> JSON {
        try perform(.create, resource, AnyObjectView(object).name) { state, time in
            try state.create(resource, namespace: namespace, object, time: time, isDryRun: options.isDryRun)
        }
    }

    package func update(
        _ resource: Resource,
        _ object: JSON,
        subresource: String?,
        options: WriteOptions
    ) async throws -> JSON {
        try perform(.update, resource, AnyObjectView(object).name) { state, _ in
            try state.update(resource, object, subresource: subresource, isDryRun: options.isDryRun)
        }
    }

    package func patch(
        _ resource: Resource,
        namespace: String?,
        name: String,
        subresource: String?,
        _ patch: Patch,
        options: WriteOptions
    ) async throws -> JSON {
        try perform(.patch, resource, name) { state, time in
            let key = ObjectKey(namespace: namespace ?? "", name: name)
            if patch.format == .apply, state.object(resource, key) == nil {
                var object = patch.body.withoutNulls
                object["metadata", "name"] = .string(name)
                return try state.create(
                    resource,
                    namespace: namespace,
                    object,
                    time: time,
                    isDryRun: options.isDryRun
                )
            }
            let patched = try patch.applied(to: state.existing(resource, namespace, name))
            return try state.update(resource, patched, subresource: subresource, isDryRun: options.isDryRun)
        }
    }

    package func delete(
        _ resource: Resource,
        namespace: String?,
        name: String,
        options: DeleteOptions
    ) async throws -> JSON {
        try perform(.delete, resource, name) { state, time in
            try state.delete(resource, namespace: namespace, name: name, options: options, time: time)
        }
    }

    package func post(
        _ resource: Resource,
        namespace: String?,
        name: String,
        subresource: String,
        _ body: JSON
    ) async throws -> JSON {
        try perform(.post(subresource), resource, name) { state, time in
            switch (resource.plural, subresource) {
            case ("pods", "binding"):
                return try state.bind(namespace: namespace, name: name, body, time: time)
            case ("pods", "eviction"):
                return try state.delete(
                    resource,
                    namespace: namespace,
                    name: name,
                    options: DeleteOptions(),
                    time: time
                )
            case ("serviceaccounts", "token"):
                return ["kind": "TokenRequest", "status": ["token": .string("token-of-\(name)")]]
            default:
                throw StatusError.notFound(resource, "\(name)/\(subresource)")
            }
        }
    }

    package func logs(namespace: String, pod: String, options: LogOptions) async throws -> ByteStream {
        try perform(.logs, .pods, pod) { state, _ in
            _ = try state.existing(.pods, namespace, pod)
            let chunks = state.logs[ObjectKey(namespace: namespace, name: pod)] ?? []
            return ByteStream { continuation in
                for chunk in chunks { continuation.yield(chunk) }
                continuation.finish()
            }
        }
    }

    // MARK: - Private

    private func removeWatcher(_ id: Int) {
        state.withLock { $0.watchers[id] = nil }
    }

    private func perform<Value: Sendable>(
        _ verb: Verb,
        _ resource: Resource,
        _ name: String,
        _ body: (inout MemoryClusterState, Timestamp) throws -> Value
    ) throws -> Value {
        let request = Request(verb: verb, resource: resource, name: name)
        return try state.withLock { state in
            state.requests.append(request)
            let time = state.time ?? .present
            return try Self.answer(request, &state, time, body)
        }
    }

    private static func answer<Value>(
        _ request: Request,
        _ state: inout MemoryClusterState,
        _ time: Timestamp,
        _ body: (inout MemoryClusterState, Timestamp) throws -> Value
    ) throws -> Value {
        if let index = state.faults.firstIndex(where: { $0.matches(request) }) {
            state.faults[index].remaining -= 1
            let error = state.faults[index].error
            if state.faults[index].remaining == 0 { state.faults.remove(at: index) }
            throw error
        }
        return try body(&state, time)
    }
}
