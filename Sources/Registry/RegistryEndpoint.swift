import Foundation
import HTTPTypes

/// The part of the registry that a path below `/v2/` names. Repository names have slashes, so paths are read from their end.
enum RegistryEndpoint: Hashable {
    case base
    case catalog
    case tags(RepositoryName)
    case manifest(RepositoryName, ManifestReference)
    case blob(RepositoryName, ContentDigest)
    case uploads(RepositoryName)
    case upload(RepositoryName, identifier: String)
    case referrers(RepositoryName, ContentDigest)

    /// Reads a percent-encoded path such as `/v2/group/project/tags/list`.
    init(path: String) throws(RegistryError) {
        guard let decoded = path.removingPercentEncoding else {
            throw RegistryError(.badRequest, .nameInvalid, "the path is not percent-encoded UTF-8")
        }
        var parts = decoded.split(separator: "/").dropFirst()
        guard let last = parts.popLast() else {
            self = .base
            return
        }
        if parts.isEmpty, last == "_catalog" {
            self = .catalog
            return
        }
        let kind = parts.popLast() ?? ""
        switch (kind, last) {
        case ("blobs", "uploads"): self = .uploads(try Self.name(parts))
        case ("uploads", _) where parts.last == "blobs":
            self = .upload(try Self.name(parts.dropLast()), identifier: String(last))
        case ("tags", "list"): self = .tags(try Self.name(parts))
        case ("manifests", _): self = .manifest(try Self.name(parts), try ManifestReference.parse(last))
        case ("blobs", _): self = .blob(try Self.name(parts), try ContentDigest.parse(String(last)))
        case ("referrers", _): self = .referrers(try Self.name(parts), try ContentDigest.parse(String(last)))
        default:
            throw RegistryError(
                .notFound,
                .nameUnknown,
                "there is nothing at \(decoded.prefix(300)); expected /v2/<name>/ and manifests, blobs, tags or referrers"
            )
        }
    }

    var repository: RepositoryName? {
        switch self {
        case .base, .catalog: nil
        case .tags(let name), .manifest(let name, _), .blob(let name, _), .uploads(let name), .upload(let name, _),
            .referrers(let name, _):
            name
        }
    }

    private static func name(_ parts: some Sequence<Substring>) throws(RegistryError) -> RepositoryName {
        try RepositoryName.parse(parts.joined(separator: "/"))
    }
}
