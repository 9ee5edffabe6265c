import Foundation
import KubernetesModel

/// What a path of the API names.
enum RequestTarget: Hashable {
    /// `/livez`, `/readyz`, `/healthz` and what is below them.
    case health
    case version
    /// `/api` or `/apis`.
    case groups(isCore: Bool)
    case group(String)
    case groupVersion(group: String, version: String)
    /// The index of the documents, or the document of a group version.
    case openAPI(groupVersion: (ResourcePath.GroupVersion)?)
    case resource(ResourcePath)

    /// - Throws: 404 for paths that the API does not have.
    init(path: String) throws {
        let parts = try path.split(separator: "/").map { part in
            guard let decoded = part.removingPercentEncoding else {
                throw StatusError.badRequest("the path is not percent-encoded correctly")
            }
            return decoded
        }
        guard let target = Self.parse(parts) else { throw StatusError.noSuchResource() }
        self = target
    }

    private static func parse(_ parts: [String]) -> RequestTarget? {
        switch parts.first {
        case "livez", "readyz", "healthz": .health
        case "version" where parts.count == 1: .version
        case "openapi" where parts.count >= 2 && parts[1] == "v3": openAPI(Array(parts.dropFirst(2)))
        case "api": api(group: "", Array(parts.dropFirst()))
        case "apis": parts.count == 1 ? .groups(isCore: false) : api(group: parts[1], Array(parts.dropFirst(2)))
        default: nil
        }
    }

    private static func openAPI(_ parts: [String]) -> RequestTarget? {
        switch (parts.first, parts.count) {
        case (nil, _): .openAPI(groupVersion: nil)
        case ("api", 2): .openAPI(groupVersion: .init(group: "", version: parts[1]))
        case ("apis", 3): .openAPI(groupVersion: .init(group: parts[1], version: parts[2]))
        default: nil
        }
    }

    private static func api(group: String, _ parts: [String]) -> RequestTarget? {
        guard let version = parts.first else { return group.isEmpty ? .groups(isCore: true) : .group(group) }
        guard parts.count > 1 else { return .groupVersion(group: group, version: version) }
        let path = ResourcePath(
            groupVersion: .init(group: group, version: version),
            Array(parts.dropFirst())
        )
        return path.map { .resource($0) }
    }
}

/// The place of a collection, an object or a part of one.
struct ResourcePath: Hashable {
    struct GroupVersion: Hashable {
        let group: String
        let version: String
    }

    let groupVersion: GroupVersion
    var namespace: String?
    let plural: String
    var name: String?
    /// Empty for the object itself.
    var subresource = ""

    /// - Parameter parts: What follows the version.
    init?(groupVersion: GroupVersion, _ parts: [String]) {
        self.groupVersion = groupVersion
        var parts = parts[...]
        let isOfNamespaceItself = parts.count == 3 && ["status", "finalize"].contains(parts.last ?? "")
        if parts.first == "namespaces", parts.count >= 3, !isOfNamespaceItself {
            namespace = parts[parts.startIndex + 1]
            parts = parts.dropFirst(2)
        }
        guard let plural = parts.popFirst(), parts.count <= 2 else { return nil }
        self.plural = plural
        name = parts.popFirst()
        subresource = parts.popFirst() ?? ""
    }
}
