import COpenSSL
import Foundation
import KubernetesClient
import KubernetesModel
import Logging
import ServiceLifecycle
import Synchronization
import TestKit
import Testing

@testable import Gateway

/// One gateway after the other on the same sockets.
@Suite(.serialized) struct HandOverTests {
    /// Gateways of one folder, all with the same admin socket.
    private final class Line: Sendable {
        let folder: String
        let cluster: MemoryCluster
        let isTLS: Bool
        /// A port that was free a moment ago; every gateway of the line wants it.
        let adminPort: Int
        private let running = Mutex<[Task<Void, any Error>]>([])

        init(folder: String, cluster: MemoryCluster, isTLS: Bool = false) {
            self.folder = folder
            self.cluster = cluster
            self.isTLS = isTLS
            adminPort = (try? RawServer { _ in }.port) ?? 0
        }

        /// Starts a gateway and waits until it serves; its ports.
        func start(takesOver: Bool, grace: Duration = .seconds(5)) async throws -> Int {
            let (ports, listens) = AsyncStream<Int>.makeStream()
            var logger = Logger(label: "test")
            logger.logLevel = .error
            let gateway = GatewayProcess(
                configuration: .init(
                    host: "127.0.0.1",
                    port: 0,
                    tlsPort: isTLS ? 0 : nil,
                    takesOver: takesOver,
                    workers: 2,
                    adminSocket: "\(folder)/admin",
                    adminPort: adminPort,
                    snapshotFile: "\(folder)/snapshot.json",
                    gracePeriod: grace
                ) { listens.yield($0) },
                client: cluster,
                logger: logger
            )
            let task = Task {
                defer { listens.finish() }
                try await gateway.run()
            }
            running.withLock { $0.append(task) }
            for await port in ports {
                try await eventually { (try? await self.admin("GET /readyz").status) == 200 }
                return port
            }
            try await task.value
            throw GatewayError("the gateway ended before it listened")
        }

        /// Waits until the gateways that came before the last one have ended.
        func waitForPredecessors() async throws {
            for task in running.withLock({ $0.dropLast() }) { try await task.value }
        }

        func stop() async throws {
            _ = try await admin("POST /stop")
            for task in running.withLock(\.self) { try await task.value }
        }

