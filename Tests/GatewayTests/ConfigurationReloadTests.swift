import Foundation
import KubernetesModel
import Logging
import Synchronization
import Testing

@testable import Gateway

/// A whole gateway that follows a configuration file.
@Suite(.serialized) struct ConfigurationReloadTests {
    private final class Ports: Sendable {
        private let ports = Mutex((gateway: 0, admin: 0))
        var gateway: Int { ports.withLock(\.gateway) }
        var admin: Int { ports.withLock(\.admin) }
        func setGateway(_ value: Int) { ports.withLock { $0.gateway = value } }
        func setAdmin(_ value: Int) { ports.withLock { $0.admin = value } }
    }

    private struct Running {
        let path: String
        let socket: String
        let ports: Ports
        let reloads: AsyncStream<Void>.Continuation

        /// As careful editors and deployments do.
        func replaceFile(_ text: String) throws {
            try text.write(toFile: path + ".new", atomically: false, encoding: .utf8)
            guard rename(path + ".new", path) == 0 else { throw RawConnection.Failure(description: "cannot rename") }
        }

        /// As careless ones do.
        func editFile(_ text: String) throws { try text.write(toFile: path, atomically: false, encoding: .utf8) }

        /// The name of the backend that answers.
        func backend() async throws -> String {
            let port = ports.gateway
            return try await onThread { try RawConnection(port: port).exchange(get())["X-Backend"] ?? "" }
        }

        func loopbackStatus(_ request: String) async throws -> Int {
            let port = ports.admin
            return try await onThread {
                try RawConnection(port: port)
                    .exchange("\(request) HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").status
            }
        }

        func config() async throws -> JSON {
            try JSON(parsing: Array(try await admin("GET /config").text.utf8))
        }

        func status(_ target: String = "/") async throws -> Int {
            let port = ports.gateway
            return try await onThread { try RawConnection(port: port).exchange(get(target)).status }
        }

        func admin(_ request: String) async throws -> RawConnection.Message {
            let socket = socket
            return try await onThread {
                try RawConnection(socket: socket).exchange(
                    "\(request) HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
                )
            }
        }
    }

    private static func text(_ port: Int, host: String = "127.0.0.1", route: String = "all") -> String {
        """
        routes:
          - name: \(route)
            rules:
              - backends: [app]
        backends:
          app: { endpoints: ["\(host):\(port)"], resolveInterval: 1s }

        """
    }

    private static func withGateway(_ text: String, _ body: (Running) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.path + "/config-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = "\(folder)/gateway.yaml"
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        let (reloads, reload) = AsyncStream<Void>.makeStream()
        let ports = Ports()
        var configuration = GatewayProcess.Configuration(
            host: "127.0.0.1",
            port: 0,
            workers: 2,
            adminSocket: "\(folder)/admin.sock",
            adminPort: 0,
            file: .init(path: path, configuration: try FileConfiguration.load(path), reloads: reloads),
            gracePeriod: .milliseconds(200),
            onListening: ports.setGateway
        )
        configuration.onAdminListening = ports.setAdmin
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let running = Running(path: path, socket: "\(folder)/admin.sock", ports: ports, reloads: reload)
        let gateway = GatewayProcess(configuration: configuration, client: nil, logger: logger)
        async let end: Void = gateway.run()
        try await eventually(within: 30) { ports.gateway != 0 && ports.admin != 0 }
        try await eventually { (try? await running.admin("GET /healthz").status) == 200 }
        try await body(running)
        #expect(try await running.admin("POST /stop").status == 202)
        try await end
    }

    @Test func takesOverReplacedAndEditedFilesAndSignals() async throws {
        let (first, second) = (try RawServer.echo(name: "first"), try RawServer.echo(name: "second"))
        try await Self.withGateway(Self.text(first.port)) { gateway in
            #expect(try await gateway.backend() == "first")
            try gateway.replaceFile(Self.text(second.port))
            try await eventually { try await gateway.backend() == "second" }
            try gateway.editFile(Self.text(first.port))
            try await eventually { try await gateway.backend() == "first" }
            let before = try await gateway.config()["successes"]?.int ?? 0
            gateway.reloads.yield()
            try await eventually { try await gateway.config()["successes"]?.int ?? 0 >= before + 1 }
            #expect(try await gateway.admin("POST /reload").status == 202)
            try await eventually { try await gateway.config()["successes"]?.int ?? 0 >= before + 2 }
        }
    }

