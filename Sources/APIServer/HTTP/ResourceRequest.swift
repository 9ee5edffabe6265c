import Foundation
import HTTPTypes
import HummingbirdCore
import KubernetesClient
import KubernetesModel
import NIOCore

/// A request for objects, read as far as its head goes.
struct ResourceRequest {
    let head: Request
    let path: ResourcePath
    let query: RequestQuery
    let user: UserInfo
    let channel: any Channel

    init(
        _ head: Request,
        _ path: ResourcePath,
        _ query: RequestQuery,
        _ user: UserInfo,
        _ channel: any Channel
    ) {
        self.head = head
        self.path = path
        self.query = query
        self.user = user
        self.channel = channel
    }

    var isWatch: Bool { query.bool("watch") }

    /// What RBAC decides on.
    func attributes() throws -> RequestAttributes {
        var attributes = RequestAttributes(
            verb: try verb(),
            group: path.groupVersion.group,
            resource: path.plural,
            subresource: path.subresource,
            namespace: path.namespace ?? "",
            name: path.name ?? ""
        )
        if path.plural == "namespaces", path.groupVersion.group.isEmpty { attributes.namespace = path.name ?? "" }
        return attributes
    }

    private func verb() throws -> String {
        switch head.method {
        case .get where path.name != nil: "get"
        case .get: isWatch ? "watch" : "list"
        case .post: "create"
        case .put: "update"
        case .patch: "patch"
        case .delete: path.name == nil ? "deletecollection" : "delete"
        default:
            throw StatusError.methodNotAllowed("the server does not allow this method on the requested resource")
        }
    }

    func context() throws -> RequestContext {
        RequestContext(user: user, options: try query.writeOptions(userAgent: head.headers[.userAgent]))
    }

    // MARK: - The body

    /// The body as JSON.
    ///
    /// - Throws: 415 for media types other than JSON, YAML and protobuf, 413 for bodies over the limit.
    func body() async throws -> JSON {
        let type = MediaType(head.headers[.contentType] ?? "application/json").name
        let bytes = try await bytes()
        switch type {
        case "application/json", "": return try Self.json(bytes)
        case ProtobufBody.mediaType: return try ProtobufBody.parse(bytes)
        case "application/yaml": return try YAMLBody.parse(String(decoding: bytes, as: UTF8.self))
        default: throw Self.unsupported(type)
        }
    }

    /// The body of a deletion, `nil` when it is empty.
    func optionalBody() async throws -> JSON? {
        let bytes = try await bytes()
        guard !bytes.isEmpty else { return nil }
        let type = MediaType(head.headers[.contentType] ?? "application/json").name
        let options = try type == ProtobufBody.mediaType ? ProtobufBody.parse(bytes) : Self.json(bytes)
        return options.object?.isEmpty == true ? nil : options
    }

    func patch() async throws -> Patch {
        let type = MediaType(head.headers[.contentType] ?? "").name
        guard let format = Patch.Format(rawValue: type) else { throw Self.unsupported(type) }
        let bytes = try await bytes()
        guard format == .apply else { return Patch(format, try Self.json(bytes)) }
        let start = bytes.first { !($0 == 0x20 || $0 == 0x0A || $0 == 0x0D || $0 == 0x09) }
        let isJSON = start == UInt8(ascii: "{")
        return Patch(format, try isJSON ? Self.json(bytes) : YAMLBody.parse(String(decoding: bytes, as: UTF8.self)))
    }

    private func bytes() async throws -> [UInt8] {
        let buffer = try await head.body.collect(upTo: APIFront.maximumBodySize)
        return Array(buffer.readableBytesView)
    }

    private static func json(_ bytes: [UInt8]) throws -> JSON {
        do {
            return try JSON(parsing: bytes)
        } catch {
            throw StatusError.badRequest("the body is no JSON text: \(error)")
        }
    }

    private static func unsupported(_ type: String) -> StatusError {
        .unsupportedMediaType(
            "the body of the request was in an unsupported format (\(type)) - accepted media types include: "
                + "application/json, application/yaml, \(ProtobufBody.mediaType), and for patches "
                + "application/json-patch+json, application/merge-patch+json, "
                + "application/strategic-merge-patch+json, application/apply-patch+yaml"
        )
    }
}
