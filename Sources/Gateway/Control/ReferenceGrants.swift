import KubernetesModel

/// Which references from one namespace into another are allowed (Gateway API, `ReferenceGrant`). Those within a namespace always are.
struct ReferenceGrants {
    struct Source: Hashable {
        var group: String
        var kind: String
        var namespace: String
    }

    struct Target: Hashable {
        var group: String
        var kind: String
        var namespace: String
        var name: String
    }

    private let grants: [String: [AnyObjectView]]

    init(_ objects: [JSON]) { grants = Dictionary(grouping: objects.map(AnyObjectView.init), by: \.namespace) }

    func allow(_ source: Source, _ target: Target) -> Bool {
        source.namespace == target.namespace
            || (grants[target.namespace] ?? []).contains { Self.allows($0, source, target) }
    }

    private static func allows(_ grant: AnyObjectView, _ source: Source, _ target: Target) -> Bool {
        let isFrom = (grant.spec["from"]?.array ?? []).contains {
            ($0["group"]?.string ?? "") == source.group && $0["kind"]?.string == source.kind
                && $0["namespace"]?.string == source.namespace
        }
        let isTo = (grant.spec["to"]?.array ?? []).contains {
            ($0["group"]?.string ?? "") == target.group && $0["kind"]?.string == target.kind
                && ($0["name"]?.string.map { $0.isEmpty || $0 == target.name } ?? true)
        }
        return isFrom && isTo
    }
}
