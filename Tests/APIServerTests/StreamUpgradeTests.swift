import Foundation
import KubernetesClient
import KubernetesModel
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import Testing

@testable import APIServer

/// Requests to upgrade a connection, led through to a streaming server that stands in for the container runtime.
@Suite(.serialized) struct StreamUpgradeTests {
    private static let exec =
        "/api/v1/namespaces/default/pods/p/exec?command=echo&command=hi&container=main&stdin=true&stdout=true"

    private func upgradeRequest(_ server: TestServer, _ path: String, _ headers: [String]) throws -> [UInt8] {
        let token = try #require(server.server.staticTokens.token(of: "admin"))
        let head = [
            "POST \(path) HTTP/1.1", "Host: localhost", "Authorization: Bearer \(token)", "Connection: Upgrade",
        ]
        return Array(((head + headers + ["Content-Length: 0"]).joined(separator: "\r\n") + "\r\n\r\n").utf8)
    }

    private func withPod(_ body: (TestServer, FakeStreamingServer, FakeNode) async throws -> Void) async throws {
        let streaming = try await FakeStreamingServer.start()
        let node = FakeNode(port: streaming.port)
        try await TestServer.with(nodeConnection: node) { server in
            _ = try await server.server.client.create(.pods, namespace: "default", Sample.pod("p"))
            try await body(server, streaming, node)
        }
        try await streaming.stop()
    }

    @Test func tunnelsBytesBothWays() async throws {
        try await withPod { server, streaming, node in
            let connection = try await TLSConnection.open(server)
            let request = try upgradeRequest(
                server,
                Self.exec,
                ["Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io"]
            )
            try await connection.send(request)
            try await connection.waitFor("101 Switching Protocols")
            let payload = String(repeating: "0123456789abcdef", count: 65_536)
            try await connection.send(Array(payload.utf8))
            try await eventually { connection.received.utf8.count >= payload.utf8.count }
            #expect(connection.received.hasSuffix(payload))
            let head = try #require(streaming.heads.first)
            #expect(head.hasPrefix("POST /exec/token-of-p HTTP/1.1\r\n"))
            #expect(head.contains("X-Stream-Protocol-Version: v4.channel.k8s.io"))
            #expect(!head.contains("Authorization"), "tokens are for the API only")
            let wanted = ExecRequest(container: "main", command: ["echo", "hi"], stdin: true, stdout: true)
            #expect(node.requests == [.exec(wanted)])
            try await connection.close()
            try await eventually { streaming.openConnections == 0 }
        }
    }

    @Test func passesTheEndOfAStreamOnAtOnce() async throws {
        try await withPod { server, streaming, _ in
            streaming.closesAfterAnswering()
            let connection = try await TLSConnection.open(server)
            try await connection.send(upgradeRequest(server, Self.exec, ["Upgrade: SPDY/3.1"]))
            try await eventually(within: .seconds(20)) { connection.hasEnded }
            #expect(connection.received.hasPrefix("HTTP/1.1 101 Switching Protocols"))
        }
    }

    @Test func refusesProtocolsThatTheRuntimeDoesNotSpeak() async throws {
        try await withPod { server, streaming, _ in
            let connection = try await TLSConnection.open(server)
            let headers = [
                "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                "Sec-WebSocket-Protocol: v5.channel.k8s.io",
            ]
            try await connection.send(upgradeRequest(server, Self.exec, headers))
            try await connection.waitFor("HTTP/1.1 400 Bad Request")
            #expect(streaming.heads.isEmpty)
            try await connection.close()
        }
    }

    @Test func streamsLogs() async throws {
        try await withPod { server, _, _ in
            let logs = try await server.kubectl("logs", "p")
            #expect(logs.output == "a line of p\n", "\(logs.errors)")
        }
    }

    @Test func refusesStrangers() async throws {
        try await withPod { server, streaming, _ in
            let connection = try await TLSConnection.open(server)
            let head = "POST \(Self.exec) HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            try await connection.send(Array((head + "Content-Length: 0\r\n\r\n").utf8))
            try await connection.waitFor("HTTP/1.1 403 Forbidden")
            #expect(streaming.heads.isEmpty)
            try await connection.close()
        }
    }

