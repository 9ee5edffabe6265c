extension ResourceDefinition {
    /// The fields of `object` that this kind does not have, as paths: `spec.template.spec.containers[0].imagee`.
    package func unknownFields(in object: JSON) -> [String] {
        var unknown: [String] = []
        FieldWalk.collectUnknown(in: object, schema, "", &unknown)
        return unknown
    }

    /// The error that strict field validation answers, or `nil` when every field of `object` is known.
    package func strictDecodingError(in object: JSON) -> StatusError? {
        let unknown = unknownFields(in: object)
        guard !unknown.isEmpty else { return nil }
        let fields = unknown.map { "unknown field \"\($0)\"" }.joined(separator: ", ")
        return .badRequest(
            "\(resource.kind) in version \"\(resource.version)\" cannot be handled as a \(resource.kind): "
                + "strict decoding error: \(fields)"
        )
    }

    /// `object` without the fields that this kind does not have, and without `null` where a value is meant.
    package func pruned(_ object: JSON) -> JSON {
        FieldWalk.pruned(object, schema)
    }
}

private enum FieldWalk {
    static func collectUnknown(in value: JSON, _ schema: SchemaNode, _ path: String, _ unknown: inout [String]) {
        switch value {
        case .object(let fields):
            guard schema.describesFields else { return }
            for (name, field) in fields {
                let fieldPath = path.isEmpty ? name : "\(path).\(name)"
                if let child = schema.child(name) {
                    collectUnknown(in: field, child, fieldPath, &unknown)
                } else if !schema.preservesUnknownFields, !schema.isImplicit(name) {
                    unknown.append(fieldPath)
                }
            }
        case .array(let elements):
            guard let items = schema.items else { return }
            for (index, element) in elements.enumerated() {
                collectUnknown(in: element, items, "\(path)[\(index)]", &unknown)
            }
        default: return
        }
    }

    static func pruned(_ value: JSON, _ schema: SchemaNode) -> JSON {
        switch value {
        case .object(let fields):
            guard schema.describesFields else { return value }
            var kept: JSONObject = [:]
            kept.reserveCapacity(fields.count)
            for (name, field) in fields {
                if let child = schema.child(name) {
                    if !field.isNull || child.keepsNull { kept[name] = pruned(field, child) }
                } else if schema.preservesUnknownFields || schema.isImplicit(name) {
                    kept[name] = field
                }
            }
            return .object(kept)
        case .array(let elements):
            guard let items = schema.items else { return value }
            return .array(elements.map { pruned($0, items) })
        default: return value
        }
    }
}

extension SchemaNode {
    /// The schema names fields; without any an object may hold everything that its type allows.
    fileprivate var describesFields: Bool {
        type == .object && (hasProperties || additionalProperties != nil || !preservesUnknownFields)
    }

    /// Embedded objects have the fields of every object.
    fileprivate func isImplicit(_ name: String) -> Bool {
        isEmbeddedResource && ["apiVersion", "kind", "metadata"].contains(name)
    }

    fileprivate var keepsNull: Bool { isNullable || type == .any }
}
