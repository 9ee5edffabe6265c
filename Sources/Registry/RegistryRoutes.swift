import Foundation
import HTTPTypes
package import Hummingbird
package import Logging
import NIOCore

/// The HTTP face of the registry: the OCI distribution specification v1.1 below `/v2/`, and Docker's token service at `/jwt/auth`.
///
/// Repositories under `mirror/` and `sampan/` may be pulled by anybody; ``RegistryAccess`` decides about everything else.
package struct RegistryRoutes: Sendable {
    let storage: RegistryStorage
    let access: any RegistryAccess
    let signer: TokenSigner
    let logger: Logger

    package init(storage: RegistryStorage, access: any RegistryAccess, signer: TokenSigner, logger: Logger) {
        self.storage = storage
        self.access = access
        self.signer = signer
        self.logger = logger
    }

    package func addRoutes<Context: RequestContext>(to router: some RouterMethods<Context>) {
        for method in [HTTPRequest.Method.get, .head, .post, .put, .patch, .delete] {
            for path: RouterPath in ["/v2", "/v2/**"] {
                router.on(path, method: method) { request, _ in await respond(to: request) }
            }
        }
        router.on("/jwt/auth", method: .get) { request, _ in await issueToken(for: request) }
    }

    // MARK: - Private

    private func respond(to request: Request) async -> Response {
        var response = await answering(request) {
            let endpoint = try RegistryEndpoint(path: request.uri.path)
            let identity = try await authorize(request, for: endpoint)
            return try await serve(request, at: endpoint, as: identity)
        }
        response.headers[.dockerDistributionAPIVersion] = "registry/2.0"
        return request.method == .head ? response.createHeadResponse() : response
    }

    private func serve(
        _ request: Request,
        at endpoint: RegistryEndpoint,
        as identity: RegistryIdentity?
    ) async throws -> Response {
        switch (request.method, endpoint) {
        case (.get, .base), (.head, .base): Response(json: [String: String]())
        case (.get, .catalog): try await catalog(request, as: identity)
        case (.get, .tags(let name)): try await tags(request, of: name)
        case (.get, .referrers(let name, let digest)): try await referrers(request, of: digest, in: name)
        case (.get, .manifest(let name, let reference)), (.head, .manifest(let name, let reference)):
            try await manifest(reference, in: name)
        case (.put, .manifest(let name, let reference)): try await putManifest(request, reference, in: name)
        case (.delete, .manifest(let name, let reference)): try await deleteManifest(reference, in: name)
        case (.get, .blob(let name, let digest)), (.head, .blob(let name, let digest)):
            try await blob(request, digest, in: name)
        case (.delete, .blob(let name, let digest)): try await deleteBlob(digest, in: name)
        case (.post, .uploads(let name)): try await startUpload(request, into: name, as: identity)
        case (.get, .upload(let name, let identifier)): try await uploadStatus(identifier, in: name)
        case (.patch, .upload(let name, let identifier)): try await append(request, to: identifier, in: name)
        case (.put, .upload(let name, let identifier)): try await finish(request, identifier, in: name)
        case (.delete, .upload(let name, let identifier)): try await cancel(identifier, in: name)
        default:
            throw RegistryError(.methodNotAllowed, .unsupported, "\(request.method) is not supported at this address")
        }
    }

    /// The one place where errors become responses.
    func answering(_ request: Request, _ work: () async throws -> Response) async -> Response {
        do {
            return try await work()
        } catch let challenge as AccessChallenge {
            return challenge.response(to: request)
        } catch let error as RegistryError {
            if error.status.code >= 500 { log(error, of: request) }
            return Response(error)
        } catch {
            log(error, of: request)
            return Response(RegistryError(.internalServerError, .unknown, "the registry could not do this: \(error)"))
        }
    }

    private func log(_ error: any Error, of request: Request) {
        logger.error(
            "Registry request failed",
            metadata: ["method": "\(request.method)", "path": "\(request.uri.path)", "error": "\(error)"]
        )
    }
}

extension Response {
    init(_ error: RegistryError) {
        self.init(
            status: error.status,
            headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: error.body))
        )
    }

    init(json value: some Encodable, contentType: String = "application/json") {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // The values given here are structs of strings and numbers, which always encode.
        let bytes = (try? encoder.encode(value)) ?? Data("{}".utf8)
        self.init(
            status: .ok,
            headers: [.contentType: contentType],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
        )
    }
}

extension HTTPField.Name {
    static let dockerDistributionAPIVersion = HTTPField.Name("Docker-Distribution-Api-Version")!
    static let dockerContentDigest = HTTPField.Name("Docker-Content-Digest")!
    static let dockerUploadIdentifier = HTTPField.Name("Docker-Upload-UUID")!
    static let subject = HTTPField.Name("OCI-Subject")!
    static let filtersApplied = HTTPField.Name("OCI-Filters-Applied")!
    static let link = HTTPField.Name("Link")!
}
