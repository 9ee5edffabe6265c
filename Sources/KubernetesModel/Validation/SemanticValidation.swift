/// Checks what the schema cannot say, by the name of the definition that a value has.
enum SemanticValidation {
    typealias Rule = @Sendable (_ fields: JSON, _ path: String) -> [FieldError]

    static func errors(in object: JSON, _ schema: SchemaNode) -> [FieldError] {
        var errors: [FieldError] = []
        collect(object, schema, "", &errors)
        return errors
    }

    private static let rules: [String: Rule] = PodRules.rules.merging(WorkloadRules.rules) { rule, _ in rule }
        .merging(NetworkRules.rules) { rule, _ in rule }
        .merging(ConfigurationRules.rules) { rule, _ in rule }

    private static func collect(_ value: JSON, _ schema: SchemaNode, _ path: String, _ errors: inout [FieldError]) {
        guard errors.count < StructuralValidation.maximumErrors else { return }
        switch value {
        case .object(let fields):
            if let rule = rules[schema.definitionName] { errors += rule(value, path) }
            for (name, field) in fields where name != "status" || !path.isEmpty {
                guard let child = schema.child(name) else { continue }
                collect(field, child, path.isEmpty ? name : "\(path).\(name)", &errors)
            }
        case .array(let elements):
            guard let items = schema.items else { return }
            for (index, element) in elements.enumerated() {
                collect(element, items, "\(path)[\(index)]", &errors)
            }
        default: return
        }
    }
}
