package import KubernetesModel

/// The only door to a cluster, embedded or real.
///
/// Implementations: ``HTTPSClusterClient`` for any Kubernetes by kubeconfig, and the API server's in-process client. Both give the same
/// answers, errors and orders of events; failures of the API are ``StatusError``s, others are errors of the transport.
///
/// All methods may be called from any task; cancelling the task gives up the request.
package protocol ClusterClient: Sendable {
    func get(_ resource: Resource, namespace: String?, name: String) async throws -> JSON

    /// Reads a collection, of all namespaces when `namespace` is `nil`. Without `limit` the answer is complete.
    func list(_ resource: Resource, namespace: String?, options: ListOptions) async throws -> ObjectList

    /// Starts a watch at `options.resourceVersion` (the present when empty). The stream ends when the server ends the watch, and throws
    /// a `StatusError` with ``StatusError/isExpired`` when that version is no longer kept.
    func watch(_ resource: Resource, namespace: String?, options: ListOptions) async throws -> WatchStream

    /// `namespace` must be the object's own, or `nil` for kinds without one.
    func create(_ resource: Resource, namespace: String?, _ object: JSON, options: WriteOptions) async throws -> JSON

    /// Replaces the object that `object` names, or the part of it that `subresource` (`status`, `scale`) serves. With a
    /// `metadata.resourceVersion` the write succeeds only if the stored object still has that version.
    func update(_ resource: Resource, _ object: JSON, subresource: String?, options: WriteOptions) async throws -> JSON

    func patch(
        _ resource: Resource,
        namespace: String?,
        name: String,
        subresource: String?,
        _ patch: Patch,
        options: WriteOptions
    ) async throws -> JSON

    /// Answers with the object as it was deleted, or as it waits for its finalizers.
    func delete(_ resource: Resource, namespace: String?, name: String, options: DeleteOptions) async throws -> JSON

    /// Binds or evicts: a POST to a subresource of an object (`pods/binding`, `pods/eviction`, `serviceaccounts/token`).
    func post(
        _ resource: Resource,
        namespace: String?,
        name: String,
        subresource: String,
        _ body: JSON
    ) async throws -> JSON

    /// The bytes of a container's log as they are written.
    func logs(namespace: String, pod: String, options: LogOptions) async throws -> ByteStream
}

package typealias WatchStream = AsyncThrowingStream<WatchEvent, any Error>
package typealias ByteStream = AsyncThrowingStream<[UInt8], any Error>

package struct ListOptions: Hashable, Sendable {
    /// In the syntax of `kubectl -l`; empty selects all.
    package var labelSelector = ""
    /// In the syntax of `kubectl --field-selector`; empty selects all.
    package var fieldSelector = ""
    package var resourceVersion = ""
    package var limit: Int?
    package var continueToken = ""

    package init(
        labelSelector: String = "",
        fieldSelector: String = "",
        resourceVersion: String = "",
        limit: Int? = nil,
        continueToken: String = ""
    ) {
        self.labelSelector = labelSelector
        self.fieldSelector = fieldSelector
        self.resourceVersion = resourceVersion
        self.limit = limit
        self.continueToken = continueToken
    }
}

package struct ObjectList: Sendable {
    package var items: [JSON]
    /// Where a watch that misses nothing must start.
    package var resourceVersion: String
    package var continueToken: String

    package init(items: [JSON], resourceVersion: String, continueToken: String = "") {
        self.items = items
        self.resourceVersion = resourceVersion
        self.continueToken = continueToken
    }
}

package enum WatchEvent: Hashable, Sendable {
    case added(JSON)
    case modified(JSON)
    case deleted(JSON)
    /// Nothing before `resourceVersion` is outstanding.
    case bookmark(resourceVersion: String)
}

