import KubernetesModel

enum NamespaceRules: KindRules {
    /// The namespaces that exist from the first start.
    static let builtin = ["default", "kube-system", "kube-public", "kube-node-lease", "sampan-system"]
    private static let undeletable: Set<String> = ["default", "kube-system", "kube-public"]

    static func admitCreation(_ namespace: inout JSON, in service: APIService) throws -> Admitted {
        namespace["metadata", "labels", "kubernetes.io/metadata.name"] = .string(AnyObjectView(namespace).name)
        namespace["spec", "finalizers"] = ["kubernetes"]
        namespace["status"] = ["phase": "Active"]
        return Admitted()
    }

    /// The content's finalizer is removed by the `finalize` subresource only.
    static func admitUpdate(_ namespace: inout JSON, from old: JSON, in service: APIService) throws -> Admitted {
        namespace["spec"] = old["spec"]
        namespace["metadata", "labels", "kubernetes.io/metadata.name"] = .string(AnyObjectView(old).name)
        return Admitted()
    }

    static func finalizers(of namespace: JSON) -> [String] {
        namespace["spec", "finalizers"]?.array?.compactMap(\.string) ?? []
    }

    static func requireDeletable(_ name: String) throws {
        guard !undeletable.contains(name) else {
            throw StatusError.forbidden("namespaces \"\(name)\" is forbidden: this namespace may not be deleted")
        }
    }
}
