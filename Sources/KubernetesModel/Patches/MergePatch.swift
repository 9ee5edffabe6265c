/// JSON merge patch (RFC 7386).
package enum MergePatch {
    /// Objects merge field by field, `null` removes a field, anything else replaces.
    package static func apply(_ patch: JSON, to target: JSON) -> JSON {
        guard case .object(let fields) = patch else { return patch }
        var result = target.object ?? [:]
        for (name, value) in fields {
            if value.isNull {
                result.removeValue(forKey: name)
            } else {
                result[name] = apply(value, to: result[name] ?? .null)
            }
        }
        return .object(result)
    }
}
