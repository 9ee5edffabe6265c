import Foundation
import KubernetesModel
import TestKit
import Testing

@testable import Gateway

/// The real program: `sampan gateway` in a home of its own, without a server and without a cluster.
@Suite(.serialized) struct GatewayCommandTests {
    private struct Site: Sendable {
        let home: String
        /// A port that was free a moment ago.
        let port: Int

        init(backend: Int) throws {
            home = FileManager.default.temporaryDirectory.path + "/g\(UInt32.random(in: 0 ... .max))"
            let (plainPort, tlsPort) = try RawServer.freePorts()
            port = plainPort
            for folder in ["run", "gateway", "kubernetes", "logs"] {
                try FileManager.default.createDirectory(
                    atPath: "\(home)/\(folder)",
                    withIntermediateDirectories: true
                )
            }
            let settings: JSON = ["gatewayPort": JSON(port), "gatewayTLSPort": JSON(tlsPort)]
            try Data(settings.encoded()).write(to: URL(fileURLWithPath: "\(home)/settings.json"))
            let rule: JSON = ["backendRefs": [["name": "web", "port": 80]]]
            let objects = GatewayCompilerTests.objects(
                gateway: GatewayCompilerTests.gateway([["name": "http", "port": JSON(port), "protocol": "HTTP"]]),
                routes: [GatewayCompilerTests.route(rules: [rule])],
                slices: [GatewayCompilerTests.slice("web", [("127.0.0.1", backend, true)])]
            )
            try Data(objects.json.encoded()).write(to: URL(fileURLWithPath: "\(home)/gateway/table.json"))
        }

        func start(_ options: String...) throws -> Process {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: TestPlatform.program)
            process.arguments = ["gateway", "--home", home] + options
            process.standardError = FileHandle.nullDevice
            process.standardOutput = FileHandle.nullDevice
            try process.run()
            return process
        }

        func waitUntilServing() async throws {
            let port = port
            try await waitUntil("the gateway serves", within: .seconds(20)) {
                (try? await onThread { try RawConnection(port: port).exchange(get()).status }) == 200
            }
        }

        var recordedPid: Int32? {
            let text = try? String(contentsOfFile: "\(home)/run/gateway.pid", encoding: .utf8)
            return text?.split(separator: " ").first.flatMap { Int32($0) }
        }
    }

    private static func end(_ process: Process) {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
    }

    @Test func servesFromItsSnapshotBeforeThereIsAClusterAndAfterItWasKilled() async throws {
        let server = try RawServer.echo()
        let site = try Site(backend: server.port)
        defer { try? FileManager.default.removeItem(atPath: site.home) }
        for _ in 0..<3 {
            let process = try site.start()
            defer { Self.end(process) }
            try await site.waitUntilServing()
            try await waitUntil("the pid file names it") { site.recordedPid == process.processIdentifier }
            #expect(process.isRunning)
        }
    }

    @Test func aSecondProcessTakesOverUnderLoad() async throws {
        let server = try RawServer.echo()
        let site = try Site(backend: server.port)
        defer { try? FileManager.default.removeItem(atPath: site.home) }
        var current = try site.start()
        defer { Self.end(current) }
        try await site.waitUntilServing()
        let load = Load(port: site.port, clients: 4)
        for _ in 0..<3 {
            let successor = try site.start("--take-over")
            let (old, new) = (current, successor.processIdentifier)
            current = successor
            try await waitUntil("the successor is recorded", within: .seconds(20)) { site.recordedPid == new }
            try await waitUntil("the predecessor ended", within: .seconds(40)) { !old.isRunning }
            let goal = load.answers + 50
            try await eventually { load.answers >= goal }
        }
        let result = await load.stop()
        #expect(result.failures == [])
    }

    @Test func aSecondProcessThatDoesNotTakeOverIsRefused() async throws {
        let server = try RawServer.echo()
        let site = try Site(backend: server.port)
        defer { try? FileManager.default.removeItem(atPath: site.home) }
        let process = try site.start()
        defer { Self.end(process) }
        try await site.waitUntilServing()
        try await waitUntil("the pid file names it") { site.recordedPid == process.processIdentifier }
        let second = try await Shell.attempt(TestPlatform.program, ["gateway", "--home", site.home])
        #expect(!second.succeeded)
        #expect(second.errors.contains("--take-over"), "\(second.errors)")
        #expect(site.recordedPid == process.processIdentifier)
        try await site.waitUntilServing()
    }
}