    @Test(arguments: [["exec", "p", "--", "true"], ["port-forward", "pod/p", "0:80"]])
    func kubectlFallsBackToSPDY(_ command: [String]) async throws {
        try await withPod { server, streaming, _ in
            let client = server.server.client
            _ = try await client.patch(
                .pods,
                namespace: "default",
                name: "p",
                subresource: "status",
                .merge(["status": ["phase": "Running"]])
            )
            streaming.closesAfterAnswering()
            // What answers is no runtime, so kubectl gets no further; only how it asks counts here.
            let arguments = ["20", "kubectl", "--kubeconfig", server.kubeconfig] + command
            _ = try await CommandResult.run("/usr/bin/timeout", arguments)
            let head = try #require(streaming.heads.first)
            #expect(head.lowercased().contains("upgrade: spdy/3.1"), "\(head)")
        }
    }
}

/// A node whose containers' streams are all at one server.
private final class FakeNode: NodeConnection {
    private let port: Int
    private let asked = Mutex<[StreamRequest]>([])

    init(port: Int) {
        self.port = port
    }

    var requests: [StreamRequest] { asked.withLock { $0 } }

    func logs(namespace: String, pod: String, options: LogOptions) async throws -> ByteStream {
        AsyncThrowingStream { continuation in
            continuation.yield(Array("a line of \(pod)\n".utf8))
            continuation.finish()
        }
    }

    func streamingURL(namespace: String, pod: String, request: StreamRequest) async throws -> StreamEndpoint {
        asked.withLock { $0.append(request) }
        return StreamEndpoint(host: "127.0.0.1", port: port, target: "/exec/token-of-\(pod)")
    }
}

/// Answers any request with 101 and then echoes every byte.
private final class FakeStreamingServer: Sendable {
    private struct State {
        var heads: [String] = []
        var connections = 0
        var closes = false
    }

    private let state = Mutex(State())
    private let listener = Mutex<(any Channel)?>(nil)

    var heads: [String] { state.withLock(\.heads) }
    var openConnections: Int { state.withLock(\.connections) }
    var port: Int { listener.withLock { $0?.localAddress?.port ?? 0 } }

    func closesAfterAnswering() { state.withLock { $0.closes = true } }

    static func start() async throws -> FakeStreamingServer {
        let server = FakeStreamingServer()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Connection(server))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        server.listener.withLock { $0 = channel }
        return server
    }

    func stop() async throws {
        try await listener.withLock { $0 }?.close()
    }

    private final class Connection: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let server: FakeStreamingServer
        private var head = ""
        private var isUpgraded = false

        init(_ server: FakeStreamingServer) {
            self.server = server
        }

        func channelActive(context: ChannelHandlerContext) { server.state.withLock { $0.connections += 1 } }
        func channelInactive(context: ChannelHandlerContext) { server.state.withLock { $0.connections -= 1 } }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let buffer = unwrapInboundIn(data)
            guard !isUpgraded else {
                context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
                return
            }
            head += String(buffer: buffer)
            guard head.hasSuffix("\r\n\r\n") else { return }
            isUpgraded = true
            let closes = server.state.withLock { state in
                state.heads.append(head)
                return state.closes
            }
            let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
            if closes { context.close(promise: nil) }
        }
    }
}

/// A TLS connection that collects what comes.
private final class TLSConnection: Sendable {
    private let text = Mutex("")
    private let channel = Mutex<(any Channel)?>(nil)

    var received: String { text.withLock { $0 } }
    var hasEnded: Bool { channel.withLock { $0.map { !$0.isActive } ?? false } }

    static func open(_ server: TestServer) async throws -> TLSConnection {
        let connection = TLSConnection()
        var configuration = TLSConfiguration.makeClientConfiguration()
        let authority = try NIOSSLCertificate.fromPEMBytes(Array(server.server.certificateAuthority.utf8))
        configuration.trustRoots = .certificates(authority)
        let context = try NIOSSLContext(configuration: configuration)
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let tls = try NIOSSLClientHandler(context: context, serverHostname: "localhost")
                    try channel.pipeline.syncOperations.addHandler(tls)
                    try channel.pipeline.syncOperations.addHandler(Collector(connection))
                }
            }
            .connect(host: "127.0.0.1", port: #require(server.server.port)).get()
        connection.channel.withLock { $0 = channel }
        return connection
    }

    func send(_ bytes: [UInt8]) async throws {
        try await channel.withLock { $0 }?.writeAndFlush(ByteBuffer(bytes: bytes))
    }

    func waitFor(_ expected: String) async throws {
        try await eventually { received.contains(expected) }
    }

    func close() async throws {
        try? await channel.withLock { $0 }?.close()
    }

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let connection: TLSConnection

        init(_ connection: TLSConnection) {
            self.connection = connection
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let received = String(buffer: unwrapInboundIn(data))
            connection.text.withLock { $0 += received }
        }
    }
}
