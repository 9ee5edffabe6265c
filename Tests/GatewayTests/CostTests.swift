import AllocationCounter
import FlowControl
import Foundation
import Testing

@testable import Gateway

/// What a request in steady state costs, with everything on that can be: metrics, access log, request id, checks, outliers, retries.
///
/// Code that is not optimized keeps values in boxes, so some of it means something only in a release build: `make test-optimized`.
@Suite(.serialized) struct CostTests {
    #if DEBUG
    static let isOptimized = false
    #else
    static let isOptimized = true
    #endif

    // MARK: - Memory

    @Test(.enabled(if: isOptimized), arguments: CostCase.allCases) func allocatesNothing(_ each: CostCase) async throws
    {
        try await each.withPlane { plane, port in
            let costs = try await each.costs(ofRequests: 500, at: port, in: plane)
            #expect(costs.allocations == 0)
            #expect(costs.references == 0)
        }
    }

    /// The counters see what is there to be seen, also in this build.
    @Test(.enabled(if: allocation_counter_counts()))
    func countsAllocationsAndReferencesWhereThereAreSome() async throws {
        try await CostCase.plain.withPlane { plane, _ in
            allocation_counter_start(try #require(plane.threads.first))
            plane.publish(.single([1]))
            try await eventually { plane.adoptedGeneration == 2 }
            let costs = thread_costs_stop()
            #expect(costs.allocations > 0)
            #expect(costs.references > 0)
        }
    }

    @Test func keepsNoMoreThanHalfAKilobyteOfAConnection() {
        #expect(MemoryLayout<Connection>.stride <= 512)
    }

    // MARK: - System calls

    @Test func costsFourSocketCalls() async throws {
        try await CostCase.policies.withPlane { plane, port in
            let before = plane.socketCalls
            _ = try await CostCase.policies.costs(ofRequests: 500, at: port, in: plane)
            // Of the requests, and of those before them that made the connections.
            #expect(Double(plane.socketCalls - before) / 550 <= 4.05)
            for policy in plane.policies { #expect(policy.value(of: .passed) == 550, "\(policy.policy.name)") }
            #expect(plane.policies.count == 10)
        }
    }

    /// While requests come faster than they are served, which is when their cost matters: then each turn of the loop serves many.
    @Test(.enabled(if: CostTests.seesSystemCalls)) func costsFourSystemCallsUnderLoad() async throws {
        try await NginxTests.withNginx(keepsConnections: true) { backend, _ in
            try await withDataPlane(.single([backend])) { plane in
                let counter = syscall_counter_open("gateway-0")
                try #require(counter >= 0)
                defer { syscall_counter_close(counter) }
                let load = try Self.wrk(plane.port, connections: 256)
                defer {
                    kill(load.processIdentifier, SIGKILL)
                    load.waitUntilExit()
                }
                try await eventually(within: 60) { plane.value(of: .clients) == 256 && plane.requests > 2000 }
                // While something else keeps the clients from asking, a turn of the loop serves fewer: the lowest of three counts.
                var lowest = Double.infinity
                for _ in 0..<3 where lowest > 4.3 {
                    // What happens between two of the readings makes no count larger than what it is compared with.
                    let before = (plane.requests, syscall_counter_read(counter), plane.socketCalls)
                    try await eventually(within: 60) { plane.requests >= before.0 + 10_000 }
                    let socketCalls = plane.socketCalls - before.2
                    let calls = syscall_counter_read(counter) - before.1
                    let requests = Double(plane.requests - before.0)
                    lowest = min(lowest, Double(calls) / requests)
                    // What the gateway says of itself is what the kernel sees.
                    #expect(Double(socketCalls) / requests <= 4.1)
                    #expect(calls >= Int64(socketCalls) * 99 / 100)
                }
                #expect(lowest <= 4.3)
            }
        }
    }

    /// Whether the kernel lets this process count its own system calls.
    static let seesSystemCalls: Bool = {
        let counter = syscall_counter_open(nil)
        if counter >= 0 { syscall_counter_close(counter) }
        return counter >= 0
    }()

    private static func wrk(_ port: Int, connections: Int) throws -> Process {
        let wrk = Process()
        wrk.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        wrk.arguments = ["wrk", "-t1", "-c\(connections)", "-d120s", "http://127.0.0.1:\(port)/status"]
        wrk.standardOutput = FileHandle.nullDevice
        try wrk.run()
        return wrk
    }
}

/// A gateway with everything on, and one kind of client.
enum CostCase: CaseIterable {
    case plain
    case policies
    case tls

    /// One of each kind, none of which is ever reached.
    static let tenPolicies: [TrafficPolicy] = [
        TrafficPolicy(name: "rate", .rateLimit(RateLimit(requests: 1_000_000))),
        TrafficPolicy(name: "even", .rateLimit(RateLimit(requests: 1_000_000, maximumWait: 1000))),
        TrafficPolicy(name: "warm", .rateLimit(RateLimit(requests: 1_000_000, warmUp: WarmUp()))),
        TrafficPolicy(name: "address", .rateLimit(RateLimit(requests: 1_000_000, key: .clientAddress))),
        TrafficPolicy(name: "tenant", .rateLimit(RateLimit(requests: 1_000_000, key: .header("X-Tenant")))),
        TrafficPolicy(name: "related", .related(RelatedLimit(route: "default/all", requests: 1_000_000))),
        TrafficPolicy(name: "flying", .concurrency(ConcurrencyLimit(maximum: 1000))),
        TrafficPolicy(name: "each", .concurrency(ConcurrencyLimit(maximum: 1000, key: .host))),
        TrafficPolicy(
            name: "overload",
            .loadShedding(
                LoadShedding(
                    classes: [
                        PriorityClass(name: "paid", selectors: [.header(name: "X-Plan", value: "paid")]),
                        PriorityClass(name: "free"),
                    ],
                    initialCap: 1000
                )
            )
        ),
        TrafficPolicy(name: "breaker", .circuitBreaker(CircuitBreaker(slowRatio: 0.9))),
    ]

    private static let request = get(
        "/a/b?c",
        extra: "User-Agent: test\r\nCookie: a=b\r\nX-Tenant: a\r\nX-Plan: paid\r\n"
    )

    func withPlane(_ body: (DataPlane, Int) async throws -> Void) async throws {
        let servers = try (0..<3).map { try RawServer.echo(name: "s\($0)") }
        let path = FileManager.default.temporaryDirectory.path + "/cost-\(UInt32.random(in: 0 ... .max)).log"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let plane = try DataPlane(
            ports: .init(host: "127.0.0.1", plain: 0, tls: self == .tls ? 0 : nil),
            workers: 1,
            configuration: DataPathConfiguration(),
            table: try await table(servers.map(\.port)),
            accessLog: .init(path: path)
        )
        defer {
            plane.stop(within: 0)
            for server in servers { server.stop() }
        }
        try plane.listen()
        try await body(plane, plane.tlsPort ?? plane.port)
    }

    private func table(_ ports: [Int]) async throws -> RouteTable {
        let policy = BackendPolicy(
            outlierDetection: .init(),
            slowStart: .init(),
            connections: .init(maximumPerEndpoint: 1000)
        )
        var table = RouteTable.single(ports, retry: RetryPolicy(), policy: policy)
        if self == .policies { table.rules[0].policies = Self.tenPolicies }
        if self == .tls {
            let certificate = try await TestCertificates.usual()
            table.listeners = [.init(name: "tls", tls: .init(certificates: [certificate]))]
        }
        return table
    }

    /// What the worker's thread does for requests on one connection that has served some before.
    func costs(ofRequests count: Int, at port: Int, in plane: DataPlane) async throws -> thread_costs {
        let worker = try #require(plane.threads.first)
        let held = plane.value(of: .bufferBytes)
        let costs = try await onThread {
            let exchange = try client(port)
            for _ in 0..<50 { try exchange() }
            allocation_counter_start(worker)
            defer { _ = thread_costs_stop() }
            for _ in 0..<count { try exchange() }
            return thread_costs_stop()
        }
        #expect(held == 0 || plane.value(of: .bufferBytes) == held)
        return costs
    }

    private func client(_ port: Int) throws -> () throws -> Void {
        if self == .tls {
            let client = try SecureConnection(port: port)
            return {
                let head = try client.exchange(Self.request).head
                #expect(head.hasPrefix("HTTP/1.1 200 "))
            }
        }
        let client = try RawConnection(port: port)
        return {
            let status = try client.exchange(Self.request).status
            #expect(status == 200)
        }
    }
}

extension DataPlane {
    var socketCalls: UInt64 { value(of: .receiveCalls) + value(of: .sendCalls) }

    /// Answered so far, over all routes.
    var requests: UInt64 {
        series.reduce(0) { $0 + words(ofSeries: $1.number).prefix(WorkerMetrics.classes).reduce(0, +) }
    }
}
