import KubernetesClient
import KubernetesModel

/// The rules of ``MemoryCluster``; the cluster holds it under a lock.
struct MemoryClusterState {
    struct Watcher {
        var resource: Resource
        var selection: Selection
        var continuation: WatchStream.Continuation
    }

    struct LogEntry {
        var version: Int
        var resource: Resource
        var old: JSON?
        var new: JSON?
    }

    private(set) var version = 1
    private var objects: [String: [ObjectKey: JSON]] = [:]
    private var history: [LogEntry] = []
    private var oldestVersion = 0
    private var nextID = 0
    var watchers: [Int: Watcher] = [:]
    var requests: [MemoryCluster.Request] = []
    var faults: [MemoryCluster.Fault] = []
    var logs: [ObjectKey: [[UInt8]]] = [:]
    var time: Timestamp?

    // MARK: Reading

    func object(_ resource: Resource, _ key: ObjectKey) -> JSON? {
        objects[resource.qualifiedName]?[key]
    }

    func objects(of resource: Resource) -> [JSON] {
        (objects[resource.qualifiedName] ?? [:]).sorted { $0.key < $1.key }.map(\.value)
    }

    func existing(_ resource: Resource, _ namespace: String?, _ name: String) throws -> JSON {
        guard let object = object(resource, ObjectKey(namespace: namespace ?? "", name: name)) else {
            throw StatusError.notFound(resource, name)
        }
        return object
    }

    // MARK: Watching

    mutating func addWatcher(
        _ resource: Resource,
        _ selection: Selection,
        from versionText: String,
        _ continuation: WatchStream.Continuation
    ) throws -> Int {
        let start = versionText.isEmpty ? version : Int(versionText) ?? 0
        guard start >= oldestVersion else {
            throw StatusError.expired("too old resource version: \(start) (\(oldestVersion))")
        }
        for entry in history where entry.version > start && entry.resource == resource {
            if let event = selection.event(old: entry.old, new: entry.new) { continuation.yield(event) }
        }
        nextID += 1
        watchers[nextID] = Watcher(resource: resource, selection: selection, continuation: continuation)
        return nextID
    }

    /// Forgets what happened, so that watches that start before now are refused as expired.
    mutating func compact() {
        history = []
        version += 1
        oldestVersion = version
    }

    // MARK: Writing

    mutating func create(
        _ resource: Resource,
        namespace: String?,
        _ object: JSON,
        time: Timestamp,
        isDryRun: Bool
    ) throws -> JSON {
        var object = object
        object["apiVersion"] = .string(resource.apiVersion)
        object["kind"] = .string(resource.kind)
        if resource.isNamespaced, let namespace { object["metadata", "namespace"] = .string(namespace) }
        if AnyObjectView(object).name.isEmpty, let prefix = object["metadata", "generateName"]?.string {
            object["metadata", "name"] = .string(prefix + randomSuffix())
        }
        let view = AnyObjectView(object)
        guard !view.name.isEmpty else { throw StatusError.badRequest("metadata.name is missing") }
        guard self.object(resource, view.key) == nil else { throw StatusError.alreadyExists(resource, view.name) }
        object["metadata", "uid"] = .string("uid-\(nextSerial())")
        object["metadata", "creationTimestamp"] = .string(time.description)
        object["metadata", "generation"] = 1
        if resource == .pods, object["status", "phase"] == nil { object["status", "phase"] = "Pending" }
        return isDryRun ? object : store(resource, object)
    }

    mutating func update(
        _ resource: Resource,
        _ object: JSON,
        subresource: String?,
        isDryRun: Bool = false
    ) throws -> JSON {
        let view = AnyObjectView(object)
        guard let old = self.object(resource, view.key) else { throw StatusError.notFound(resource, view.name) }
        let oldView = AnyObjectView(old)
        if !view.resourceVersion.isEmpty, view.resourceVersion != oldView.resourceVersion {
            throw StatusError.modified(resource, view.name)
        }
        if !view.uid.isEmpty, view.uid != oldView.uid {
            throw StatusError.conflict(resource, view.name, "the UID in the precondition (\(view.uid)) is another")
        }
        let new = merged(resource, old: old, new: object, subresource: subresource)
        if isDryRun || new == old { return new }
        if AnyObjectView(new).isBeingDeleted, isRemovable(resource, new) { return remove(resource, new) }
        return store(resource, new)
    }

