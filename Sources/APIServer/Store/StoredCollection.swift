/// The current objects of one kind, by namespace. Remembers the order of names until one is added or removed, so that repeated
/// lists sort nothing.
struct StoredCollection {
    private struct Namespace {
        var objects: [String: StoredObject] = [:]
        var orderedNames: [String]?
    }

    private var namespaces: [String: Namespace] = [:]

    var count: Int { namespaces.values.reduce(0) { $0 + $1.objects.count } }

    subscript(key: StoreKey) -> StoredObject? {
        get { namespaces[key.namespace]?.objects[key.name] }
        set {
            let old = namespaces[key.namespace, default: Namespace()].objects.updateValue(newValue, forKey: key.name)
            if (old == nil) != (newValue == nil) { namespaces[key.namespace]?.orderedNames = nil }
            if namespaces[key.namespace]?.objects.isEmpty == true { namespaces[key.namespace] = nil }
        }
    }

    /// In ascending order of namespace and name.
    mutating func objects(namespace: String?) -> [StoredObject] {
        if let namespace { return ordered(namespace) }
        return namespaces.keys.sorted().flatMap { ordered($0) }
    }

    static func isOrderedBefore(_ left: StoredObject, _ right: StoredObject) -> Bool {
        (left.key.namespace, left.key.name) < (right.key.namespace, right.key.name)
    }

    // MARK: - Private

    private mutating func ordered(_ namespace: String) -> [StoredObject] {
        guard let names = namespaces[namespace]?.orderedNames ?? namespaces[namespace]?.objects.keys.sorted() else {
            return []
        }
        namespaces[namespace]?.orderedNames = names
        return names.compactMap { namespaces[namespace]?.objects[$0] }
    }
}

extension [String: StoredObject] {
    /// Sets or, with `nil`, removes; answers what was there before.
    fileprivate mutating func updateValue(_ value: StoredObject?, forKey key: String) -> StoredObject? {
        guard let value else { return removeValue(forKey: key) }
        return updateValue(value, forKey: key)
    }
}
