// Re-exported: whoever reads JSON walks its objects.
@_exported public import OrderedCollections

/// A JSON value that keeps every field and the order of fields, so that an object read, changed in one place and written back
/// loses nothing that this program does not know.
///
/// Whole numbers within 64 bits stay exact; all others are IEEE doubles, as in every Kubernetes client.
package enum JSON: Hashable, Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSON])
    case object(JSONObject)
}

package typealias JSONObject = OrderedDictionary<String, JSON>

// MARK: - Reading

extension JSON {
    package var isNull: Bool { self == .null }

    package var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The value as a whole number; a double counts when it is whole and fits.
    package var int: Int? {
        switch self {
        case .integer(let value): Int(value)
        case .number(let value): Int(exactly: value)
        default: nil
        }
    }

    package var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    package var string: String? {
        if case .string(let value) = self { value } else { nil }
    }

    package var array: [JSON]? {
        if case .array(let value) = self { value } else { nil }
    }

    package var object: JSONObject? {
        if case .object(let value) = self { value } else { nil }
    }

    /// The string values of an object, such as labels; values of other types are left out.
    package var stringMap: [String: String] {
        guard let object else { return [:] }
        return object.reduce(into: [:]) { map, field in map[field.key] = field.value.string }
    }

    /// The name of the JSON type, for error messages.
    package var typeName: String {
        switch self {
        case .null: "null"
        case .bool: "boolean"
        case .integer: "integer"
        case .number: "number"
        case .string: "string"
        case .array: "array"
        case .object: "object"
        }
    }
}

// MARK: - Fields

extension JSON {
    /// The field `key` of an object; `nil` where this is no object or has no such field. Setting `nil` removes the field; setting a
    /// value on anything but an object makes it an object.
    package subscript(key: String) -> JSON? {
        get {
            if case .object(let object) = self { object[key] } else { nil }
        }
        set {
            var object: JSONObject = [:]
            if case .object(let existing) = self { object = existing }
            self = .null  // gives up the shared storage, so that the change below happens in place
            object[key] = newValue
            self = .object(object)
        }
    }

    /// The field reached by walking `path` through nested objects. Setting a value makes the objects on the way.
    package subscript(_ first: String, _ second: String, _ rest: String...) -> JSON? {
        get { self[path: [first, second] + rest] }
        set { self[path: [first, second] + rest] = newValue }
    }

    package subscript(path path: [String]) -> JSON? {
        get {
            var value = self
            for key in path {
                guard let next = value[key] else { return nil }
                value = next
            }
            return value
        }
        set {
            guard let first = path.first else {
                self = newValue ?? .null
                return
            }
            guard path.count > 1 else {
                self[first] = newValue
                return
            }
            guard newValue != nil || self[first] != nil else { return }
            var child = self[first] ?? .object([:])
            child[path: Array(path.dropFirst())] = newValue
            self[first] = child
        }
    }

    /// The element `index` of an array, or `nil`.
    package subscript(index: Int) -> JSON? {
        guard let array, array.indices.contains(index) else { return nil }
        return array[index]
    }
}

// MARK: - Literals

// No nil literal: `object["field"] = condition ? nil : value` must remove the field, not set it to null.

extension JSON: ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByBooleanLiteral,
    ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(integerLiteral value: Int64) { self = .integer(value) }
    package init(floatLiteral value: Double) { self = .number(value) }
    package init(arrayLiteral elements: JSON...) { self = .array(elements) }

    package init(dictionaryLiteral elements: (String, JSON)...) {
        self = .object(JSONObject(elements, uniquingKeysWith: { _, last in last }))
    }

    package init(_ value: Int) { self = .integer(Int64(value)) }
    package init(_ value: String) { self = .string(value) }
    package init(_ value: Bool) { self = .bool(value) }
    package init(_ value: [String]) { self = .array(value.map(JSON.string)) }

    /// An object of strings, its keys in ascending order so that equal maps are equal bytes.
    package init(_ map: [String: String]) {
        self = .object(
            JSONObject(uniqueKeysWithValues: map.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })
        )
    }
}
