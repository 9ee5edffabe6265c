import KubernetesModel

// MARK: - Kinds that are served in another version than they are kept in

extension APIService {
    /// Makes a change in the version that is kept, and answers in the one of the request.
    func commit(_ mutation: Mutation, as definition: ResourceDefinition) async throws -> JSON {
        guard let conversion = definition.conversion else { return try await store.commit(mutation) }
        let kept = Mutation(
            key: mutation.key,
            precondition: mutation.precondition,
            object: conversion.stored(mutation.object),
            isDeletion: mutation.isDeletion
        )
        return conversion.served(try await store.commit(kept), as: definition.resource)
    }
}

extension StoredObject {
    /// The object in the version that `definition` serves.
    func served(as definition: ResourceDefinition) throws -> StoredObject {
        guard let conversion = definition.conversion else { return self }
        let object = conversion.served(try json(), as: definition.resource)
        return StoredObject(key: key, uid: uid, revision: revision, labels: labels, bytes: object.encoded())
    }
}

extension WatchNotification {
    /// What happened to the object in the version that `definition` serves.
    func served(as definition: ResourceDefinition) -> WatchNotification {
        guard let conversion = definition.conversion else { return self }
        func served(_ stored: StoredObject, _ object: JSON) -> (StoredObject, JSON) {
            let object = conversion.served(object, as: definition.resource)
            let bytes = object.encoded()
            let copy = StoredObject(
                key: stored.key,
                uid: stored.uid,
                revision: stored.revision,
                labels: stored.labels,
                bytes: bytes
            )
            return (copy, object)
        }
        switch self {
        case .added(let stored, let object):
            let (stored, object) = served(stored, object)
            return .added(stored, object)
        case .modified(let stored, let object):
            let (stored, object) = served(stored, object)
            return .modified(stored, object)
        case .deleted(let stored, let object):
            let (stored, object) = served(stored, object)
            return .deleted(stored, object)
        case .bookmark, .initialEventsEnd: return self
        }
    }
}