    @Test func noticesAFileBehindALinkThatChanges() async throws {
        let (first, second) = (try RawServer.echo(name: "first"), try RawServer.echo(name: "second"))
        try await Self.withGateway(Self.text(first.port)) { gateway in
            try FileManager.default.createDirectory(atPath: gateway.path + ".d", withIntermediateDirectories: true)
            let target = gateway.path + ".d/target"
            try Self.text(first.port, route: "linked").write(toFile: target, atomically: false, encoding: .utf8)
            try FileManager.default.createSymbolicLink(atPath: gateway.path + ".new", withDestinationPath: target)
            #expect(rename(gateway.path + ".new", gateway.path) == 0)
            try await eventually { try await gateway.admin("GET /table").text.contains("linked") }
            // In another folder than the one that is watched.
            try Self.text(second.port).write(toFile: target, atomically: false, encoding: .utf8)
            try await eventually { try await gateway.backend() == "second" }
        }
    }

    @Test func keepsTheLastGoodTableAndSaysWhatIsWrong() async throws {
        let server = try RawServer.echo()
        try await Self.withGateway(Self.text(server.port)) { gateway in
            try gateway.replaceFile("routes:\n  - nme: all\n    rules: []\n")
            try await eventually { try await gateway.config()["lastReloadSuccessful"] == false }
            let problems = try await gateway.config()["problems"]?.array?.compactMap(\.string) ?? []
            #expect(
                problems.contains { $0.contains(":2:5: routes[0].nme: there is no such field; did you mean \"name\"?") }
            )
            #expect(try await gateway.status() == 200)
            let metrics = try await gateway.admin("GET /metrics").text
            #expect(metrics.contains("\nsampan_gateway_config_last_reload_successful 0\n"))
            #expect(metrics.contains("\nsampan_gateway_config_reloads_total{result=\"failure\"} 1\n"))
            try FileManager.default.removeItem(atPath: gateway.path)
            try await eventually { try await gateway.config()["failures"]?.int == 2 }
            #expect(try await gateway.status() == 200)
            try gateway.replaceFile(Self.text(server.port, route: "again"))
            try await eventually { try await gateway.config()["lastReloadSuccessful"] == true }
            #expect(try await gateway.admin("GET /table").text.contains("again"))
        }
    }

    @Test func resolvesNamesAndStartsWithoutThoseItCannot() async throws {
        let server = try RawServer.echo()
        try await Self.withGateway(Self.text(server.port, host: "localhost")) { gateway in
            try await eventually { (try? await gateway.status()) == 200 }
            try gateway.replaceFile(Self.text(server.port, host: "does-not-exist.invalid", route: "nowhere"))
            // The endpoints of before stay for a moment, as always when a backend loses its last one.
            try await eventually(within: 10) {
                let table = try JSON(parsing: Array(try await gateway.admin("GET /table").text.utf8))
                let endpoints = table["backends"]?.array?.first?["endpoints"]?.array
                return table["rules"]?.array?.first?["route"] == "nowhere" && endpoints?.isEmpty == true
            }
        }
    }

    @Test func losesNoRequestWhileTheFileChanges() async throws {
        let (first, second) = (try RawServer.echo(name: "first"), try RawServer.echo(name: "second"))
        try await Self.withGateway(Self.text(first.port)) { gateway in
            let load = Load(port: gateway.ports.gateway, clients: 4)
            for number in 0..<40 {
                let server = number % 2 == 0 ? second : first
                let name = number % 2 == 0 ? "second" : "first"
                if number % 3 == 0 {
                    try gateway.editFile(Self.text(server.port))
                } else {
                    try gateway.replaceFile(Self.text(server.port))
                }
                try await eventually { try await gateway.backend() == name }
            }
            try await eventually { load.answers > 100 }
            let result = await load.stop()
            #expect(result.failures == [])
        }
    }

    @Test func readsButDoesNotChangeOnTheLoopbackPort() async throws {
        let server = try RawServer.echo()
        try await Self.withGateway(Self.text(server.port)) { gateway in
            for path in ["/healthz", "/readyz", "/metrics", "/table", "/config"] {
                let status = try await gateway.loopbackStatus("GET \(path)")
                #expect(status == 200)
            }
            for path in ["/stop", "/reload", "/drain?address=1.2.3.4"] {
                let status = try await gateway.loopbackStatus("POST \(path)")
                #expect(status == 404)
            }
            #expect(try await gateway.status() == 200)
        }
    }
}
