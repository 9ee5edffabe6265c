/// A set of places in an object, in the form of `fieldsV1` of `metadata.managedFields`.
struct FieldSet: Hashable, Sendable {
    /// The places directly below this one that belong to the set themselves.
    var members: Set<PathElement> = []
    /// The places further down.
    var children: [PathElement: FieldSet] = [:]

    init() {}

    var isEmpty: Bool { members.isEmpty && children.isEmpty }

    func contains(_ element: PathElement) -> Bool { members.contains(element) }

    func child(_ element: PathElement) -> FieldSet { children[element] ?? FieldSet() }

    mutating func insert(_ element: PathElement) { members.insert(element) }

    /// Puts `set` below `element`, replacing what was there; nothing stays where it is empty.
    mutating func setChild(_ element: PathElement, _ set: FieldSet) {
        children[element] = set.isEmpty ? nil : set
    }

    func union(_ other: FieldSet) -> FieldSet {
        var result = self
        result.members.formUnion(other.members)
        for (element, set) in other.children { result.children[element] = result.child(element).union(set) }
        return result
    }

    func intersection(_ other: FieldSet) -> FieldSet {
        var result = FieldSet()
        result.members = members.intersection(other.members)
        for (element, set) in children {
            guard let otherSet = other.children[element] else { continue }
            result.setChild(element, set.intersection(otherSet))
        }
        return result
    }

    func subtracting(_ other: FieldSet) -> FieldSet {
        var result = FieldSet()
        result.members = members.subtracting(other.members)
        for (element, set) in children {
            result.setChild(element, other.children[element].map(set.subtracting) ?? set)
        }
        return result
    }

    /// Without the members of `other` and everything below them, for places that were removed or replaced as a whole.
    func subtractingRecursively(_ other: FieldSet) -> FieldSet {
        var result = FieldSet()
        result.members = members.subtracting(other.members)
        for (element, set) in children where !other.members.contains(element) {
            result.setChild(element, other.children[element].map(set.subtractingRecursively) ?? set)
        }
        return result
    }

    /// All places as text, in ascending order: `.spec.containers[name="a"].image`.
    var paths: [String] {
        var paths: [String] = []
        collectPaths("", &paths)
        return paths.sorted()
    }

    private func collectPaths(_ prefix: String, _ paths: inout [String]) {
        paths += members.map { prefix + $0.pathText }
        for (element, set) in children { set.collectPaths(prefix + element.pathText, &paths) }
    }
}

/// One step of a place in a ``FieldSet``.
enum PathElement: Hashable, Sendable {
    case field(String)
    /// An element of a list of type map, by its key fields in ascending order.
    case key(JSONObject)
    /// An element of a list of type set.
    case value(JSON)
    case index(Int)

    /// The form in `fieldsV1`: `f:spec`, `k:{"name":"a"}`, `v:"a"`, `i:0`.
    var text: String {
        switch self {
        case .field(let name): "f:\(name)"
        case .key(let key): "k:\(JSON.object(key).encodedString)"
        case .value(let value): "v:\(value.encodedString)"
        case .index(let index): "i:\(index)"
        }
    }

    init?(_ text: String) {
        let rest = String(text.dropFirst(2))
        switch text.prefix(2) {
        case "f:": self = .field(rest)
        case "k:":
            guard var key = try? JSON(parsing: rest).object else { return nil }
            key.sort { $0.key < $1.key }
            self = .key(key)
        case "v:":
            guard let value = try? JSON(parsing: rest) else { return nil }
            self = .value(value)
        case "i:":
            guard let index = Int(rest) else { return nil }
            self = .index(index)
        default: return nil
        }
    }

    /// The form in messages.
    var pathText: String {
        switch self {
        case .field(let name): ".\(name)"
        case .key(let key): "[\(key.map { "\($0.key)=\($0.value.encodedString)" }.joined(separator: ","))]"
        case .value(let value): "[=\(value.encodedString)]"
        case .index(let index): "[\(index)]"
        }
    }
}

// MARK: - The wire

extension FieldSet {
    /// Reads `fieldsV1`; what cannot be understood is left out.
    init(fieldsV1 json: JSON) {
        for (name, value) in json.object ?? [:] where name != "." {
            guard let element = PathElement(name) else { continue }
            let fields = value.object ?? [:]
            if fields.isEmpty || fields["."] != nil { members.insert(element) }
            setChild(element, FieldSet(fieldsV1: value))
        }
    }

    var fieldsV1: JSON {
        var fields: JSONObject = [:]
        let elements = members.union(children.keys).map { (text: $0.text, element: $0) }
        for (text, element) in elements.sorted(by: { $0.text < $1.text }) {
            guard let below = children[element] else {
                fields[text] = [:]
                continue
            }
            var value: JSONObject = [:]
            if members.contains(element) { value["."] = [:] }
            value.merge(below.fieldsV1.object ?? [:]) { _, new in new }
            fields[text] = .object(value)
        }
        return .object(fields)
    }
}
