import KubernetesModel
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix

/// Decides where a request to upgrade a connection leads: who asks, whether they may, and which streaming server has the stream.
struct StreamUpgrade: Sendable {
    let front: APIFront

    static func isUpgrade(_ head: HTTPRequestHead) -> Bool {
        head.headers.contains(name: "Upgrade")
    }

    /// - Throws: The `StatusError` to answer with instead of an upgrade.
    func endpoint(for head: HTTPRequestHead) async throws -> StreamEndpoint {
        let parts = head.uri.split(separator: "?", maxSplits: 1)
        guard case .resource(let path) = try RequestTarget(path: String(parts.first ?? "")) else {
            throw StatusError.badRequest("this path serves no streams")
        }
        let caller = try front.authenticator.user(authorization: head.headers.first(name: "Authorization"))
        let fields = head.headers.lazy.map { (name: $0.name.lowercased(), value: $0.value) }
        let user = try front.authorizer.user(caller, actingBy: fields)
        let name = try requireStream(path)
        try front.authorizer.require(user, may: attributes(head, path))
        try requireKnownProtocol(head)
        let namespace = path.namespace ?? ""
        _ = try front.service.get(front.service.definition(.pods), namespace: namespace, name: name)
        guard let connection = front.service.nodeConnection else { throw StatusError.noNodeAgent() }
        let query = RequestQuery(parts.count > 1 ? String(parts[1]) : nil)
        return try await connection.streamingURL(namespace: namespace, pod: name, request: stream(path, query))
    }

    /// The head that goes on to the streaming server: the client's own, without what concerns only this server.
    func forwarded(_ head: HTTPRequestHead, to endpoint: StreamEndpoint) -> [UInt8] {
        var lines = ["\(head.method.rawValue) \(endpoint.target) HTTP/1.1", "Host: \(endpoint.host):\(endpoint.port)"]
        for (name, value) in head.headers {
            let lower = name.lowercased()
            let isPassed =
                ["upgrade", "connection", "x-stream-protocol-version", "content-length"].contains(lower)
                || lower.hasPrefix("sec-websocket-")
            if isPassed { lines.append("\(name): \(value)") }
        }
        return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
    }

    // MARK: - Private

    private func requireStream(_ path: ResourcePath) throws -> String {
        guard path.plural == "pods", path.groupVersion.group.isEmpty, let name = path.name,
            ["exec", "attach", "portforward"].contains(path.subresource)
        else { throw StatusError.badRequest("this path serves no streams") }
        return name
    }

    private func attributes(_ head: HTTPRequestHead, _ path: ResourcePath) -> RequestAttributes {
        RequestAttributes(
            verb: head.method == .GET ? "get" : "create",
            group: "",
            resource: path.plural,
            subresource: path.subresource,
            namespace: path.namespace ?? "",
            name: path.name ?? ""
        )
    }

    /// The container runtime speaks SPDY and version 4 over WebSocket. Clients that offer only newer ones try SPDY when refused.
    private func requireKnownProtocol(_ head: HTTPRequestHead) throws {
        guard head.headers[canonicalForm: "Upgrade"].contains(where: { $0.lowercased() == "websocket" }) else { return }
        let offered = head.headers[canonicalForm: "Sec-WebSocket-Protocol"]
        guard offered.isEmpty || offered.contains("v4.channel.k8s.io") else {
            throw StatusError.badRequest(
                "unable to upgrade: of the offered protocols \(offered.joined(separator: ", ")) none is served; "
                    + "v4.channel.k8s.io over WebSocket and SPDY/3.1 are"
            )
        }
    }

    private func stream(_ path: ResourcePath, _ query: RequestQuery) -> StreamRequest {
        switch path.subresource {
        case "exec": .exec(query.execRequest())
        case "attach": .attach(query.execRequest())
        default: .portForward(ports: query.all("ports").flatMap { $0.split(separator: ",").compactMap { Int($0) } })
        }
    }
}
