import KubernetesClient
import KubernetesModel

extension APIService {
    private static let deletionAttempts = 16

    /// Deletes an object, or marks it as being deleted when its grace period or its finalizers hold it back.
    func delete(
        _ definition: ResourceDefinition,
        namespace: String?,
        name: String,
        options: DeleteOptions,
        isDryRun: Bool = false
    ) async throws -> JSON {
        let resource = definition.resource
        if resource == .namespaces { try NamespaceRules.requireDeletable(name) }
        for attempt in 1... {
            let stored = try get(definition, namespace: namespace, name: name)
            let old = try stored.json()
            try requirePreconditions(options, old, resource)
            let new = marked(old, resource, options)
            guard !isDryRun, isReadyToGo(new) || !new.isEquivalent(to: old) else { return new }
            do {
                guard isReadyToGo(new) else { return try await commit(.replace(stored, with: new), as: definition) }
                let last = try await commit(.delete(stored, last: old), as: definition)
                await didDelete(last, resource)
                return last
            } catch StoreError.modified where options.resourceVersion == nil && attempt < Self.deletionAttempts {
                continue
            } catch let error as StoreError {
                throw StatusError(error, resource, name)
            }
        }
        preconditionFailure("The loop above ends by returning or throwing.")
    }

    /// Deletes all objects that `list` selects; those that vanish meanwhile are no error.
    func deleteCollection(
        _ definition: ResourceDefinition,
        namespace: String?,
        list: ListOptions,
        options: DeleteOptions,
        isDryRun: Bool = false
    ) async throws -> ListResult {
        let selected = try self.list(definition, namespace: namespace, options: list)
        for object in selected.objects {
            do {
                _ = try await delete(
                    definition,
                    namespace: object.key.namespace,
                    name: object.key.name,
                    options: options,
                    isDryRun: isDryRun
                )
            } catch let error as StatusError where error.isNotFound {
                continue
            }
        }
        return selected
    }

    // MARK: - Private

    private func requirePreconditions(_ options: DeleteOptions, _ object: JSON, _ resource: Resource) throws {
        let view = AnyObjectView(object)
        if let uid = options.uid, uid != view.uid {
            throw StatusError.conflict(
                resource,
                view.name,
                "Precondition failed: UID in precondition: \(uid), UID in object meta: \(view.uid)"
            )
        }
        if let version = options.resourceVersion, version != view.resourceVersion {
            throw StatusError.conflict(
                resource,
                view.name,
                "Precondition failed: ResourceVersion in precondition: \(version), ResourceVersion in object meta: "
                    + view.resourceVersion
            )
        }
    }

    /// The object with its deletion written down: when it began, how long it may take, and who has to agree.
    private func marked(_ object: JSON, _ resource: Resource, _ options: DeleteOptions) -> JSON {
        var new = withFinalizers(object, options.propagationPolicy)
        let grace = resource == .pods ? PodRules.gracePeriod(of: object, requested: options.gracePeriodSeconds) : 0
        if AnyObjectView(object).isBeingDeleted {
            let current = object["metadata", "deletionGracePeriodSeconds"]?.int ?? 0
            guard options.gracePeriodSeconds != nil, grace < current else { return new }
        } else if let generation = object["metadata", "generation"]?.int {
            new["metadata", "generation"] = JSON(generation + 1)
        }
        let deadline = Timestamp(seconds: now().seconds + Int64(grace))
        new["metadata", "deletionTimestamp"] = .string(deadline.description)
        new["metadata", "deletionGracePeriodSeconds"] = JSON(grace)
        if resource == .namespaces { new["status", "phase"] = "Terminating" }
        return new
    }

    /// Dependents are dealt with by the garbage collector, which these finalizers call.
    private func withFinalizers(_ object: JSON, _ policy: DeleteOptions.PropagationPolicy?) -> JSON {
        guard let policy else { return object }
        var finalizers = AnyObjectView(object).finalizers.filter { $0 != "orphan" && $0 != "foregroundDeletion" }
        switch policy {
        case .orphan: finalizers.append("orphan")
        case .foreground: finalizers.append("foregroundDeletion")
        case .background: break
        }
        var object = object
        object["metadata", "finalizers"] = finalizers.isEmpty ? nil : JSON(finalizers)
        return object
    }
}
