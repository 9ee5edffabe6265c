/// One thing that is wrong with an object, as a cause of a `Status` with reason `Invalid`.
package struct FieldError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Kind: String, Hashable, Sendable {
        case required = "FieldValueRequired"
        case invalid = "FieldValueInvalid"
        case unsupported = "FieldValueNotSupported"
        case duplicate = "FieldValueDuplicate"
        case forbidden = "FieldValueForbidden"
        case typeInvalid = "FieldValueTypeInvalid"
    }

    /// Such as `spec.template.spec.containers[0].name`.
    package var path: String
    package var kind: Kind
    package var message: String

    package init(path: String, kind: Kind, message: String) {
        self.path = path
        self.kind = kind
        self.message = message
    }

    package var description: String { "\(path): \(message)" }
}

extension FieldError {
    package static func required(_ path: String, _ detail: String = "") -> FieldError {
        FieldError(path: path, kind: .required, message: "Required value\(detail.isEmpty ? "" : ": \(detail)")")
    }

    package static func invalid(_ path: String, _ value: JSON, _ detail: String) -> FieldError {
        FieldError(path: path, kind: .invalid, message: "Invalid value: \(shown(value)): \(detail)")
    }

    package static func unsupported(_ path: String, _ value: JSON, _ supported: [String]) -> FieldError {
        let values = supported.map { "\"\($0)\"" }.joined(separator: ", ")
        let message = "Unsupported value: \(shown(value)): supported values: \(values)"
        return FieldError(path: path, kind: .unsupported, message: message)
    }

    package static func duplicate(_ path: String, _ value: JSON) -> FieldError {
        FieldError(path: path, kind: .duplicate, message: "Duplicate value: \(shown(value))")
    }

    package static func forbidden(_ path: String, _ detail: String) -> FieldError {
        FieldError(path: path, kind: .forbidden, message: "Forbidden: \(detail)")
    }

    package static func typeInvalid(_ path: String, _ value: JSON, expected: String) -> FieldError {
        FieldError(
            path: path,
            kind: .typeInvalid,
            message: "Invalid value: \"\(value.typeName)\": must be of type \(expected)"
        )
    }

    /// Values are cut, so that an error never carries a whole file.
    private static func shown(_ value: JSON) -> String {
        let text = value.encodedString
        return text.utf8.count <= 256 ? text : String(text.prefix(256)) + "…"
    }
}

extension StatusError {
    /// 422: the object is read, but what it asks for is wrong in every way listed.
    package static func invalid(_ resource: Resource, _ name: String, _ errors: [FieldError]) -> StatusError {
        let kind = resource.group.isEmpty ? resource.kind : "\(resource.kind).\(resource.group)"
        let lines = errors.map(\.description)
        let summary = lines.count == 1 ? lines[0] : "[\(lines.joined(separator: ", "))]"
        let causes = errors.map { error -> JSON in
            [
                "reason": .string(error.kind.rawValue), "message": .string(error.message),
                "field": .string(error.path),
            ]
        }
        return StatusError(
            code: 422,
            reason: "Invalid",
            message: "\(kind) \"\(name)\" is invalid: \(summary)",
            details: [
                "name": .string(name), "group": .string(resource.group), "kind": .string(resource.kind),
                "causes": .array(causes),
            ]
        )
    }
}
