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
    private let index: RoleIndex

    init(service: APIService) { index = RoleIndex(service.store) }

    /// - Throws: 403 in the words of Kubernetes unless a rule allows the request.
    func require(_ user: UserInfo, may attributes: RequestAttributes) throws {
        guard allows(user, attributes) else { throw Self.refusal(user, attributes) }
    }

    func allows(_ user: UserInfo, _ attributes: RequestAttributes) -> Bool {
        if user.isMaster { return true }
        if Self.commonRules(user).contains(where: { $0.allows(attributes) }) { return true }
        return index.rules(of: user, in: attributes.namespace).contains { $0.allows(attributes) }
    }

    /// Whether `user` may use a path that names no resource, such as `/version`.
    func allows(_ user: UserInfo, verb: String, path: String) -> Bool {
        if user.isMaster { return true }
        if verb == "get", Self.isOpen(path, to: user) { return true }
        return index.rules(of: user, in: "").contains { $0.allows(verb: verb, path: path) }
    }

    /// All rules by which `user` works in `namespace`.
    func rules(of user: UserInfo, in namespace: String) -> [PolicyRule] {
        user.isMaster ? Self.everything : Self.commonRules(user) + index.rules(of: user, in: namespace)
    }

    // MARK: - Private

    private static let everything = [
        PolicyRule(verbs: ["*"], groups: ["*"], resources: ["*"]), PolicyRule(verbs: ["*"], paths: ["*"]),
    ]
    private static let selfReviews = [
        PolicyRule(
            verbs: ["create"],
            groups: ["authorization.k8s.io"],
            resources: ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
        ),
        PolicyRule(verbs: ["create"], groups: ["authentication.k8s.io"], resources: ["selfsubjectreviews"]),
    ]

    /// Whoever is known may ask who they are and what they may do.
    private static func commonRules(_ user: UserInfo) -> [PolicyRule] { user.isAuthenticated ? selfReviews : [] }

    /// Health and version are for everybody, descriptions of the API for whoever is known.
    private static func isOpen(_ path: String, to user: UserInfo) -> Bool {
        switch try? RequestTarget(path: path) {
        case .health, .version: true
        case .resource, nil: false
        case .groups, .group, .groupVersion, .openAPI: user.isAuthenticated
        }
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
