/// Strategic merge patch of Kubernetes: a merge patch that knows from the schema which lists merge by key, with the directives `$patch`,
/// `$retainKeys`, `$deleteFromPrimitiveList/…` and `$setElementOrder/…`.
package enum StrategicMergePatch {
    /// - Throws: 400 for directives that make no sense and for list elements without their merge key.
    package static func apply(_ patch: JSON, to target: JSON, schema: SchemaNode) throws(StatusError) -> JSON {
        guard let fields = patch.object else {
            throw .badRequest("a strategic merge patch must be an object, not \(patch.typeName)")
        }
        return .object(try merge(fields, into: target.object ?? [:], schema))
    }

    // MARK: - Objects

    private static let deletionPrefix = "$deleteFromPrimitiveList/"
    private static let orderPrefix = "$setElementOrder/"

    private static func merge(
        _ patch: JSONObject,
        into target: JSONObject,
        _ schema: SchemaNode?
    ) throws(StatusError) -> JSONObject {
        switch patch["$patch"]?.string {
        case "replace": return withoutDirectives(patch)
        case "delete": return [:]
        case nil, "merge": break
        case let other?: throw .badRequest("unknown patch type \"\(other)\": expected replace, merge or delete")
        }
        var result = target
        try retainKeys(patch, in: &result)
        for (name, value) in patch where !name.hasPrefix("$") {
            try mergeField(name, value, patch, into: &result, schema?.child(name))
        }
        try applyPrimitiveDeletions(patch, to: &result)
        try applyOrders(patch, to: &result, schema)
        return result
    }

    private static func mergeField(
        _ name: String,
        _ value: JSON,
        _ patch: JSONObject,
        into result: inout JSONObject,
        _ schema: SchemaNode?
    ) throws(StatusError) {
        switch value {
        case .null: result.removeValue(forKey: name)
        case .object(let fields):
            if fields["$patch"]?.string == "delete" {
                result.removeValue(forKey: name)
            } else if schema?.replacesStrategically == true {
                result[name] = .object(withoutDirectives(fields))
            } else {
                result[name] = .object(try merge(fields, into: result[name]?.object ?? [:], schema))
            }
        case .array(let elements):
            result[name] = .array(try merge(elements, into: result[name]?.array ?? [], schema))
        default: result[name] = value
        }
    }

    /// `$retainKeys` names all fields that may remain, those of the patch among them.
    private static func retainKeys(_ patch: JSONObject, in result: inout JSONObject) throws(StatusError) {
        guard let directive = patch["$retainKeys"] else { return }
        guard let names = directive.array?.compactMap(\.string) else {
            throw .badRequest("$retainKeys must be a list of field names")
        }
        for name in patch.keys where !name.hasPrefix("$") && !names.contains(name) {
            throw .badRequest("$retainKeys must name \"\(name)\", which the patch sets")
        }
        result = result.filter { names.contains($0.key) }
    }

    private static func withoutDirectives(_ fields: JSONObject) -> JSONObject {
        fields.filter { !$0.key.hasPrefix("$") && !$0.value.isNull }.mapValues(withoutDirectives)
    }

    private static func withoutDirectives(_ value: JSON) -> JSON {
        switch value {
        case .object(let fields): .object(withoutDirectives(fields))
        case .array(let elements):
            .array(elements.filter { $0["$patch"] == nil }.map { withoutDirectives($0) })
        default: value
        }
    }

    // MARK: - Lists

    private static func merge(
        _ patch: [JSON],
        into target: [JSON],
        _ schema: SchemaNode?
    ) throws(StatusError) -> [JSON] {
        guard let schema, schema.mergesStrategically else {
            return patch.filter { $0["$patch"] == nil }.map { withoutDirectives($0) }
        }
        guard let key = schema.patchMergeKey, patch.contains(where: { $0.object != nil }) else {
            return target + patch.filter { !target.contains($0) }.uniqued()
        }
        if patch.contains(where: { $0["$patch"]?.string == "replace" }) {
            return patch.filter { $0["$patch"] == nil }.map { withoutDirectives($0) }
        }
        return try merge(patch, into: target, by: key, schema.items)
    }

    private static func merge(
        _ patch: [JSON],
        into target: [JSON],
        by key: String,
        _ schema: SchemaNode?
    ) throws(StatusError) -> [JSON] {
        var result = target
        for element in patch {
            guard let fields = element.object, let value = fields[key] else {
                throw .badRequest("the element \(element.encodedString.prefix(256)) needs its merge key \"\(key)\"")
            }
            let place = result.firstIndex { $0[key] == value }
            if fields["$patch"]?.string == "delete" {
                result.removeAll { $0[key] == value }
            } else if let place {
                result[place] = .object(try merge(fields, into: result[place].object ?? [:], schema))
            } else {
                result.append(.object(try merge(fields, into: [:], schema)))
            }
        }
        return result
    }

    private static func applyPrimitiveDeletions(
        _ patch: JSONObject,
        to result: inout JSONObject
    ) throws(StatusError) {
        for (directive, value) in patch where directive.hasPrefix(deletionPrefix) {
            guard let removed = value.array else { throw .badRequest("\(directive) must be a list") }
            let name = String(directive.dropFirst(deletionPrefix.count))
            guard let elements = result[name]?.array else { continue }
            let added = patch[name]?.array ?? []
            result[name] = .array(elements.filter { !removed.contains($0) || added.contains($0) })
        }
    }

    // MARK: - Order

    private static func applyOrders(
        _ patch: JSONObject,
        to result: inout JSONObject,
        _ schema: SchemaNode?
    ) throws(StatusError) {
        for (directive, value) in patch where directive.hasPrefix(orderPrefix) {
            guard let order = value.array else { throw .badRequest("\(directive) must be a list") }
            let name = String(directive.dropFirst(orderPrefix.count))
            guard let elements = result[name]?.array else { continue }
            let key = schema?.child(name)?.patchMergeKey
            func identity(_ element: JSON) -> JSON { key.flatMap { element[$0] } ?? element }
            result[name] = .array(ordered(elements, by: order.map(identity), identity))
        }
    }

    /// Puts the elements that `order` names into its order; each other one stays behind the element that it followed.
    private static func ordered(_ elements: [JSON], by order: [JSON], _ identity: (JSON) -> JSON) -> [JSON] {
        var ranks: [JSON: Int] = [:]
        for (rank, element) in order.enumerated() where ranks[element] == nil { ranks[element] = rank }
        let named = elements.filter { ranks[identity($0)] != nil }
            .sorted { (ranks[identity($0)] ?? 0) < (ranks[identity($1)] ?? 0) }
        var result = named
        for (place, element) in elements.enumerated() where ranks[identity(element)] == nil {
            let predecessor = place == 0 ? nil : result.firstIndex(of: elements[place - 1])
            result.insert(element, at: predecessor.map { $0 + 1 } ?? (place == 0 ? 0 : result.count))
        }
        return result
    }
}

extension [JSON] {
    fileprivate func uniqued() -> [JSON] {
        var seen: Set<JSON> = []
        return filter { seen.insert($0).inserted }
    }
}
