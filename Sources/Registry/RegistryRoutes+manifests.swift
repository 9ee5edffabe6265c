import HTTPTypes
import Hummingbird
import Logging
import NIOCore

extension RegistryRoutes {
    func manifest(_ reference: ManifestReference, in repository: RepositoryName) async throws -> Response {
        let manifest = try await storage.manifest(reference, in: repository)
        return Response(
            status: .ok,
            headers: [
                .contentType: manifest.mediaType,
                .dockerContentDigest: manifest.digest.description,
                .eTag: "\"\(manifest.digest)\"",
            ],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: manifest.bytes))
        )
    }

    func putManifest(
        _ request: Request,
        _ reference: ManifestReference,
        in repository: RepositoryName
    ) async throws -> Response {
        let body: ByteBuffer
        do {
            body = try await request.body.collect(upTo: Manifest.sizeLimit)
        } catch is NIOTooManyBytesError {
            throw RegistryError(
                .contentTooLarge,
                .sizeInvalid,
                "a manifest may have at most \(Manifest.sizeLimit) bytes"
            )
        }
        let stored = try await storage.putManifest(
            Array(body.readableBytesView),
            contentType: request.headers[.contentType],
            as: reference,
            in: repository
        )
        logger.info(
            "Image pushed",
            metadata: ["repository": "\(repository)", "reference": "\(reference)", "digest": "\(stored.digest)"]
        )
        var response = Response(status: .created)
        response.headers[.location] = "/v2/\(repository)/manifests/\(stored.digest)"
        response.headers[.dockerContentDigest] = stored.digest.description
        response.headers[.subject] = stored.subject?.description
        return response
    }

    func deleteManifest(_ reference: ManifestReference, in repository: RepositoryName) async throws -> Response {
        try await storage.deleteManifest(reference, in: repository)
        logger.info("Image deleted", metadata: ["repository": "\(repository)", "reference": "\(reference)"])
        return Response(status: .accepted)
    }

    func referrers(
        _ request: Request,
        of digest: ContentDigest,
        in repository: RepositoryName
    ) async throws -> Response {
        struct Index: Encodable {
            let schemaVersion = 2
            let mediaType = Manifest.imageIndex
            let manifests: [Manifest.Descriptor]
        }
        let artifactType = request.uri.queryParameters["artifactType"].map(String.init)
        let descriptors = try await storage.referrers(of: digest, artifactType: artifactType, in: repository)
        var response = Response(json: Index(manifests: descriptors), contentType: Manifest.imageIndex)
        if artifactType != nil { response.headers[.filtersApplied] = "artifactType" }
        return response
    }

    func tags(_ request: Request, of repository: RepositoryName) async throws -> Response {
        struct Tags: Encodable {
            let name: String
            let tags: [String]
        }
        let page = try Page(of: try await storage.tags(of: repository), request)
        var response = Response(json: Tags(name: repository.description, tags: page.entries))
        response.headers[.link] = page.link(to: "/v2/\(repository)/tags/list")
        return response
    }

    /// The repositories that the caller may pull.
    func catalog(_ request: Request, as identity: RegistryIdentity?) async throws -> Response {
        struct Catalog: Encodable {
            let repositories: [String]
        }
        var names: [String] = []
        for repository in try await storage.repositories() where await allows(identity, .pull, repository.description) {
            names.append(repository.description)
        }
        let page = try Page(of: names, request)
        var response = Response(json: Catalog(repositories: page.entries))
        response.headers[.link] = page.link(to: "/v2/_catalog")
        return response
    }
}

/// A part of a sorted list: what comes after `last`, at most `n` entries.
private struct Page {
    static let limit = 1000

    let entries: [String]
    let isLast: Bool

    init(of all: [String], _ request: Request) throws(RegistryError) {
        let parameters = request.uri.queryParameters
        var size = Self.limit
        if let text = parameters["n"] {
            guard let number = Int(text), number >= 0 else {
                throw RegistryError(.badRequest, .unsupported, "n is \"\(text.prefix(40))\", expected a whole number")
            }
            size = min(number, Self.limit)
        }
        let rest = parameters["last"].map { last in all.drop { $0 <= last } } ?? all[...]
        entries = Array(rest.prefix(size))
        isLast = rest.count <= size || size == 0
    }

    /// The `Link` header (RFC 8288) to the next page.
    func link(to path: String) -> String? {
        guard !isLast, let last = entries.last else { return nil }
        return "<\(path)?n=\(entries.count)&last=\(last)>; rel=\"next\""
    }
}
