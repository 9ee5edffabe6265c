import Foundation
import HTTPTypes
import Host
import Hummingbird
import Logging
import NIOCore
import Review

/// Refuses requests that bring bulk data while the disk is full, before anything of them is stored, so that what is left of the disk
/// can hold what the platform must write down; and names the full disk where a request failed because of it.
///
/// Each client is answered in the form that it shows to its user: git as plain text, registry clients as an OCI error, everybody else
/// as GitLab does. The status is 507 (RFC 4918 section 11.5).
struct DiskGuard: RouterMiddleware {
    typealias Context = BasicRequestContext

    let home: Home
    let logger: Logger

    func handle(
        _ request: Request,
        context: Context,
        next: @concurrent (Request, Context) async throws -> Response
    ) async throws -> Response {
        if BulkRequest(request) != nil, let space = DiskSpace(at: home.path), space.isFull {
            return refusal(of: request, space)
        }
        do {
            return try await next(request, context)
        } catch {
            guard !(error is any HTTPResponseError), let space = DiskSpace(at: home.path), space.isFull else {
                throw error
            }
            logger.error("a request failed on a full disk", metadata: ["error": "\(error)"])
            return refusal(of: request, space)
        }
    }

    // MARK: - Private

    private func refusal(of request: Request, _ space: DiskSpace) -> Response {
        let text = """
            The disk of this platform is full: \(space.free >> 20) MiB are free at \(home.path), \(space.reserve >> 20) MiB are kept in \
            reserve. Nothing was stored. Free space and try again.
            """
        let (type, body) =
            switch BulkRequest(request) {
            case .git: ("text/plain; charset=utf-8", Data((text + "\n").utf8))
            case .registry:
                ("application/json", encoded(["errors": [["code": "DENIED", "message": text]]]))
            case .api, nil: ("application/json", encoded(["message": text]))
            }
        return Response(
            status: .init(code: 507, reasonPhrase: "Insufficient Storage"),
            headers: [.contentType: type],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: body))
        )
    }

    private func encoded(_ value: some Encodable) -> Data {
        // Texts always encode.
        (try? JSONEncoder().encode(value)) ?? Data()
    }
}

/// A request that brings data of any size.
enum BulkRequest {
    case git, registry, api

    private static let endings = [
        "/image_builds", "/deploys", "/artifacts", "/cache", "/repository/commits", "/repository/branches",
    ]

    init?(_ request: Request) {
        let path = request.uri.path
        if path.hasSuffix("/info/refs"), request.uri.query?.contains("service=git-receive-pack") == true {
            self = .git
        } else if [.get, .head, .delete, .options].contains(request.method) {
            return nil
        } else if path.hasSuffix("/git-receive-pack") {
            self = .git
        } else if path.hasPrefix("/v2/") {
            self = .registry
        } else if Self.endings.contains(where: path.hasSuffix) || path.contains("/repository/files/") {
            self = .api
        } else {
            return nil
        }
    }
}
