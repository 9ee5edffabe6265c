import KubernetesModel

/// A rule of a Role or ClusterRole, as RBAC decides by it.
struct PolicyRule: Hashable, Sendable {
    let verbs: Set<String>
    let groups: Set<String>
    let resources: Set<String>
    /// Of any name when empty.
    let names: Set<String>
    let paths: [String]

    init(_ json: JSON) {
        func texts(_ field: String) -> [String] { json[field]?.array?.compactMap(\.string) ?? [] }
        verbs = Set(texts("verbs"))
        groups = Set(texts("apiGroups"))
        resources = Set(texts("resources"))
        names = Set(texts("resourceNames"))
        paths = texts("nonResourceURLs")
    }

    init(verbs: Set<String>, groups: Set<String> = [], resources: Set<String> = [], paths: [String] = []) {
        self.verbs = verbs
        self.groups = groups
        self.resources = resources
        names = []
        self.paths = paths
    }

    func allows(_ attributes: RequestAttributes) -> Bool {
        allows(verb: attributes.verb) && (groups.contains("*") || groups.contains(attributes.group))
            && allows(resource: attributes) && (names.isEmpty || names.contains(attributes.name))
    }

    /// Whether the rule is for `path`, which names no resource; a path that ends in `*` is for all below it.
    func allows(verb: String, path: String) -> Bool {
        allows(verb: verb)
            && paths.contains { $0 == path || $0 == "*" || $0.hasSuffix("*") && path.hasPrefix($0.dropLast()) }
    }

    private func allows(verb: String) -> Bool { verbs.contains("*") || verbs.contains(verb) }

    private func allows(resource attributes: RequestAttributes) -> Bool {
        if resources.contains("*") || resources.contains(attributes.qualifiedResource) { return true }
        return !attributes.subresource.isEmpty && resources.contains("*/\(attributes.subresource)")
    }
}
