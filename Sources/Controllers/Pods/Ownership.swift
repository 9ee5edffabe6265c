import KubernetesClient
import KubernetesModel

/// Which objects a controller must take over and which it must let go: adoption and release by label selector.
struct Ownership<Object: ObjectView>: Equatable {
    /// Objects of this controller that its selector chooses.
    var owned: [Object] = []
    /// Objects without a controller that the selector chooses.
    var adoptable: [Object] = []
    /// Objects of this controller that the selector no longer chooses.
    var releasable: [Object] = []

    init(of candidates: [Object], uid: String, selector: LabelSelector, canAdopt: Bool) {
        for object in candidates {
            let matches = selector.matches(object.labels)
            switch object.controllerReference {
            case let owner? where owner.uid == uid:
                if matches { owned.append(object) } else if !object.isBeingDeleted { releasable.append(object) }
            case nil where matches && canAdopt && !object.isBeingDeleted: adoptable.append(object)
            default: break
            }
        }
    }
}

extension ClusterClient {
    /// Makes `owner` the controller of `object`, if that is still as it was read.
    func adopt(
        _ object: some ObjectView,
        _ resource: Resource,
        by owner: some ObjectView,
        ownerResource: Resource
    ) async throws -> JSON {
        let reference = OwnerReference(
            controller: owner,
            apiVersion: ownerResource.apiVersion,
            kind: ownerResource.kind
        )
        return try await setOwners(of: object, resource, object.ownerReferences + [reference])
    }

    /// Takes `owner` from the owners of `object`, if that is still as it was read.
    func release(_ object: some ObjectView, _ resource: Resource, by owner: some ObjectView) async throws {
        _ = try await setOwners(of: object, resource, object.ownerReferences.filter { $0.uid != owner.uid })
    }

    func setOwners(
        of object: some ObjectView,
        _ resource: Resource,
        _ owners: [OwnerReference]
    ) async throws -> JSON {
        let metadata: JSON = [
            "uid": .string(object.uid), "resourceVersion": .string(object.resourceVersion),
            "ownerReferences": owners.isEmpty ? .null : .array(owners.map(\.json)),
        ]
        return try await patch(
            resource,
            namespace: resource.isNamespaced ? object.namespace : nil,
            name: object.name,
            .merge(["metadata": metadata])
        )
    }

    /// Writes `status`, unless it is what the object has already; the object must still be as it was read.
    func writeStatus(_ status: JSON, of object: some ObjectView, _ resource: Resource) async throws {
        guard status != object.json["status"] else { return }
        var new = object.json
        new["status"] = status
        _ = try await update(resource, new, subresource: "status")
    }
}