    /// Takes from `new` what a write to `subresource` may change.
    private func merged(_ resource: Resource, old: JSON, new: JSON, subresource: String?) -> JSON {
        var result = new
        switch subresource {
        case "status":
            result = old
            result["status"] = new["status"]
        case "scale":
            result = old
            result["spec", "replicas"] = new["spec", "replicas"]
        case "finalize":
            result = old
            result["spec", "finalizers"] = new["spec", "finalizers"]
        default:
            // Kinds without a status subresource hold their status in the object itself.
            if resource.hasStatusSubresource { result["status"] = old["status"] }
        }
        for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
            result["metadata", field] = old["metadata", field]
        }
        if result["spec"] != old["spec"] {
            result["metadata", "generation"] = JSON(AnyObjectView(old).generation + 1)
        }
        return result
    }

    mutating func delete(
        _ resource: Resource,
        namespace: String?,
        name: String,
        options: DeleteOptions,
        time: Timestamp
    ) throws -> JSON {
        var object = try existing(resource, namespace, name)
        let view = AnyObjectView(object)
        if let uid = options.uid, uid != view.uid {
            throw StatusError.conflict(resource, name, "the UID in the precondition (\(uid)) is another")
        }
        if let version = options.resourceVersion, version != view.resourceVersion {
            throw StatusError.conflict(resource, name, "the ResourceVersion in the precondition is another")
        }
        object = marked(object, resource, options: options, time: time)
        if options.gracePeriodSeconds == 0, resource == .pods { object["metadata", "deletionGracePeriodSeconds"] = 0 }
        return isRemovable(resource, object) ? remove(resource, object) : store(resource, object)
    }

    private func marked(_ object: JSON, _ resource: Resource, options: DeleteOptions, time: Timestamp) -> JSON {
        var object = object
        let view = AnyObjectView(object)
        guard !view.isBeingDeleted else { return object }
        let grace =
            resource == .pods
            ? options.gracePeriodSeconds ?? object["spec", "terminationGracePeriodSeconds"]?.int ?? 30 : 0
        object["metadata", "deletionTimestamp"] = .string(time.description)
        object["metadata", "deletionGracePeriodSeconds"] = JSON(grace)
        let finalizer: String? =
            switch options.propagationPolicy {
            case .foreground: "foregroundDeletion"
            case .orphan: "orphan"
            case .background, nil: nil
            }
        if let finalizer, !view.finalizers.contains(finalizer) {
            object["metadata", "finalizers"] = JSON(view.finalizers + [finalizer])
        }
        if resource == .namespaces { object["status", "phase"] = "Terminating" }
        return object
    }

    private func isRemovable(_ resource: Resource, _ object: JSON) -> Bool {
        guard AnyObjectView(object).finalizers.isEmpty else { return false }
        if resource == .namespaces { return object["spec", "finalizers"]?.array?.isEmpty ?? true }
        guard resource == .pods, object["spec", "nodeName"] != nil else { return true }
        let isDone = ["Succeeded", "Failed"].contains(object["status", "phase"]?.string)
        return isDone || object["metadata", "deletionGracePeriodSeconds"]?.int == 0
    }

    mutating func bind(namespace: String?, name: String, _ body: JSON, time: Timestamp) throws -> JSON {
        var pod = try existing(.pods, namespace, name)
        guard pod["spec", "nodeName"] == nil else {
            throw StatusError.conflict(.pods, name, "pod \(name) is already assigned to a node")
        }
        pod["spec", "nodeName"] = body["target", "name"]
        let conditions = pod["status", "conditions"]?.array?.filter { $0["type"]?.string != "PodScheduled" } ?? []
        pod["status", "conditions"] = .array(
            conditions + [
                ["type": "PodScheduled", "status": "True", "lastTransitionTime": .string(time.description)]
            ]
        )
        _ = store(.pods, pod)
        return ["kind": "Status", "status": "Success"]
    }

    /// Stores `object` as it is, whether it was there or not.
    mutating func put(_ resource: Resource, _ object: JSON) -> JSON {
        store(resource, object)
    }

    mutating func remove(_ resource: Resource, _ object: JSON) -> JSON {
        let key = AnyObjectView(object).key
        version += 1
        var object = object
        object["metadata", "resourceVersion"] = .string(String(version))
        let old = objects[resource.qualifiedName, default: [:]].removeValue(forKey: key)
        publish(LogEntry(version: version, resource: resource, old: old, new: nil), last: object)
        return object
    }

    // MARK: - Private

    private mutating func store(_ resource: Resource, _ object: JSON) -> JSON {
        version += 1
        var object = object
        object["metadata", "resourceVersion"] = .string(String(version))
        let old = objects[resource.qualifiedName, default: [:]].updateValue(object, forKey: AnyObjectView(object).key)
        publish(LogEntry(version: version, resource: resource, old: old, new: object), last: object)
        return object
    }

    private mutating func publish(_ entry: LogEntry, last: JSON) {
        var entry = entry
        if entry.new == nil { entry.old = last }
        history.append(entry)
        for watcher in watchers.values where watcher.resource == entry.resource {
            if let event = watcher.selection.event(old: entry.old, new: entry.new) {
                watcher.continuation.yield(event)
            }
        }
    }

    mutating func nextSerial() -> Int {
        nextID += 1
        return nextID
    }

    private func randomSuffix() -> String {
        String((0..<5).map { _ in "bcdfghjklmnpqrstvwxz2456789".randomElement() ?? "x" })
    }
}