package struct WriteOptions: Hashable, Sendable {
    /// Who owns the written fields; required by server-side apply.
    package var fieldManager = "sampan"
    /// Server-side apply takes fields over from other managers.
    package var force = false
    /// Checks and answers as if written, without writing.
    package var isDryRun = false
    /// What an unknown or repeated field is: `Ignore`, `Warn` or `Strict`.
    package var fieldValidation = "Warn"

    package init(
        fieldManager: String = "sampan",
        force: Bool = false,
        isDryRun: Bool = false,
        fieldValidation: String = "Warn"
    ) {
        self.fieldManager = fieldManager
        self.force = force
        self.isDryRun = isDryRun
        self.fieldValidation = fieldValidation
    }
}

package struct Patch: Hashable, Sendable {
    package enum Format: String, Hashable, Sendable {
        /// RFC 6902
        case json = "application/json-patch+json"
        /// RFC 7386
        case merge = "application/merge-patch+json"
        case strategicMerge = "application/strategic-merge-patch+json"
        /// Server-side apply
        case apply = "application/apply-patch+yaml"
    }

    package var format: Format
    package var body: JSON

    package init(_ format: Format, _ body: JSON) {
        self.format = format
        self.body = body
    }

    package static func merge(_ body: JSON) -> Patch { Patch(.merge, body) }
    package static func apply(_ body: JSON) -> Patch { Patch(.apply, body) }
}

package struct DeleteOptions: Hashable, Sendable {
    package enum PropagationPolicy: String, Hashable, Sendable {
        case orphan = "Orphan"
        case background = "Background"
        case foreground = "Foreground"
    }

    /// Seconds until a pod is stopped by force; `nil` leaves it to the object, zero removes the object at once.
    package var gracePeriodSeconds: Int?
    package var propagationPolicy: PropagationPolicy?
    /// Deletes only the object with this uid.
    package var uid: String?
    package var resourceVersion: String?

    package init(
        gracePeriodSeconds: Int? = nil,
        propagationPolicy: PropagationPolicy? = nil,
        uid: String? = nil,
        resourceVersion: String? = nil
    ) {
        self.gracePeriodSeconds = gracePeriodSeconds
        self.propagationPolicy = propagationPolicy
        self.uid = uid
        self.resourceVersion = resourceVersion
    }
}

package struct LogOptions: Hashable, Sendable {
    /// May be empty for pods with one container.
    package var container = ""
    package var follow = false
    /// The log of the container's last run before this one.
    package var previous = false
    package var timestamps = false
    /// Only the last lines, all when `nil`.
    package var tailLines: Int?
    package var sinceSeconds: Int?
    /// RFC 3339
    package var sinceTime: String?
    package var limitBytes: Int?

    package init(container: String = "", follow: Bool = false, previous: Bool = false, tailLines: Int? = nil) {
        self.container = container
        self.follow = follow
        self.previous = previous
        self.tailLines = tailLines
    }
}

// MARK: - Shorter calls

extension ClusterClient {
    package func list(_ resource: Resource, namespace: String? = nil) async throws -> ObjectList {
        try await list(resource, namespace: namespace, options: ListOptions())
    }

    package func create(_ resource: Resource, namespace: String? = nil, _ object: JSON) async throws -> JSON {
        try await create(resource, namespace: namespace, object, options: WriteOptions())
    }

    package func update(_ resource: Resource, _ object: JSON, subresource: String? = nil) async throws -> JSON {
        try await update(resource, object, subresource: subresource, options: WriteOptions())
    }

    package func patch(
        _ resource: Resource,
        namespace: String?,
        name: String,
        subresource: String? = nil,
        _ patch: Patch
    ) async throws -> JSON {
        try await self.patch(
            resource,
            namespace: namespace,
            name: name,
            subresource: subresource,
            patch,
            options: WriteOptions()
        )
    }

    package func delete(_ resource: Resource, namespace: String?, name: String) async throws -> JSON {
        try await delete(resource, namespace: namespace, name: name, options: DeleteOptions())
    }

    /// The object, or `nil` when there is none of that name.
    package func find(_ resource: Resource, namespace: String?, name: String) async throws -> JSON? {
        do {
            return try await get(resource, namespace: namespace, name: name)
        } catch let error as StatusError where error.isNotFound {
            return nil
        }
    }
}
