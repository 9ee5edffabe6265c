import KubernetesClient
import KubernetesModel

/// A change of one stored object.
struct Modification {
    let definition: ResourceDefinition
    let namespace: String?
    let name: String
    /// `status` or nothing; other subresources are expressed as changes of the object itself.
    var subresource: String?
    let context: RequestContext
    /// The managers of fields are already recorded in the result (server-side apply).
    var isApplied = false
}

extension APIService {
    /// How often a change that names no resource version is tried again on the version that overtook it.
    private static let modificationAttempts = 16

    /// Replaces an object by `body`.
    func update(
        _ definition: ResourceDefinition,
        namespace: String?,
        name: String,
        subresource: String? = nil,
        _ body: JSON,
        context: RequestContext
    ) async throws -> WriteResult {
        var warnings: [String] = []
        var new = try decode(body, as: definition, namespace: namespace, context, &warnings)
        let view = AnyObjectView(new)
        guard view.name.isEmpty || view.name == name else {
            throw StatusError.badRequest(
                "the name of the object (\(view.name)) does not match the name on the URL (\(name))"
            )
        }
        new["metadata", "name"] = .string(name)
        let modification = Modification(
            definition: definition,
            namespace: namespace,
            name: name,
            subresource: subresource,
            context: context
        )
        let replacement = new
        var result = try await modify(modification, isConditional: !view.resourceVersion.isEmpty) { _ in replacement }
        result.warnings = warnings + result.warnings
        return result
    }

    /// Applies `change` to the stored object and stores the result.
    ///
    /// Unless `isConditional`, the change is made again when another write came in between.
    func modify(
        _ modification: Modification,
        isConditional: Bool = false,
        _ change: (JSON) throws -> JSON
    ) async throws -> WriteResult {
        let resource = modification.definition.resource
        for attempt in 1... {
            let stored = try get(modification.definition, namespace: modification.namespace, name: modification.name)
            let old = try stored.json()
            do {
                return try await replace(stored, old, with: try change(old), modification)
            } catch StoreError.modified where !isConditional && attempt < Self.modificationAttempts {
                continue
            } catch let error as StoreError {
                throw StatusError(error, resource, modification.name)
            }
        }
        preconditionFailure("The loop above ends by returning or throwing.")
    }

    // MARK: - Private

    /// Checks the identity → keeps what the request may not change → default → rules of the kind → validate → store.
    private func replace(
        _ stored: StoredObject,
        _ old: JSON,
        with proposed: JSON,
        _ modification: Modification
    ) async throws -> WriteResult {
        let (definition, context) = (modification.definition, modification.context)
        try requireSameObject(proposed, old, definition.resource)
        var result = WriteResult(object: merged(proposed, old, modification))
        let admitted = try admitUpdate(&result.object, from: old, modification)
        defer { admitted.reservation?.release() }
        if !modification.isApplied {
            result.object = recordingManager(
                old: old,
                new: result.object,
                definition,
                context,
                modification.subresource
            )
        }
        guard !old.isUnchanged(by: result.object) else { return WriteResult(object: old) }
        if result.object.specificationDiffers(from: old), let generation = old["metadata", "generation"]?.int {
            result.object["metadata", "generation"] = JSON(generation + 1)
        }
        guard !context.options.isDryRun else { return result }
        let isLast = isReadyToGo(result.object)
        result.object = try await commit(
            isLast ? .delete(stored, last: result.object) : .replace(stored, with: result.object),
            as: definition
        )
        if isLast {
            await didDelete(result.object, definition.resource)
        } else {
            try didUpdate(result.object, definition.resource)
        }
        return result
    }

    private func requireSameObject(_ new: JSON, _ old: JSON, _ resource: Resource) throws {
        let (new, old) = (AnyObjectView(new), AnyObjectView(old))
        guard new.resourceVersion.isEmpty || new.resourceVersion == old.resourceVersion else {
            throw StatusError.modified(resource, old.name)
        }
        guard new.uid.isEmpty || new.uid == old.uid else {
            throw StatusError.conflict(
                resource,
                old.name,
                "Precondition failed: UID in precondition: \(new.uid), UID in object meta: \(old.uid)"
            )
        }
        guard new.name == old.name else {
            throw StatusError.badRequest("metadata.name may not be changed from \(old.name) to \(new.name)")
        }
    }

    /// What is stored when `proposed` is written: the parts that belong to the other subresource and to the server stay as they are.
    private func merged(_ proposed: JSON, _ old: JSON, _ modification: Modification) -> JSON {
        if modification.subresource == "status" {
            var new = old
            new["status"] = proposed["status"]
            if modification.isApplied { new["metadata", "managedFields"] = proposed["metadata", "managedFields"] }
            return new
        }
        var new = proposed
        if modification.definition.hasStatus { new["status"] = old["status"] }
        let kept = [
            "namespace", "uid", "resourceVersion", "creationTimestamp", "generation", "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ]
        for field in kept { new["metadata", field] = old["metadata", field] }
        if new["metadata", "managedFields"] == nil {
            new["metadata", "managedFields"] = old["metadata", "managedFields"]
        }
        return new
    }

    /// Whether an object that is being deleted waits for nobody any more.
    func isReadyToGo(_ object: JSON) -> Bool {
        let view = AnyObjectView(object)
        guard view.isBeingDeleted, view.finalizers.isEmpty else { return false }
        guard (object["metadata", "deletionGracePeriodSeconds"]?.int ?? 0) == 0 else { return false }
        return !(view.kind == "Namespace" && view.apiVersion == "v1") || NamespaceRules.finalizers(of: object).isEmpty
    }
}
