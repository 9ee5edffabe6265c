extension ResourceDefinition {
    /// `object` with everything set that its author may leave out, as the API server stores it. Applying it again changes nothing.
    package func withDefaults(_ object: JSON) -> JSON {
        var object = object
        if !isCustom, schema.property("spec") != nil, object["spec"]?.isNull ?? true { object["spec"] = [:] }
        return Defaulting.applied(to: object, schema)
    }
}

enum Defaulting {
    static func applied(to value: JSON, _ schema: SchemaNode) -> JSON {
        switch value {
        case .object(var fields):
            ConditionalDefaults.applyBefore(schema.definitionName, &fields)
            setAbsent(schema, &fields)
            for (name, field) in fields where field.isContainer {
                guard let child = schema.child(name) else { continue }
                fields[name] = applied(to: field, child)
            }
            ConditionalDefaults.applyAfter(schema.definitionName, &fields)
            return .object(fields)
        case .array(let elements):
            guard let items = schema.items else { return value }
            return .array(elements.map { applied(to: $0, items) })
        default: return value
        }
    }

    private static func setAbsent(_ schema: SchemaNode, _ fields: inout JSONObject) {
        let facts = schema.facts
        for (name, place) in facts.properties {
            guard let value = schema.library.nodes[place].defaultValue else { continue }
            let present = fields[name]
            if present == nil || present == .null && !schema.library.nodes[place].isNullable { fields[name] = value }
        }
    }
}

extension JSON {
    fileprivate var isContainer: Bool {
        switch self {
        case .object, .array: true
        default: false
        }
    }
}
