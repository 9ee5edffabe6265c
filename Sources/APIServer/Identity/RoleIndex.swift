import KubernetesModel
import Synchronization

/// Who is bound to which rules, found by subject instead of looked for in every binding.
///
/// It observes the store, so what it says is as new as the last acknowledged write.
final class RoleIndex: Sendable {
    private enum Collection: String, CaseIterable {
        case clusterRoles = "clusterroles.rbac.authorization.k8s.io"
        case roles = "roles.rbac.authorization.k8s.io"
        case clusterBindings = "clusterrolebindings.rbac.authorization.k8s.io"
        case bindings = "rolebindings.rbac.authorization.k8s.io"
    }

    private enum Subject: Hashable {
        case user(String)
        case group(String)
    }

    /// Where a subject is bound: in a namespace, or everywhere when that is empty.
    private struct Place: Hashable {
        let namespace: String
        let subject: Subject
    }

    private struct Content {
        var rules: [StoreKey: [PolicyRule]] = [:]
        var roles: [Place: [StoreKey: StoreKey]] = [:]
        var places: [StoreKey: [Place]] = [:]
    }

    private let content = Mutex(Content())

    init(_ store: ObjectStore) {
        for collection in Collection.allCases {
            store.observe(collection.rawValue) { [content = Reference(self)] event, object in
                content.index?.take(event, object, of: collection)
            }
        }
    }

    /// The rules by which `user` works in `namespace`, or cluster-wide when that is empty.
    func rules(of user: UserInfo, in namespace: String) -> [PolicyRule] {
        let subjects = [Subject.user(user.name)] + user.groups.map(Subject.group)
        let namespaces = namespace.isEmpty ? [""] : ["", namespace]
        return content.withLock { content in
            var roles: Set<StoreKey> = []
            for namespace in namespaces {
                for subject in subjects {
                    roles.formUnion(content.roles[Place(namespace: namespace, subject: subject)]?.values ?? [:].values)
                }
            }
            return roles.flatMap { content.rules[$0] ?? [] }
        }
    }

    // MARK: - Private

    /// Lets the store's observers not keep the index alive.
    private struct Reference: Sendable {
        weak let index: RoleIndex?

        init(_ index: RoleIndex) { self.index = index }
    }

    private func take(_ event: StoreEvent, _ object: JSON, of collection: Collection) {
        let (key, object) = (event.object.key, event.isDeletion ? nil : object)
        content.withLock { content in
            switch collection {
            case .roles, .clusterRoles:
                content.rules[key] = object.map { ($0["rules"]?.array ?? []).map(PolicyRule.init) }
            case .bindings, .clusterBindings: Self.bind(key, object, &content)
            }
        }
    }

    private static func bind(_ key: StoreKey, _ binding: JSON?, _ content: inout Content) {
        for place in content.places.removeValue(forKey: key) ?? [] {
            content.roles[place]?[key] = nil
            if content.roles[place]?.isEmpty == true { content.roles[place] = nil }
        }
        guard let binding, let role = role(of: binding, in: key.namespace) else { return }
        let subjects = (binding["subjects"]?.array ?? []).compactMap { subject($0, in: key.namespace) }
        let places = subjects.map { Place(namespace: key.namespace, subject: $0) }
        for place in places { content.roles[place, default: [:]][key] = role }
        content.places[key] = places
    }

    private static func role(of binding: JSON, in namespace: String) -> StoreKey? {
        guard let reference = binding["roleRef"], let name = reference["name"]?.string else { return nil }
        let isClusterRole = reference["kind"]?.string == "ClusterRole"
        return StoreKey(
            collection: (isClusterRole ? Collection.clusterRoles : .roles).rawValue,
            namespace: isClusterRole ? "" : namespace,
            name: name
        )
    }

    private static func subject(_ subject: JSON, in bindingNamespace: String) -> Subject? {
        guard let name = subject["name"]?.string else { return nil }
        switch subject["kind"]?.string {
        case "User": return .user(name)
        case "Group": return .group(name)
        case "ServiceAccount":
            let namespace = subject["namespace"]?.string ?? bindingNamespace
            return .user("system:serviceaccount:\(namespace):\(name)")
        default: return nil
        }
    }
}
