import _StringProcessing

/// Checks what the schema alone can say: types, required fields, allowed values and bounds.
struct StructuralValidation {
    private(set) var errors: [FieldError] = []
    /// The most errors that are reported of one object.
    static let maximumErrors = 50

    /// Decoders of built-in kinds fill absent fields of a status with zero values, so that only custom kinds need them.
    let requiresStatusFields: Bool

    init(requiresStatusFields: Bool) { self.requiresStatusFields = requiresStatusFields }

    mutating func check(_ value: JSON, _ schema: SchemaNode, _ path: String) {
        guard errors.count < Self.maximumErrors else { return }
        if value.isNull {
            if !schema.isNullable, schema.type != .any { report(.typeInvalid(path, value, expected: schema.typeText)) }
            return
        }
        guard schema.accepts(value) else {
            report(.typeInvalid(path, value, expected: schema.typeText))
            return
        }
        checkAllowedValues(value, schema, path)
        switch value {
        case .object(let fields): checkObject(fields, schema, path)
        case .array(let elements): checkArray(elements, schema, path)
        case .string(let text): checkText(text, schema, path)
        case .integer, .number: checkNumber(value, schema, path)
        default: return
        }
    }

    // MARK: - Private

    private mutating func report(_ error: FieldError) {
        if errors.count < Self.maximumErrors { errors.append(error) }
    }

    private mutating func checkAllowedValues(_ value: JSON, _ schema: SchemaNode, _ path: String) {
        let allowed = schema.allowedValues
        guard !allowed.isEmpty, !allowed.contains(value) else { return }
        report(.unsupported(path, value, allowed.map { $0.string ?? $0.encodedString }.sorted()))
    }

    private mutating func checkObject(_ fields: JSONObject, _ schema: SchemaNode, _ path: String) {
        if requiresStatusFields || !(path == "status" || path.hasPrefix("status.")) {
            for name in schema.required where fields[name] == nil || fields[name] == .null {
                report(.required(path.isEmpty ? name : "\(path).\(name)"))
            }
        }
        if let least = schema.minProperties, fields.count < least {
            report(.invalid(path, .integer(Int64(fields.count)), "should have at least \(least) properties"))
        }
        if let most = schema.maxProperties, fields.count > most {
            report(.invalid(path, .integer(Int64(fields.count)), "must have at most \(most) properties"))
        }
        for (name, field) in fields {
            guard let child = schema.child(name) else { continue }
            let isNamed = schema.property(name) != nil
            check(field, child, path.isEmpty ? name : isNamed ? "\(path).\(name)" : "\(path)[\(name)]")
        }
    }

    private mutating func checkArray(_ elements: [JSON], _ schema: SchemaNode, _ path: String) {
        if let least = schema.minItems, elements.count < least {
            report(.invalid(path, JSON(elements.count), "should have at least \(least) items"))
        }
        if let most = schema.maxItems, elements.count > most {
            report(.invalid(path, JSON(elements.count), "must have at most \(most) items"))
        }
        if let items = schema.items {
            for (index, element) in elements.enumerated() { check(element, items, "\(path)[\(index)]") }
        }
        checkUniqueness(elements, schema, path)
    }

    private mutating func checkUniqueness(_ elements: [JSON], _ schema: SchemaNode, _ path: String) {
        var seen: Set<JSON> = []
        for (index, element) in elements.enumerated() {
            switch schema.listType {
            case .atomic: return
            case .set:
                if !seen.insert(element).inserted { report(.duplicate("\(path)[\(index)]", element)) }
            case .map:
                let key = ListKey.of(element, schema)
                if !seen.insert(.object(key)).inserted { report(.duplicate("\(path)[\(index)]", .object(key))) }
            }
        }
    }

    private mutating func checkText(_ text: String, _ schema: SchemaNode, _ path: String) {
        if let least = schema.minLength, text.unicodeScalars.count < least {
            report(.invalid(path, .string(text), "should be at least \(least) chars long"))
        }
        if let most = schema.maxLength, text.unicodeScalars.count > most {
            report(.invalid(path, .string(text), "may not be more than \(most) bytes"))
        }
        if let pattern = schema.pattern, !Pattern.matches(pattern, text) {
            report(.invalid(path, .string(text), "should match '\(pattern)'"))
        }
        if schema.format == "date-time", !text.isEmpty, Timestamp(text) == nil {
            report(.invalid(path, .string(text), "must be a date and time as in RFC 3339"))
        }
        if schema.format == "byte", Base64.decoded(text) == nil {
            report(.invalid(path, .string("<bytes>"), "must be base64 (RFC 4648)"))
        }
        if schema.type == .quantity, Quantity(.string(text)) == nil {
            report(.invalid(path, .string(text), "must be a quantity, such as 500m, 2, 1.5Gi or 1e3"))
        }
    }

    private mutating func checkNumber(_ value: JSON, _ schema: SchemaNode, _ path: String) {
        guard let number = value.double else { return }
        if let least = schema.minimum, number < least || schema.hasExclusiveMinimum && number == least {
            report(
                .invalid(
                    path,
                    value,
                    "must be greater than \(schema.hasExclusiveMinimum ? "" : "or equal to ")\(shown(least))"
                )
            )
        }
        if let most = schema.maximum, number > most || schema.hasExclusiveMaximum && number == most {
            report(
                .invalid(
                    path,
                    value,
                    "must be less than \(schema.hasExclusiveMaximum ? "" : "or equal to ")\(shown(most))"
                )
            )
        }
        if schema.format == "int32", Int32(exactly: number) == nil {
            report(.invalid(path, value, "must be within 32 bits"))
        }
    }

    private func shown(_ bound: Double) -> String { JSON.number(bound).encodedString }
}

extension SchemaNode {
    fileprivate func accepts(_ value: JSON) -> Bool {
        switch (type, value) {
        case (.any, _), (.object, .object), (.array, .array), (.string, .string), (.boolean, .bool): true
        case (.integer, .integer), (.number, .integer), (.number, .number): true
        case (.integer, .number): value.int != nil
        case (.intOrString, .integer), (.intOrString, .string): true
        case (.quantity, .string), (.quantity, .integer), (.quantity, .number): true
        default: false
        }
    }

    fileprivate var typeText: String {
        switch type {
        case .intOrString: "integer or string"
        case .quantity: "string or number"
        default: type.rawValue
        }
    }
}

/// The `pattern` of a schema: a regular expression that may match anywhere in the text.
private enum Pattern {
    /// The longest text that is matched; beyond it the bounds of the schema must speak.
    static let maximumLength = 4096

    static func matches(_ pattern: String, _ text: String) -> Bool {
        guard text.utf8.count <= maximumLength, let expression = try? Regex(pattern) else { return true }
        return (try? expression.firstMatch(in: text)) != nil
    }
}

/// The fields that tell the elements of a list of type map apart.
enum ListKey {
    /// The key fields of `element` in their order; absent ones have their default, or stay absent.
    static func of(_ element: JSON, _ schema: SchemaNode) -> JSONObject {
        var key: JSONObject = [:]
        for name in schema.listMapKeys.sorted() {
            guard let value = element[name] ?? schema.items?.property(name)?.defaultValue else { continue }
            key[name] = value
        }
        return key
    }
}
