/// A value read through its schema, the way server-side apply sees it: which places it has, what differs, how two merge.
struct TypedValue {
    let value: JSON
    let schema: SchemaNode?

    init(_ value: JSON, _ schema: SchemaNode?) {
        self.value = value
        self.schema = schema
    }

    /// The parts that have owners of their own, or `nil` where the value has one owner as a whole.
    var parts: [(element: PathElement, value: TypedValue)]? {
        switch value {
        case .object(let fields):
            guard let schema, isGranularObject(schema) else { return nil }
            return fields.map { (.field($0.key), TypedValue($0.value, schema.child($0.key))) }
        case .array(let elements):
            guard let schema, schema.type == .array else { return nil }
            switch schema.listType {
            case .atomic: return nil
            case .set: return elements.map { (.value($0), TypedValue($0, nil)) }
            case .map:
                return elements.map { (.key(ListKey.of($0, schema)), TypedValue($0, schema.items)) }
            }
        default: return nil
        }
    }

    /// All places of this value.
    var fieldSet: FieldSet {
        var set = FieldSet()
        for (element, part) in parts ?? [] {
            let below = part.fieldSet
            if below.isEmpty || part.standsForItself(at: element) || isFreeField(element) { set.insert(element) }
            set.setChild(element, below)
        }
        return set
    }

    /// The places where `other` has something else or more, and where it has less.
    func changes(to other: TypedValue) -> (changed: FieldSet, removed: FieldSet) {
        guard let parts, let otherParts = other.parts else { return (FieldSet(), FieldSet()) }
        let before = Dictionary(parts.map { ($0.element, $0.value) }) { first, _ in first }
        let after = Dictionary(otherParts.map { ($0.element, $0.value) }) { first, _ in first }
        var changed = FieldSet()
        var removed = FieldSet()
        for (element, part) in after {
            guard let old = before[element] else {
                changed.insert(element)
                changed.setChild(element, part.fieldSet)
                continue
            }
            guard old.value != part.value else { continue }
            if old.parts != nil, part.parts != nil {
                let below = old.changes(to: part)
                changed.setChild(element, below.changed)
                removed.setChild(element, below.removed)
            } else if !old.value.isSameValue(as: part.value) {
                changed.insert(element)
                changed.setChild(element, part.fieldSet)
            }
        }
        for element in before.keys where after[element] == nil { removed.insert(element) }
        return (changed, removed)
    }

    /// This value with the places of `configuration` set to what it says.
    func merged(with configuration: TypedValue) -> JSON {
        switch (value, configuration.value) {
        case (.object(var fields), .object(let wanted)):
            guard let schema, isGranularObject(schema) else { return configuration.value }
            for (name, field) in wanted {
                let child = schema.child(name)
                fields[name] =
                    fields[name].map { TypedValue($0, child).merged(with: TypedValue(field, child)) } ?? field
            }
            return .object(fields)
        case (.array(let elements), .array(let wanted)):
            guard let schema, schema.type == .array, schema.listType != .atomic else { return configuration.value }
            return .array(mergedElements(elements, wanted, schema))
        default: return configuration.value
        }
    }

    /// This value without the places of `set`. Elements and objects go as a whole only where `set` names them.
    func removing(_ set: FieldSet) -> JSON {
        guard !set.isEmpty, let parts else { return value }
        var kept: [(PathElement, JSON)] = []
        for (element, part) in parts where !set.contains(element) {
            let below = set.child(element)
            kept.append((element, below.isEmpty ? part.value : part.removing(below)))
        }
        if case .array = value { return .array(kept.map(\.1)) }
        var fields: JSONObject = [:]
        for case (.field(let name), let value) in kept { fields[name] = value }
        return .object(fields)
    }

    // MARK: - Private

    private func isGranularObject(_ schema: SchemaNode) -> Bool {
        switch schema.type {
        case .object:
            !schema.isAtomicMap
                && (schema.hasProperties || schema.additionalProperties != nil || schema.preservesUnknownFields)
        default: false
        }
    }

    /// Elements of lists exist apart from their fields.
    private func standsForItself(at element: PathElement) -> Bool {
        if case .field = element { false } else { true }
    }

    /// Keys of a map exist apart from what is below them; the fields of a struct do not.
    private func isFreeField(_ element: PathElement) -> Bool {
        guard case .field(let name) = element else { return false }
        return schema?.property(name) == nil
    }

    /// The order of `wanted` counts; an element that only `elements` has stays before the next one that both have.
    private func mergedElements(_ elements: [JSON], _ wanted: [JSON], _ schema: SchemaNode) -> [JSON] {
        func identity(_ element: JSON) -> JSON {
            schema.listType == .map ? .object(ListKey.of(element, schema)) : element
        }
        let live = Dictionary(elements.map { (identity($0), $0) }) { first, _ in first }
        let wantedKeys = Set(wanted.map(identity))
        var result: [JSON] = []
        var next = 0
        for element in wanted {
            let key = identity(element)
            guard let old = live[key] else {
                result.append(element)
                continue
            }
            if let place = elements[next...].firstIndex(where: { identity($0) == key }) {
                result += elements[next..<place].filter { !wantedKeys.contains(identity($0)) }
                next = place + 1
            }
            result.append(TypedValue(old, schema.items).merged(with: TypedValue(element, schema.items)))
        }
        return result + elements[next...].filter { !wantedKeys.contains(identity($0)) }
    }
}
