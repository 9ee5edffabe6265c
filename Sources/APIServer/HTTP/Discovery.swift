import KubernetesModel

/// Tells clients what is served.
struct Discovery {
    let catalog: ResourceCatalog

    // MARK: - Plain

    func coreVersions() -> JSON {
        ["kind": "APIVersions", "versions": JSON(versions(of: "")), "serverAddressByClientCIDRs": []]
    }

    func groupList() -> JSON {
        ["kind": "APIGroupList", "apiVersion": "v1", "groups": .array(groups.map { group($0) })]
    }

    func group(named name: String) -> JSON? {
        guard groups.contains(name) else { return nil }
        var group = group(name)
        group["kind"] = "APIGroup"
        group["apiVersion"] = "v1"
        return group
    }

    func resourceList(group: String, version: String) -> JSON? {
        let definitions = definitions(group: group, version: version)
        guard let first = definitions.first else { return nil }
        return [
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": .string(first.resource.apiVersion),
            "resources": .array(definitions.flatMap(resources)),
        ]
    }

    // MARK: - Aggregated

    /// `APIGroupDiscoveryList`, which clients ask for so as to need one request only.
    func aggregated(isCore: Bool) -> JSON {
        let names = isCore ? [""] : groups
        return [
            "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": [:],
            "items": .array(names.map { aggregatedGroup($0) }),
        ]
    }

    // MARK: - Private

    private var groups: [String] {
        var seen: OrderedSet<String> = []
        for definition in catalog.definitions where !definition.resource.group.isEmpty {
            seen.append(definition.resource.group)
        }
        return Array(seen)
    }

    private func versions(of group: String) -> [String] {
        let versions = catalog.definitions.filter { $0.resource.group == group }.map(\.resource.version)
        return OrderedSet(versions).sorted(by: Self.isPreferred)
    }

    /// Stable before beta before alpha, then the higher number first.
    private static func isPreferred(_ left: String, _ right: String) -> Bool {
        func rank(_ version: String) -> (Int, String) {
            (version.contains("alpha") ? 2 : version.contains("beta") ? 1 : 0, version)
        }
        let (left, right) = (rank(left), rank(right))
        return left.0 == right.0 ? left.1 > right.1 : left.0 < right.0
    }

    private func definitions(group: String, version: String) -> [ResourceDefinition] {
        catalog.definitions.filter { $0.resource.group == group && $0.resource.version == version }
    }

    private func group(_ name: String) -> JSON {
        let versions = versions(of: name).map { version -> JSON in
            ["groupVersion": .string("\(name)/\(version)"), "version": .string(version)]
        }
        return ["name": .string(name), "versions": .array(versions), "preferredVersion": versions.first ?? .null]
    }

    private func resources(_ definition: ResourceDefinition) -> [JSON] {
        let resource = definition.resource
        var own: JSON = [
            "name": .string(resource.plural), "singularName": .string(definition.singular),
            "namespaced": .bool(resource.isNamespaced), "kind": .string(resource.kind),
            "verbs": JSON(definition.verbs),
        ]
        if !definition.shortNames.isEmpty { own["shortNames"] = JSON(definition.shortNames) }
        if !definition.categories.isEmpty { own["categories"] = JSON(definition.categories) }
        return [own]
            + definition.subresources.map { part in
                [
                    "name": .string("\(resource.plural)/\(part.name)"), "singularName": "",
                    "namespaced": .bool(resource.isNamespaced), "group": .string(part.kind.group),
                    "version": .string(part.kind.version), "kind": .string(part.kind.kind), "verbs": JSON(part.verbs),
                ]
            }
    }

    private func aggregatedGroup(_ name: String) -> JSON {
        let versions = versions(of: name).map { version -> JSON in
            [
                "version": .string(version), "freshness": "Current",
                "resources": .array(definitions(group: name, version: version).map(aggregatedResource)),
            ]
        }
        return ["metadata": name.isEmpty ? [:] : ["name": .string(name)], "versions": .array(versions)]
    }

    private func aggregatedResource(_ definition: ResourceDefinition) -> JSON {
        let resource = definition.resource
        var entry: JSON = [
            "resource": .string(resource.plural), "responseKind": responseKind(resource),
            "scope": resource.isNamespaced ? "Namespaced" : "Cluster",
            "singularResource": .string(definition.singular), "verbs": JSON(definition.verbs),
        ]
        if !definition.shortNames.isEmpty { entry["shortNames"] = JSON(definition.shortNames) }
        if !definition.categories.isEmpty { entry["categories"] = JSON(definition.categories) }
        let subresources = definition.subresources.map { part -> JSON in
            [
                "subresource": .string(part.name), "responseKind": responseKind(part.kind),
                "verbs": JSON(part.verbs),
            ]
        }
        if !subresources.isEmpty { entry["subresources"] = .array(subresources) }
        return entry
    }

    private func responseKind(_ resource: Resource) -> JSON {
        [
            "group": .string(resource.group), "version": .string(resource.version), "kind": .string(resource.kind),
        ]
    }
}

/// A part of an object with a path of its own.
struct Subresource {
    let name: String
    let kind: Resource
    let verbs: [String]
}

extension ResourceDefinition {
    var subresources: [Subresource] {
        var parts: [Subresource] = []
        if hasStatus { parts.append(Subresource(name: "status", kind: resource, verbs: ["get", "patch", "update"])) }
        if scale != nil {
            let kind = Resource(group: "autoscaling", plural: "scales", kind: "Scale")
            parts.append(Subresource(name: "scale", kind: kind, verbs: ["get", "patch", "update"]))
        }
        return parts + particularSubresources
    }

    private var particularSubresources: [Subresource] {
        func part(_ name: String, _ kind: String, _ verbs: [String], group: String = "") -> Subresource {
            Subresource(name: name, kind: Resource(group: group, plural: name, kind: kind), verbs: verbs)
        }
        return switch resource {
        case .pods:
            [
                part("attach", "PodAttachOptions", ["create", "get"]), part("binding", "Binding", ["create"]),
                part("eviction", "Eviction", ["create"], group: "policy"),
                part("exec", "PodExecOptions", ["create", "get"]), part("log", "Pod", ["get"]),
                part("portforward", "PodPortForwardOptions", ["create", "get"]),
            ]
        case .serviceAccounts: [part("token", "TokenRequest", ["create"], group: "authentication.k8s.io")]
        case .namespaces: [part("finalize", "Namespace", ["update"])]
        default: []
        }
    }
}
