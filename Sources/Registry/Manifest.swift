import Foundation
import HTTPTypes

/// What the registry itself must know of an image manifest, image index or Docker manifest; everything else is kept as bytes.
struct Manifest: Equatable {
    /// A reference to other content by digest (OCI image specification, descriptor).
    struct Descriptor: Codable, Equatable {
        var mediaType: String?
        var digest: String
        var size: Int?
        var urls: [String]?
        var artifactType: String?
        var annotations: [String: String]?
    }

    static let sizeLimit = 4 << 20

    static let imageManifest = "application/vnd.oci.image.manifest.v1+json"
    static let imageIndex = "application/vnd.oci.image.index.v1+json"
    static let dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
    static let dockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"

    var mediaType: String
    /// The blobs that must be in the repository before the manifest: its configuration and layers.
    var blobs: [ContentDigest] = []
    /// The manifests that must be in the repository before an index of them.
    var manifests: [ContentDigest] = []
    var subject: ContentDigest?
    var artifactType: String?
    var annotations: [String: String] = [:]

    /// Reads `bytes`, sent as `contentType`.
    init(parsing bytes: [UInt8], contentType: String?) throws(RegistryError) {
        let wire = try Self.decode(bytes)
        mediaType = try Self.mediaType(of: wire, sentAs: contentType)
        switch mediaType {
        case Self.imageManifest, Self.dockerManifest:
            guard let config = wire.config else {
                throw .manifestInvalid("an image manifest needs the field \"config\"")
            }
            guard let layers = wire.layers else {
                throw .manifestInvalid("an image manifest needs the field \"layers\"")
            }
            // Layers with addresses of their own ("foreign", Windows base layers) are not pushed.
            blobs = try Self.digests(of: [config] + layers.filter { ($0.urls ?? []).isEmpty })
        case Self.imageIndex, Self.dockerManifestList:
            guard let entries = wire.manifests else { throw .manifestInvalid("an index needs the field \"manifests\"") }
            manifests = try Self.digests(of: entries)
        default:
            throw RegistryError(
                .unsupportedMediaType,
                .manifestInvalid,
                """
                manifests of type "\(mediaType)" are not supported; expected \(Self.imageManifest), \(Self.imageIndex), \
                \(Self.dockerManifest) or \(Self.dockerManifestList)
                """
            )
        }
        subject = try wire.subject.map { descriptor throws(RegistryError) in try ContentDigest.parse(descriptor.digest)
        }
        artifactType = wire.artifactType ?? (mediaType == Self.imageManifest ? wire.config?.mediaType : nil)
        annotations = wire.annotations ?? [:]
    }

    // MARK: - Private

    private struct Wire: Decodable {
        var schemaVersion: Int
        var mediaType: String?
        var artifactType: String?
        var config: Descriptor?
        var layers: [Descriptor]?
        var manifests: [Descriptor]?
        var subject: Descriptor?
        var annotations: [String: String]?
    }

    private static func decode(_ bytes: [UInt8]) throws(RegistryError) -> Wire {
        let wire: Wire
        do {
            wire = try JSONDecoder().decode(Wire.self, from: Data(bytes))
        } catch {
            throw .manifestInvalid("the manifest is not the JSON of an OCI or Docker manifest: \(reason(of: error))")
        }
        guard wire.schemaVersion == 2 else {
            throw .manifestInvalid("schemaVersion is \(wire.schemaVersion); only 2 is supported")
        }
        return wire
    }

    private static func reason(of error: any Error) -> String {
        func path(_ context: DecodingError.Context) -> String {
            context.codingPath.map(\.stringValue).joined(separator: ".")
        }
        return switch error as? DecodingError {
        case .keyNotFound(let key, let context): "\(path(context)) has no field \"\(key.stringValue)\""
        case .typeMismatch(let type, let context): "\(path(context)) is not of type \(type)"
        case .valueNotFound(let type, let context): "\(path(context)) is null, not of type \(type)"
        case .dataCorrupted(let context): context.debugDescription
        default: "it cannot be read"
        }
    }

    private static func mediaType(of wire: Wire, sentAs header: String?) throws(RegistryError) -> String {
        let sent = header.flatMap { $0.split(separator: ";").first }.map { $0.trimmingCharacters(in: .whitespaces) }
        let isUnspecific = sent == nil || sent == "" || sent == "application/json" || sent == "application/octet-stream"
        if let declared = wire.mediaType, let sent, !isUnspecific, declared != sent {
            throw .manifestInvalid("Content-Type is \(sent) but the manifest's mediaType is \(declared)")
        }
        if let sent, !isUnspecific { return sent }
        return wire.mediaType ?? (wire.manifests == nil ? imageManifest : imageIndex)
    }

    private static func digests(of descriptors: [Descriptor]) throws(RegistryError) -> [ContentDigest] {
        var digests: [ContentDigest] = []
        for descriptor in descriptors { digests.append(try ContentDigest.parse(descriptor.digest)) }
        return digests
    }
}
