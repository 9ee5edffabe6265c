import Foundation
import KubernetesClient
import KubernetesModel
import Logging
import Synchronization
import TestKit
import Testing

@testable import Gateway

/// The whole gateway against a cluster in memory.
@Suite(.serialized) struct GatewayProcessTests {
    private final class Listening: Sendable {
        private let port = Mutex(0)
        var value: Int { port.withLock { $0 } }
        func set(_ value: Int) { port.withLock { $0 = value } }
    }

    private static func withFolder(_ body: (String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.path + "/gateway-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await body(folder)
    }

    /// Runs a gateway while `body` runs, then stops it over the admin socket.
    private static func withGateway(
        _ folder: String,
        _ client: (any ClusterClient)?,
        _ body: (Int) async throws -> Void
    ) async throws {
        let listening = Listening()
        var logger = Logger(label: "test")
        logger.logLevel = .warning
        let gateway = GatewayProcess(
            configuration: .init(
                host: "127.0.0.1",
                port: 0,
                workers: 2,
                adminSocket: "\(folder)/admin.sock",
                snapshotFile: "\(folder)/snapshot.json",
                addresses: ["127.0.0.1"],
                gracePeriod: .milliseconds(200)
            ) { listening.set($0) },
            client: client,
            logger: logger
        )
        async let running: Void = gateway.run()
        try await eventually { listening.value != 0 }
        try await eventually { (try? await Self.admin(folder, "GET /healthz").status) == 200 }
        try await body(listening.value)
        #expect(try await Self.admin(folder, "POST /stop").status == 202)
        try await running
    }

    private static func admin(_ folder: String, _ request: String) async throws -> RawConnection.Message {
        try await onThread { try exchange(folder, request) }
    }

    private static func exchange(_ folder: String, _ request: String) throws -> RawConnection.Message {
        try RawConnection(socket: "\(folder)/admin.sock")
            .exchange("\(request) HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    }

    private static func fill(_ cluster: MemoryCluster, port: Int) {
        let rule: JSON = ["backendRefs": [["name": "web", "port": 80]]]
        cluster.put(.gatewayClasses, GatewayCompilerTests.gatewayClass)
        cluster.put(.gateways, GatewayCompilerTests.gateway())
        cluster.put(.services, GatewayCompilerTests.service("web"))
        cluster.put(.endpointSlices, GatewayCompilerTests.slice("web", [("127.0.0.1", port, true)]))
        cluster.put(.httpRoutes, GatewayCompilerTests.route(rules: [rule]))
    }

    private static func status(_ port: Int) async throws -> Int {
        try await onThread { try RawConnection(port: port).exchange(get()).status }
    }

    @Test func servesWhatTheClusterSaysAndWritesStatuses() async throws {
        let server = try RawServer.echo()
        try await Self.withFolder { folder in
            let cluster = MemoryCluster()
            try await Self.withGateway(folder, cluster) { port in
                try await eventually { try await Self.admin(folder, "GET /readyz").status == 200 }
                #expect(try await Self.status(port) == 404)
                Self.fill(cluster, port: server.port)
                try await eventually { try await Self.admin(folder, "GET /table").text.contains("default/web:80") }
                #expect(try await Self.status(port) == 200)
                try await eventually {
                    let route = cluster.find(.httpRoutes, namespace: "default", name: "shop")
                    let conditions = route?["status", "parents"]?.array?.first?["conditions"]?.array ?? []
                    return conditions.map { $0["status"]?.string } == ["True", "True"]
                }
                try await eventually {
                    let gateway = cluster.find(.gateways, namespace: "default", name: "edge")
                    return gateway?["status", "listeners"]?.array?.first?["attachedRoutes"] == 1
                }
                let counted =
                    "sampan_gateway_requests_total{route=\"default/shop\",backend=\"default/web:80\",code=\"2xx\"} 1\n"
                try await eventually { try await Self.admin(folder, "GET /metrics").text.contains(counted) }
                cluster.remove(.httpRoutes, namespace: "default", name: "shop")
                try await eventually { try await !Self.admin(folder, "GET /table").text.contains("default/web:80") }
                #expect(try await Self.status(port) == 404)
            }
        }
    }

    @Test func servesFromTheSnapshotWithoutACluster() async throws {
        let server = try RawServer.echo()
        try await Self.withFolder { folder in
            let cluster = MemoryCluster()
            Self.fill(cluster, port: server.port)
            try await Self.withGateway(folder, cluster) { _ in
                try await eventually {
                    FileManager.default.contents(atPath: "\(folder)/snapshot.json").map { $0.count > 100 } ?? false
                }
            }
            try await Self.withGateway(folder, nil) { port in
                let status = try await Self.status(port)
                #expect(status == 200)
            }
        }
    }

    @Test func drainsOverTheAdminSocket() async throws {
        let isHeld = Mutex(true)
        let server = try RawServer { connection in
            _ = try connection.readHead()
            while isHeld.withLock(\.self) { usleep(1000) }
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        }
        try await Self.withFolder { folder in
            let cluster = MemoryCluster()
            Self.fill(cluster, port: server.port)
            try await Self.withGateway(folder, cluster) { port in
                try await eventually { try await Self.admin(folder, "GET /table").text.contains("127.0.0.1") }
                async let status = Self.status(port)
                try await eventually { server.accepted == 1 }
                let client = GatewayDrainClient(socketPath: "\(folder)/admin.sock")
                #expect(await client.withdraw(podIP: "127.0.0.1", deadline: .milliseconds(50)) == false)
                isHeld.withLock { $0 = false }
                #expect(await client.withdraw(podIP: "127.0.0.1", deadline: .seconds(5)))
                #expect(try await status == 200)
                #expect(
                    try await Self.admin(folder, "POST /drain?address=10.1.2.3&deadlineSeconds=1").text
                        == "{\"drained\":true,\"inFlight\":0}\n"
                )
                #expect(try await Self.admin(folder, "POST /drain").status == 400)
            }
        }
    }
}
