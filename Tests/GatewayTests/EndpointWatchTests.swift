import FlowControl
import Foundation
import Synchronization
import TestKit
import Testing

@testable import Gateway

/// Active checks and outlier detection against real servers.
@Suite(.serialized) struct EndpointWatchTests {
    /// Answers with a status that can be changed, and counts.
    private final class Backend: Sendable {
        private struct State {
            var status: Int
            var seen = 0
        }

        private let state: Mutex<State>

        init(_ status: Int) { state = Mutex(State(status: status)) }

        var seen: Int { state.withLock(\.seen) }
        func answer(_ status: Int) { state.withLock { $0.status = status } }

        func server() throws -> RawServer {
            try RawServer { connection in
                while try connection.readMessage(isResponse: false) != nil {
                    let status = self.state.withLock { state in
                        state.seen += 1
                        return state.status
                    }
                    try connection.send("HTTP/1.1 \(status) Status\r\nContent-Length: 0\r\n\r\n")
                }
            }
        }
    }

    private static func statuses(_ plane: DataPlane, _ count: Int) async throws -> [Int] {
        try await onThread {
            let client = try RawConnection(port: plane.port)
            return try (0..<count).map { _ in try client.exchange(get("/small")).status }
        }
    }

    // MARK: - Active checks

    @Test func takesAnEndpointOutAndBack() async throws {
        let check = BackendPolicy.HealthCheck(
            path: "/health",
            interval: 40,
            timeout: 1000,
            healthyThreshold: 2,
            unhealthyThreshold: 2,
            expectedStatuses: [200...299]
        )
        let policy = BackendPolicy(loadBalancing: .roundRobin, healthCheck: check)
        let locations = "location = /health { try_files /up =503; }"
        try await NginxTests.withNginx(locations: locations) { first, folder in
            let other = Backend(200)
            let second = try other.server()
            try Data("up".utf8).write(to: URL(fileURLWithPath: "\(folder)/up"))
            try await withWatchedPlane(.single([first, second.port], policy: policy), workers: 2) { plane in
                let endpoint = try plane.endpoint(port: first)
                try await eventually { endpoint.words.load(.checks) >= 2 }
                try await eventually { endpoint.isHealthy }
                try FileManager.default.removeItem(atPath: "\(folder)/up")
                try await eventually { !endpoint.isHealthy }
                let before = endpoint.sum(.requests)
                #expect(try await Self.statuses(plane, 40).allSatisfy { $0 == 200 })
                #expect(endpoint.sum(.requests) == before)
                #expect(
                    MetricsText.write(plane).contains(
                        "sampan_gateway_endpoint_healthy{backend=\"default/app:80\",endpoint=\"127.0.0.1:\(first)\"} 0\n"
                    )
                )
                try Data("up".utf8).write(to: URL(fileURLWithPath: "\(folder)/up"))
                try await eventually { endpoint.isHealthy }
                #expect(try await Self.statuses(plane, 40).allSatisfy { $0 == 200 })
                #expect(endpoint.sum(.requests) > before)
            }
        }
    }

    @Test func countsRefusedAndSilentEndpointsAsUnhealthy() async throws {
        let refusing = try ClosedPort()
        let silent = try RawServer { connection in _ = try connection.readToEnd() }
        let good = try RawServer.echo()
        let check = BackendPolicy.HealthCheck(path: "/", interval: 50, timeout: 1000)
        let ports = [refusing.port, silent.port, good.port]
        let table = RouteTable.single(ports, policy: BackendPolicy(healthCheck: check))
        try await withWatchedPlane(table) { plane in
            try await eventually { try !plane.endpoint(port: refusing.port).isHealthy }
            try await eventually { try !plane.endpoint(port: silent.port).isHealthy }
            try await eventually { try plane.endpoint(port: good.port).words.load(.checks) > 1 }
            try await eventually { try plane.endpoint(port: good.port).isHealthy }
            #expect(try plane.endpoint(port: silent.port).words.load(.failedChecks) > 0)
            // Without checks, nothing is known against them any more.
            plane.publish(.single(ports))
            #expect(try plane.endpoint(port: silent.port).isHealthy)
        }
    }

    @Test func onlyConnectsWithoutAPath() async throws {
        let silent = try RawServer { connection in _ = try connection.readToEnd() }
        let check = BackendPolicy.HealthCheck(path: nil, interval: 30, timeout: 5000)
        try await withWatchedPlane(.single([silent.port], policy: BackendPolicy(healthCheck: check))) { plane in
            let endpoint = try plane.endpoint(port: silent.port)
            try await eventually { endpoint.words.load(.checks) > 3 }
            #expect(endpoint.isHealthy)
            #expect(endpoint.words.load(.failedChecks) == 0)
        }
    }

    // MARK: - Outliers

    @Test func ejectsTheBadOneOfThreeAndTakesItBack() async throws {
        let backends = [Backend(500), Backend(200), Backend(200)]
        let servers = try backends.map { try $0.server() }
        let outliers = BackendPolicy.OutlierPolicy(
            consecutive5xx: 3,
            interval: 50,
            baseEjectionTime: 5000,
            maximumEjectedPercent: 40
        )
        let policy = BackendPolicy(loadBalancing: .roundRobin, outlierDetection: outliers)
        try await withWatchedPlane(.single(servers.map(\.port), policy: policy)) { plane in
            let bad = try plane.endpoint(port: servers[0].port)
            let statuses = try await Self.statuses(plane, 60)
            #expect(statuses.filter { $0 == 500 }.count == 3)
            #expect(bad.words.load(.ejections) >= 1)
            backends[0].answer(200)
            try await eventually { !bad.isEjected }
            let before = backends[0].seen
            #expect(try await Self.statuses(plane, 30).allSatisfy { $0 == 200 })
            #expect(backends[0].seen >= before + 8)
        }
    }

    @Test func onlyCountsOutliersOnTrial() async throws {
        let backends = [Backend(500), Backend(200)]
        let servers = try backends.map { try $0.server() }
        let outliers = BackendPolicy.OutlierPolicy(consecutive5xx: 3, baseEjectionTime: 60_000, dryRun: true)
        let policy = BackendPolicy(loadBalancing: .roundRobin, outlierDetection: outliers)
        try await withWatchedPlane(.single(servers.map(\.port), policy: policy)) { plane in
            let bad = try plane.endpoint(port: servers[0].port)
            let statuses = try await Self.statuses(plane, 40)
            #expect(statuses.filter { $0 == 500 }.count == 20)
            #expect(bad.words.load(.wouldEject) == 1 && bad.words.load(.ejections) == 0 && !bad.isEjected)
        }
    }

    @Test func neverEjectsAll() async throws {
        let backends = [Backend(502), Backend(503)]
        let servers = try backends.map { try $0.server() }
        let outliers = BackendPolicy.OutlierPolicy(
            consecutive5xx: 0,
            consecutiveGatewayFailures: 2,
            baseEjectionTime: 60_000,
            maximumEjectedPercent: 100
        )
        let policy = BackendPolicy(outlierDetection: outliers, panicThreshold: 0)
        try await withWatchedPlane(.single(servers.map(\.port), policy: policy), workers: 2) { plane in
            _ = try await Self.statuses(plane, 60)
            let ejected = try servers.filter { try plane.endpoint(port: $0.port).isEjected }
            #expect(ejected.count == 1)
            #expect(backends.map(\.seen).reduce(0, +) == 60)
        }
    }

    @Test func countsARunOnlyInARow() async throws {
        let backend = Backend(500)
        let server = try backend.server()
        let spare = Backend(500)
        let other = try spare.server()
        let outliers = BackendPolicy.OutlierPolicy(
            consecutive5xx: 3,
            baseEjectionTime: 60_000,
            maximumEjectedPercent: 100
        )
        let policy = BackendPolicy(loadBalancing: .roundRobin, outlierDetection: outliers)
        try await withWatchedPlane(.single([server.port, other.port], policy: policy)) { plane in
            for _ in 0..<4 {
                backend.answer(500)
                spare.answer(500)
                _ = try await Self.statuses(plane, 4)
                backend.answer(200)
                spare.answer(200)
                _ = try await Self.statuses(plane, 2)
            }
            #expect(try !plane.endpoint(port: server.port).isEjected)
            #expect(try !plane.endpoint(port: other.port).isEjected)
        }
    }

    @Test func comparesSuccessRates() async throws {
        let backends = (0..<5).map { _ in Backend(200) }
        let servers = try backends.map { try $0.server() }
        let outliers = BackendPolicy.OutlierPolicy(
            consecutive5xx: 0,
            consecutiveGatewayFailures: 0,
            interval: 300,
            successRateMinimumRequests: 5,
            successRateMinimumEndpoints: 5,
            baseEjectionTime: 60_000,
            maximumEjectedPercent: 20
        )
        let policy = BackendPolicy(loadBalancing: .roundRobin, outlierDetection: outliers)
        backends[3].answer(500)
        try await withWatchedPlane(.single(servers.map(\.port), policy: policy)) { plane in
            let bad = try plane.endpoint(port: servers[3].port)
            try await eventually {
                _ = try await Self.statuses(plane, 50)
                return bad.isEjected
            }
            for number in [0, 1, 2, 4] { #expect(try !plane.endpoint(port: servers[number].port).isEjected) }
        }
    }
}
