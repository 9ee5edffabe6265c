import KubernetesModel

/// The objects of one kind, found by name, by namespace and by further indexes.
///
/// Versions are opaque here: a change is what differs from the object held before.
struct ObjectStore: Sendable {
    /// Gives the values under which an object is found.
    typealias IndexKeys = @Sendable (JSON) -> [String]

    struct Change: Equatable, Sendable {
        var old: JSON?
        var new: JSON?
    }

    private(set) var objects: [ObjectKey: JSON] = [:]
    private var namespaces: [String: Set<ObjectKey>] = [:]
    private var indexKeys: [String: IndexKeys] = [:]
    private var indexes: [String: [String: Set<ObjectKey>]] = [:]

    mutating func addIndex(_ name: String, keys: @escaping IndexKeys) {
        precondition(objects.isEmpty, "Indexes must be added before the informer runs.")
        indexKeys[name] = keys
        indexes[name] = [:]
    }

    func objects(namespace: String) -> [JSON] {
        (namespaces[namespace] ?? []).compactMap { objects[$0] }
    }

    func objects(index: String, _ value: String) -> [JSON] {
        guard let index = indexes[index] else { preconditionFailure("The informer has no index of this name.") }
        return (index[value] ?? []).compactMap { objects[$0] }
    }

    /// Makes the store hold exactly `items`; answers with what changed.
    mutating func replaceAll(with items: [JSON]) -> [Change] {
        let present = Set(items.map { AnyObjectView($0).key })
        var changes: [Change] = []
        for key in objects.keys where !present.contains(key) {
            changes.append(Change(old: remove(key), new: nil))
        }
        for item in items {
            if let change = put(item) { changes.append(change) }
        }
        return changes
    }

    /// Holds `object`; `nil` when exactly it was held already.
    mutating func put(_ object: JSON) -> Change? {
        let view = AnyObjectView(object)
        let key = view.key
        if let held = objects[key] {
            let heldView = AnyObjectView(held)
            guard heldView.uid != view.uid || heldView.resourceVersion != view.resourceVersion || held != object else {
                return nil
            }
        }
        let old = remove(key)
        objects[key] = object
        namespaces[key.namespace, default: []].insert(key)
        for (name, keys) in indexKeys {
            for value in keys(object) { indexes[name, default: [:]][value, default: []].insert(key) }
        }
        return Change(old: old, new: object)
    }

    /// Forgets the object of that name; answers with it.
    mutating func remove(_ key: ObjectKey) -> JSON? {
        guard let old = objects.removeValue(forKey: key) else { return nil }
        Self.drop(key, from: &namespaces, key.namespace)
        for (name, keys) in indexKeys {
            for value in keys(old) { Self.drop(key, from: &indexes[name, default: [:]], value) }
        }
        return old
    }

    private static func drop(_ key: ObjectKey, from index: inout [String: Set<ObjectKey>], _ value: String) {
        index[value]?.remove(key)
        if index[value]?.isEmpty == true { index[value] = nil }
    }
}
