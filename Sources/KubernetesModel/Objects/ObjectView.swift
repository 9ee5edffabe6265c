/// A typed look at a Kubernetes object: reads and writes only the fields it names and keeps all others.
///
/// Every Kubernetes object can be viewed; conforming types add the fields that their users need.
package protocol ObjectView: Hashable, Sendable {
    var json: JSON { get set }
    init(_ json: JSON)
}

/// Any object, for code that needs only metadata.
package struct AnyObjectView: ObjectView {
    package var json: JSON
    package init(_ json: JSON) { self.json = json }
}

extension ObjectView {
    package var apiVersion: String { json["apiVersion"]?.string ?? "" }
    package var kind: String { json["kind"]?.string ?? "" }
    package var name: String { metadata("name")?.string ?? "" }
    /// Empty for objects without a namespace.
    package var namespace: String { metadata("namespace")?.string ?? "" }
    package var uid: String { metadata("uid")?.string ?? "" }
    package var resourceVersion: String { metadata("resourceVersion")?.string ?? "" }
    /// Counts the changes of the specification; see `status.observedGeneration`.
    package var generation: Int { metadata("generation")?.int ?? 0 }
    package var creationTimestamp: String { metadata("creationTimestamp")?.string ?? "" }
    package var deletionTimestamp: String? { metadata("deletionTimestamp")?.string }
    package var isBeingDeleted: Bool { deletionTimestamp != nil }
    package var finalizers: [String] { metadata("finalizers")?.array?.compactMap(\.string) ?? [] }
    package var ownerReferences: [OwnerReference] { metadata("ownerReferences")?.array?.map(OwnerReference.init) ?? [] }
    package var controllerReference: OwnerReference? { ownerReferences.first(where: \.isController) }

    package var labels: [String: String] {
        get { metadata("labels")?.stringMap ?? [:] }
        set { json["metadata", "labels"] = newValue.isEmpty ? nil : JSON(newValue) }
    }

    package var annotations: [String: String] {
        get { metadata("annotations")?.stringMap ?? [:] }
        set { json["metadata", "annotations"] = newValue.isEmpty ? nil : JSON(newValue) }
    }

    /// `namespace/name`, or the name alone for objects without a namespace.
    package var key: ObjectKey { ObjectKey(namespace: namespace, name: name) }

    package var spec: JSON { json["spec"] ?? [:] }
    package var status: JSON { json["status"] ?? [:] }

    private func metadata(_ field: String) -> JSON? { json["metadata"]?[field] }
}

/// Names an object among those of its kind.
package struct ObjectKey: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// Empty for kinds without a namespace.
    package var namespace: String
    package var name: String

    package init(namespace: String, name: String) {
        self.namespace = namespace
        self.name = name
    }

    package var description: String { namespace.isEmpty ? name : "\(namespace)/\(name)" }

    package static func < (left: ObjectKey, right: ObjectKey) -> Bool {
        (left.namespace, left.name) < (right.namespace, right.name)
    }
}

/// An entry of `metadata.ownerReferences`.
package struct OwnerReference: ObjectView {
    package var json: JSON
    package init(_ json: JSON) { self.json = json }

    /// A reference to `owner` that makes it the managing controller and holds back its foreground deletion.
    package init(controller owner: some ObjectView, apiVersion: String, kind: String) {
        json = [
            "apiVersion": .string(apiVersion), "kind": .string(kind), "name": .string(owner.name),
            "uid": .string(owner.uid),
            "controller": true, "blockOwnerDeletion": true,
        ]
    }

    package var name: String { json["name"]?.string ?? "" }
    package var uid: String { json["uid"]?.string ?? "" }
    package var isController: Bool { json["controller"]?.bool ?? false }
    package var blocksOwnerDeletion: Bool { json["blockOwnerDeletion"]?.bool ?? false }
}
