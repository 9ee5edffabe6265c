import KubernetesModel

/// Everything that makes up one version of a project in one environment, as it is applied: complete, so that applying it again
/// needs nothing else.
struct ReleaseBundle: Hashable, Sendable {
    /// In the order in which they are applied.
    var objects: [JSON]

    /// More does not fit into one object of the API.
    static let sizeLimit = 1_000_000

    var json: JSON { ["objects": .array(objects)] }

    init(objects: [JSON]) {
        self.objects = objects
    }

    init(_ json: JSON?) {
        objects = json?["objects"]?.array ?? []
    }

    var identities: [ObjectIdentity] { objects.compactMap(ObjectIdentity.init) }

    /// Jobs do their work once; they are left out where an earlier version comes back.
    var withoutJobs: ReleaseBundle {
        ReleaseBundle(objects: objects.filter { $0["kind"]?.string != "Job" })
    }
}

/// Names an object of a namespace across versions of its API.
struct ObjectIdentity: Hashable, Sendable {
    var resource: Resource
    var name: String

    /// `nil` for kinds that are not served.
    init?(_ object: JSON) {
        guard
            let definition = ResourceCatalog.builtin.definition(
                apiVersion: object["apiVersion"]?.string ?? "",
                kind: object["kind"]?.string ?? ""
            ),
            let name = object["metadata", "name"]?.string
        else { return nil }
        resource = definition.resource
        self.name = name
    }

    init(resource: Resource, name: String) {
        self.resource = resource
        self.name = name
    }

    /// `deployment/web`
    var description: String { "\(resource.kind.lowercased())/\(name)" }
}

extension ReleaseBundle {
    /// What an earlier release applied and neither this one nor one that is kept (`retained`) still needs, last applied first.
    ///
    /// Of the retained releases only configuration is kept: it is what their return depends on.
    func pruned(after previous: [ReleaseBundle], retained: [ReleaseBundle]) -> [ObjectIdentity] {
        var kept = Set(identities)
        for bundle in retained {
            kept.formUnion(bundle.identities.filter { ["ConfigMap", "Secret"].contains($0.resource.kind) })
        }
        var seen: Set<ObjectIdentity> = []
        return previous.flatMap { $0.identities.reversed() }.filter { !kept.contains($0) && seen.insert($0).inserted }
    }
}

/// The order in which kinds are applied: what others need comes first, what brings traffic last.
enum ApplyOrder {
    private static let kinds = [
        "Namespace", "ResourceQuota", "LimitRange", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy",
        "ConfigMap",
        "Secret", "PersistentVolumeClaim", "Service", "PodDisruptionBudget",
    ]
    private static let last = [
        "HorizontalPodAutoscaler", "Gateway", "TrafficPolicy", "Ingress", "HTTPRoute", "GRPCRoute",
    ]

    static func sort(_ objects: [JSON]) -> [JSON] {
        objects.enumerated()
            .sorted { (rank(of: $0.element), $0.offset) < (rank(of: $1.element), $1.offset) }
            .map(\.element)
    }

    private static func rank(of object: JSON) -> Int {
        let kind = object["kind"]?.string ?? ""
        if let rank = kinds.firstIndex(of: kind) { return rank }
        return kinds.count + (last.firstIndex(of: kind).map { $0 + 1 } ?? 0)
    }
}
