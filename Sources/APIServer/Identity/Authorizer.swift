import KubernetesModel

/// What a request wants to do, in the terms of RBAC.
struct RequestAttributes: Hashable, Sendable {
    var verb: String
    var group: String
    var resource: String
    var subresource: String = ""
    /// Empty for cluster-wide requests.
    var namespace: String = ""
    var name: String = ""

    var qualifiedResource: String { subresource.isEmpty ? resource : "\(resource)/\(subresource)" }
}

/// Role-based access control over the stored roles and bindings.
struct Authorizer: Sendable {
    let service: APIService

    /// - Throws: 403 in the words of Kubernetes unless a rule allows the request.
    func require(_ user: UserInfo, may attributes: RequestAttributes) throws {
        guard allows(user, attributes) else { throw Self.refusal(user, attributes) }
    }

    func allows(_ user: UserInfo, _ attributes: RequestAttributes) -> Bool {
        if user.groups.contains(UserInfo.mastersGroup) { return true }
        if isOpenToAll(user, attributes) { return true }
        let bindings =
            boundRoles(user, "clusterrolebindings", namespace: nil)
            + (attributes.namespace.isEmpty ? [] : boundRoles(user, "rolebindings", namespace: attributes.namespace))
        return bindings.contains { role in rules(of: role).contains { Self.matches($0, attributes) } }
    }

    // MARK: - Private

    private struct RoleReference {
        let kind: String
        let name: String
        let namespace: String
    }

    /// Whoever is known may ask what they may do.
    private func isOpenToAll(_ user: UserInfo, _ attributes: RequestAttributes) -> Bool {
        attributes.group == "authorization.k8s.io" && attributes.resource.hasPrefix("selfsubject")
            && user.groups.contains(UserInfo.authenticatedGroup)
    }

    private func boundRoles(_ user: UserInfo, _ plural: String, namespace: String?) -> [RoleReference] {
        let collection = "\(plural).rbac.authorization.k8s.io"
        let bindings = (try? service.store.objects(collection, namespace: namespace).objects) ?? []
        return bindings.compactMap { stored in
            guard let binding = try? stored.json(), let role = binding["roleRef"] else { return nil }
            let subjects = binding["subjects"]?.array ?? []
            guard subjects.contains(where: { Self.isSubject($0, user, stored.key.namespace) }) else { return nil }
            return RoleReference(
                kind: role["kind"]?.string ?? "",
                name: role["name"]?.string ?? "",
                namespace: stored.key.namespace
            )
        }
    }

    private static func isSubject(_ subject: JSON, _ user: UserInfo, _ bindingNamespace: String) -> Bool {
        guard let name = subject["name"]?.string else { return false }
        switch subject["kind"]?.string {
        case "User": return name == user.name
        case "Group": return user.groups.contains(name)
        case "ServiceAccount":
            let namespace = subject["namespace"]?.string ?? bindingNamespace
            return user.name == "system:serviceaccount:\(namespace):\(name)"
        default: return false
        }
    }

    private func rules(of role: RoleReference) -> [JSON] {
        let isClusterRole = role.kind == "ClusterRole"
        let key = StoreKey(
            collection: isClusterRole ? "clusterroles.rbac.authorization.k8s.io" : "roles.rbac.authorization.k8s.io",
            namespace: isClusterRole ? "" : role.namespace,
            name: role.name
        )
        return (try? service.store.object(key)?.json()["rules"]?.array) ?? []
    }

    static func matches(_ rule: JSON, _ attributes: RequestAttributes) -> Bool {
        func names(_ field: String) -> [String] { rule[field]?.array?.compactMap(\.string) ?? [] }
        let resources = names("resources")
        let matchesResource = resources.contains { resource in
            resource == "*" || resource == attributes.qualifiedResource
                || (!attributes.subresource.isEmpty && resource == "*/\(attributes.subresource)")
        }
        let resourceNames = names("resourceNames")
        return names("verbs").contains { $0 == "*" || $0 == attributes.verb }
            && names("apiGroups").contains { $0 == "*" || $0 == attributes.group } && matchesResource
            && (resourceNames.isEmpty || resourceNames.contains(attributes.name))
    }

    private static func refusal(_ user: UserInfo, _ attributes: RequestAttributes) -> StatusError {
        let qualified = attributes.group.isEmpty ? attributes.resource : "\(attributes.resource).\(attributes.group)"
        let subject = attributes.name.isEmpty ? qualified : "\(qualified) \"\(attributes.name)\""
        let place =
            attributes.namespace.isEmpty ? "at the cluster scope" : "in the namespace \"\(attributes.namespace)\""
        return StatusError(
            code: 403,
            reason: "Forbidden",
            message: "\(subject) is forbidden: User \"\(user.name)\" cannot \(attributes.verb) resource "
                + "\"\(attributes.qualifiedResource)\" in API group \"\(attributes.group)\" \(place)",
            details: [
                "name": .string(attributes.name), "group": .string(attributes.group),
                "kind": .string(attributes.resource),
            ]
        )
    }
}