/// What a list or watch asks for.
struct Selection {
    private var namespace: String?
    private var labels: LabelSelector
    private var fields: FieldSelector

    init(_ options: ListOptions, namespace: String?) throws {
        self.namespace = namespace
        labels = try LabelSelector(parsing: options.labelSelector)
        fields = try FieldSelector(parsing: options.fieldSelector)
    }

    func matches(_ object: JSON) -> Bool {
        let view = AnyObjectView(object)
        return (namespace == nil || view.namespace == namespace) && labels.matches(view.labels)
            && fields.matches(object)
    }

    /// What a watcher with this selection sees of a change: objects that start or stop to match come and go.
    func event(old: JSON?, new: JSON?) -> WatchEvent? {
        let matchedBefore = old.map(matches) ?? false
        guard let new else { return old.flatMap { matchedBefore ? .deleted($0) : nil } }
        switch (matchedBefore, matches(new)) {
        case (false, true): return .added(new)
        case (true, true): return .modified(new)
        case (true, false): return .deleted(new)
        case (false, false): return nil
        }
    }
}

extension Resource {
    fileprivate var hasStatusSubresource: Bool {
        ![Resource.events, .configMaps, .secrets, .serviceAccounts, .endpointSlices, .leases].contains(self)
    }
}

extension Patch {
    /// The object after this patch.
    func applied(to object: JSON) throws -> JSON {
        switch format {
        case .merge, .strategicMerge, .apply: return object.merged(with: body)
        case .json: return try body.array?.reduce(object) { try $1.appliedAsOperation(to: $0) } ?? object
        }
    }
}

extension JSON {
    var withoutNulls: JSON {
        switch self {
        case .object(let object): .object(object.filter { !$0.value.isNull }.mapValues(\.withoutNulls))
        default: self
        }
    }

    /// RFC 7386
    fileprivate func merged(with patch: JSON) -> JSON {
        guard case .object(let fields) = patch else { return patch }
        var result = self.object == nil ? JSON.object([:]) : self
        for (field, value) in fields {
            result[field] = value.isNull ? .none : (result[field] ?? .null).merged(with: value)
        }
        return result
    }

    /// One operation of RFC 6902: `add`, `replace` and `remove` of object fields, and adding to the end of an array.
    fileprivate func appliedAsOperation(to object: JSON) throws -> JSON {
        var path = (self["path"]?.string ?? "").split(separator: "/").map {
            String($0)
                .replacing("~1", with: "/").replacing("~0", with: "~")
        }
        var object = object
        switch self["op"]?.string {
        case "remove": object[path: path] = nil
        case "add" where path.last == "-":
            path.removeLast()
            object[path: path] = .array((object[path: path]?.array ?? []) + [self["value"] ?? .null])
        case "add", "replace": object[path: path] = self["value"] ?? .null
        case "test":
            guard object[path: path] == self["value"] else {
                throw StatusError(code: 422, reason: "Invalid", message: "the test of a JSON patch failed")
            }
        case let operation:
            throw StatusError.badRequest("MemoryCluster knows no JSON patch operation \"\(operation ?? "")\"")
        }
        return object
    }
}
