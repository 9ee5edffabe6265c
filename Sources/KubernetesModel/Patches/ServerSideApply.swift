/// Server-side apply: each manager states the fields that it cares about; the server keeps who owns what, removes what its last owner no
/// longer states, and refuses to change what belongs to others.
package enum ServerSideApply {
    /// Merges what `manager` wants into the live object and records what it owns.
    ///
    /// - Parameters:
    ///   - live: The stored object, or `nil` to create it.
    ///   - force: Take fields of others over instead of failing.
    ///   - time: RFC 3339, for the new entry of `managedFields`.
    ///   - subresource: `status` or `scale` where the request went to one.
    /// - Returns: The object to store, without defaults.
    /// - Throws: 409 with a cause for each field that another manager owns and holds differently.
    package static func apply(
        _ configuration: JSON,
        to live: JSON?,
        manager: String,
        force: Bool,
        schema: SchemaNode,
        apiVersion: String,
        time: String,
        subresource: String? = nil
    ) throws(StatusError) -> JSON {
        guard !manager.isEmpty else { throw .badRequest("fieldManager is required for apply patch") }
        guard configuration["metadata", "managedFields"]?.array?.isEmpty ?? true else {
            throw .badRequest("metadata.managedFields must be nil")
        }
        let wanted = TypedValue(withoutNulls(configuration), schema)
        let base = TypedValue(live ?? identity(of: configuration), schema)
        var owners = ManagedFields(of: live)
        let entry = ManagedFields.Entry(
            manager: manager,
            operation: .apply,
            apiVersion: apiVersion,
            subresource: subresource ?? "",
            time: time,
            fields: wanted.fieldSet.withoutUnmanaged
        )
        let previous = owners.entries.first(where: entry.isSameManager)?.fields ?? FieldSet()
        var merged = TypedValue(base.merged(with: wanted), schema)
        try settleConflicts(base.changes(to: merged).changed, &owners, entry, force: force)
        merged = TypedValue(withoutDropped(merged, previous, entry, owners), schema)
        owners.set(entry)
        owners.keepOnly(merged.fieldSet)
        return owners.written(to: merged.value)
    }

    /// Records a write that was no apply: the manager owns what it changed, and nobody owns what is gone.
    ///
    /// - Returns: `new` with `metadata.managedFields` brought up to date.
    package static func recordUpdate(
        old: JSON?,
        new: JSON,
        manager: String,
        schema: SchemaNode,
        apiVersion: String,
        time: String,
        subresource: String? = nil
    ) -> JSON {
        // A client may edit the owners themselves, as kubectl does when it turns client-side apply into server-side apply.
        var owners = ManagedFields(of: new)
        if owners.entries.isEmpty { owners = ManagedFields(of: old) }
        let before = TypedValue(old ?? [:], schema)
        let after = TypedValue(new, schema)
        let changes = before.changes(to: after)
        let changed = changes.changed.withoutUnmanaged
        var entry = ManagedFields.Entry(
            manager: manager,
            operation: .update,
            apiVersion: apiVersion,
            subresource: subresource ?? "",
            time: time,
            fields: changed
        )
        owners.removeFields(changed, except: entry)
        let known = owners.entries.first(where: entry.isSameManager)
        if !changed.isEmpty || known != nil {
            entry.fields = changed.union(known?.fields ?? FieldSet())
            owners.set(entry)
        }
        owners.keepOnly(after.fieldSet)
        return owners.written(to: new)
    }

    // MARK: - Private

    private static func identity(of configuration: JSON) -> JSON {
        var object: JSON = [:]
        for field in ["apiVersion", "kind"] { object[field] = configuration[field] }
        return object
    }

    /// `null` in a configuration states nothing.
    private static func withoutNulls(_ value: JSON) -> JSON {
        switch value {
        case .object(let fields): .object(fields.filter { !$0.value.isNull }.mapValues(withoutNulls))
        case .array(let elements): .array(elements.map(withoutNulls))
        default: value
        }
    }

    private static func settleConflicts(
        _ changed: FieldSet,
        _ owners: inout ManagedFields,
        _ entry: ManagedFields.Entry,
        force: Bool
    ) throws(StatusError) {
        var conflicts: [(owner: ManagedFields.Entry, path: String)] = []
        for owner in owners.entries where !owner.isSameManager(as: entry) {
            conflicts += owner.fields.intersection(changed).paths.map { (owner, $0) }
        }
        if conflicts.isEmpty { return }
        guard force else { throw conflictError(conflicts) }
        owners.removeFields(changed, except: entry)
    }

    /// Removes what the manager applied before, no longer states, and nobody else owns.
    private static func withoutDropped(
        _ merged: TypedValue,
        _ previous: FieldSet,
        _ entry: ManagedFields.Entry,
        _ owners: ManagedFields
    ) -> JSON {
        var dropped = previous.subtracting(entry.fields)
        for owner in owners.entries where !owner.isSameManager(as: entry) {
            dropped = dropped.subtractingOwned(owner.fields)
        }
        dropped = dropped.subtractingOwned(entry.fields)
        return dropped.isEmpty ? merged.value : merged.removing(dropped)
    }

    private static func conflictError(_ conflicts: [(owner: ManagedFields.Entry, path: String)]) -> StatusError {
        let causes = conflicts.map { conflict -> JSON in
            [
                "reason": "FieldManagerConflict",
                "message": .string("conflict with \(conflict.owner.shown)"),
                "field": .string(conflict.path),
            ]
        }
        let lines = conflicts.map { "conflict with \($0.owner.shown): \($0.path)" }
        let noun = conflicts.count == 1 ? "conflict" : "conflicts"
        return StatusError(
            code: 409,
            reason: "Conflict",
            message: "Apply failed with \(conflicts.count) \(noun): \(lines.joined(separator: "\n"))",
            details: ["causes": .array(causes)]
        )
    }
}

extension ManagedFields.Entry {
    fileprivate var shown: String {
        let place = subresource.isEmpty ? "" : " with subresource \"\(subresource)\""
        return "\"\(manager)\"\(place) using \(apiVersion)"
    }
}

extension FieldSet {
    /// What makes the object itself, or belongs to the server, has no manager.
    fileprivate var withoutUnmanaged: FieldSet {
        var result = self
        for name in ["apiVersion", "kind"] {
            result.members.remove(.field(name))
            result.children[.field(name)] = nil
        }
        var metadata = result.child(.field("metadata"))
        let unmanaged = [
            "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink",
            "managedFields",
            "deletionTimestamp", "deletionGracePeriodSeconds",
        ]
        for name in unmanaged {
            metadata.members.remove(.field(name))
            metadata.children[.field(name)] = nil
        }
        result.members.remove(.field("metadata"))
        result.setChild(.field("metadata"), metadata)
        return result
    }

    /// Without the places that `owned` has, and without those above them: an element stays while someone owns a part of it.
    fileprivate func subtractingOwned(_ owned: FieldSet) -> FieldSet {
        var result = FieldSet()
        result.members = members.filter { !owned.members.contains($0) && owned.children[$0] == nil }
        for (element, set) in children {
            result.setChild(element, owned.children[element].map(set.subtractingOwned) ?? set)
        }
        return result
    }
}