        func admin(_ request: String) async throws -> RawConnection.Message {
            let path = "\(folder)/admin"
            return try await onThread {
                guard let descriptor = UnixSocket.connect(path, timeout: 10) else {
                    throw RawConnection.Failure(description: "no admin socket")
                }
                return try RawConnection(descriptor: descriptor)
                    .exchange("\(request) HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            }
        }
    }

    private static func withLine(
        _ port: Int,
        secret: JSON? = nil,
        _ body: (Line) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.path + "/line-\(UInt16.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let cluster = MemoryCluster()
        var listeners: [JSON] = [["name": "http", "port": 80, "protocol": "HTTP"]]
        if let secret {
            cluster.put(.secrets, secret)
            listeners.append(
                [
                    "name": "https", "port": 443, "protocol": "HTTPS",
                    "tls": ["certificateRefs": [["name": "web-tls"]]],
                ]
            )
        }
        cluster.put(.gatewayClasses, GatewayCompilerTests.gatewayClass)
        cluster.put(.gateways, GatewayCompilerTests.gateway(listeners))
        cluster.put(.services, GatewayCompilerTests.service("web"))
        cluster.put(.endpointSlices, GatewayCompilerTests.slice("web", [("127.0.0.1", port, true)]))
        let rule: JSON = ["backendRefs": [["name": "web", "port": 80]]]
        cluster.put(.httpRoutes, GatewayCompilerTests.route(rules: [rule]))
        try await body(Line(folder: folder, cluster: cluster, isTLS: secret != nil))
    }

    @Test func tenHandOversUnderLoadFailNothing() async throws {
        let server = try RawServer.echo()
        try await Self.withLine(server.port) { line in
            let port = try await line.start(takesOver: false)
            try await eventually { try await line.admin("GET /table").text.contains("default/web:80") }
            let load = Load(port: port, clients: 4)
            for _ in 0..<10 {
                let goal = load.answers + 50
                try await eventually { load.answers >= goal }
                #expect(try await line.start(takesOver: true) == port)
                try await line.waitForPredecessors()
            }
            let result = await load.stop()
            #expect(result.failures == [])
            try await line.stop()
        }
    }

    @Test func whatIsUnderWayIsFinishedByThePredecessor() async throws {
        let isHeld = Mutex(true)
        let isUnderWay = Mutex(false)
        let server = try RawServer { connection in
            while let request = try connection.readMessage(isResponse: false) {
                if request.startLine.contains("/slow") { isUnderWay.withLock { $0 = true } }
                while request.startLine.contains("/slow"), isHeld.withLock(\.self) { usleep(1000) }
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
        try await Self.withLine(server.port) { line in
            let port = try await line.start(takesOver: false)
            try await eventually { try await line.admin("GET /table").text.contains("default/web:80") }
            let idle = try await onThread {
                let client = try RawConnection(port: port)
                #expect(try client.exchange(get()).status == 200)
                return client
            }
            async let slow = onThread { try RawConnection(port: port).exchange(get("/slow")) }
            try await eventually { isUnderWay.withLock(\.self) }
            _ = try await line.start(takesOver: true)
            #expect(try await onThread { try RawConnection(port: port).exchange(get()).status } == 200)
            // The old connection says that it was the last time; the predecessor hears of its successor a moment after it has begun.
            try await eventually {
                let last = try await onThread { try idle.exchange(get()) }
                #expect(last.status == 200)
                return last["Connection"] == "close"
            }
            isHeld.withLock { $0 = false }
            #expect(try await slow.status == 200)
            try await line.waitForPredecessors()
            let adminPort = line.adminPort
            try await eventually {
                (try? await onThread { try RawConnection(port: adminPort).exchange(get("/healthz")).status }) == 200
            }
            try await line.stop()
        }
    }

    @Test func sessionsAreResumedAtTheSuccessor() async throws {
        let server = try RawServer.echo()
        let certificate = try await TestCertificates.usual()
        let secret: JSON = [
            "metadata": ["name": "web-tls", "namespace": "default"], "type": "kubernetes.io/tls",
            "data": [
                "tls.crt": .string(Data(certificate.chain).base64EncodedString()),
                "tls.key": .string(Data(certificate.key).base64EncodedString()),
            ],
        ]
        try await Self.withLine(server.port, secret: secret) { line in
            _ = try await line.start(takesOver: false)
            try await eventually { try await line.admin("GET /table").text.contains("default/web-tls") }
            let port = try await Self.tlsPort(line)
            let first = try await onThread {
                let client = try SecureConnection(port: port)
                _ = try client.exchange(get())
                return client
            }
            _ = try await line.start(takesOver: true)
            try await onThread {
                let next = try SecureConnection(port: port, .init(resumes: first.ticket))
                let answer = try next.exchange(get())
                #expect(next.isResumed)
                #expect(answer.head.hasPrefix("HTTP/1.1 200"))
            }
            try await line.stop()
        }
    }

    private static func tlsPort(_ line: Line) async throws -> Int {
        let text = try await line.admin("GET /listeners").text
        let ports = try JSON(parsing: Array(text.utf8)).array ?? []
        return try (ports.first { $0["tls"] == true }?["port"]?.int).orThrow(GatewayError("no port for TLS in \(text)"))
    }

    @Test func aPodThatWasWithdrawnStaysSo() async throws {
        let server = try RawServer.echo()
        try await Self.withLine(server.port) { line in
            line.cluster.put(
                .endpointSlices,
                GatewayCompilerTests.slice("web", [("127.0.0.1", server.port, true), ("127.0.0.2", server.port, true)])
            )
            _ = try await line.start(takesOver: false)
            try await eventually { try await line.admin("GET /table").text.contains("127.0.0.2") }
            let client = GatewayDrainClient(socketPath: "\(line.folder)/admin")
            #expect(await client.withdraw(podIP: "127.0.0.2", podUID: "uid-127.0.0.2", deadline: .seconds(5)))
            _ = try await line.start(takesOver: true)
            let table = try await line.admin("GET /table").text
            #expect(table.contains("127.0.0.1"))
            #expect(!table.contains("127.0.0.2"))
            try await line.stop()
        }
    }

    @Test func drainingWaitsForThePredecessorToo() async throws {
        let isHeld = Mutex(true)
        let server = try RawServer { connection in
            _ = try connection.readHead()
            while isHeld.withLock(\.self) { usleep(1000) }
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        }
        try await Self.withLine(server.port) { line in
            let port = try await line.start(takesOver: false)
            try await eventually { try await line.admin("GET /table").text.contains("127.0.0.1") }
            async let slow = onThread { try RawConnection(port: port).exchange(get()) }
            try await eventually { server.accepted == 1 }
            _ = try await line.start(takesOver: true)
            let client = GatewayDrainClient(socketPath: "\(line.folder)/admin")
            #expect(await client.withdraw(podIP: "127.0.0.1", deadline: .milliseconds(100)) == false)
            isHeld.withLock { $0 = false }
            #expect(await client.withdraw(podIP: "127.0.0.1", deadline: .seconds(5)))
            #expect(try await slow.status == 200)
            try await line.stop()
        }
    }

    @Test func aSecondGatewayIsRefusedUnlessItTakesOver() async throws {
        let server = try RawServer.echo()
        try await Self.withLine(server.port) { line in
            let port = try await line.start(takesOver: false)
            await #expect(throws: GatewayError.self) { _ = try await line.start(takesOver: false) }
            #expect(try await onThread { try RawConnection(port: port).exchange(get("/x")).status } != 0)
            _ = try await line.admin("POST /stop")
        }
    }

    @Test func aSuccessorThatVanishesChangesNothing() async throws {
        let server = try RawServer.echo()
        try await Self.withLine(server.port) { line in
            let port = try await line.start(takesOver: false)
            try await eventually { try await line.admin("GET /table").text.contains("default/web:80") }
            let path = "\(line.folder)/vanishing"
            let listener = try UnixSocket.listen(path, timeout: 10)
            let vanished = Task {
                try await onThread {
                    let connection = accept(listener, nil, nil)
                    _ = try UnixSocket.receiveExactly(connection, 4)
                    close(connection)
                }
            }
            let target = path.addingPercentEncoding(withAllowedCharacters: .alphanumerics)!
            #expect(try await line.admin("POST /hand-over?socket=\(target)").status == 500)
            try await vanished.value
            close(listener)
            #expect(try await line.admin("POST /hand-over").status == 400)
            #expect(try await onThread { try RawConnection(port: port).exchange(get()).status } == 200)
            try await line.stop()
        }
    }
}
