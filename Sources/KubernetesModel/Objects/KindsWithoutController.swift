/// The kinds whose objects a cluster stores and does nothing about, each with what would be right instead.
///
/// The cluster itself says so, in a ConfigMap that every client may look for. One that has no such ConfigMap acts on all its kinds, as
/// Kubernetes does.
package struct KindsWithoutController: Hashable, Sendable {
    /// By qualified name, such as `statefulsets.apps`: what to use instead, as the end of a sentence.
    package var remedies: [String: String]

    /// Where the cluster says it.
    package static let key = ObjectKey(namespace: "kube-public", name: "kinds-without-controller")

    package init(_ remedies: [String: String] = [:]) {
        self.remedies = remedies
    }

    package init(configMap: JSON?) {
        remedies = configMap?["data"]?.stringMap ?? [:]
    }

    package var configMap: JSON {
        [
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": ["name": .string(Self.key.name), "namespace": .string(Self.key.namespace)],
            "data": JSON(remedies),
        ]
    }

    /// What whoever writes such an object must know; `nil` for kinds that somebody acts on.
    package func warning(about resource: Resource) -> String? {
        remedies[resource.qualifiedName].map { remedy in
            "\(resource.kind) is stored, but no controller of this cluster acts on it yet; \(remedy)"
        }
    }
}
