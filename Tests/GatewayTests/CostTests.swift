import AllocationCounter
import FlowControl
import Foundation
import Testing

@testable import Gateway

/// What a request in steady state costs, with everything on that can be: metrics, access log, request id, checks, outliers, retries.
@Suite(.serialized) struct CostTests {
    private static func withEverything(_ body: (DataPlane) async throws -> Void) async throws {
        let servers = try (0..<3).map { try RawServer.echo(name: "s\($0)") }
        let policy = BackendPolicy(
            outlierDetection: .init(),
            slowStart: .init(),
            connections: .init(maximumPerEndpoint: 1000)
        )
        let table = RouteTable.single(servers.map(\.port), retry: RetryPolicy(), policy: policy)
        let path = FileManager.default.temporaryDirectory.path + "/cost-\(UInt32.random(in: 0 ... .max)).log"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try await withDataPlane(table, accessLog: .init(path: path)) { plane in
            try await Self.exchange(plane, 50)
            try await body(plane)
        }
    }

    private static func exchange(_ plane: DataPlane, _ count: Int) async throws {
        try await onThread {
            let client = try RawConnection(port: plane.port)
            for _ in 0..<count {
                #expect(try client.exchange(get("/a/b?c", extra: "User-Agent: test\r\nCookie: a=b\r\n")).status == 200)
            }
        }
        try await eventually { plane.value(of: .clients) == 0 }
    }

    /// Code that is not optimized keeps values in boxes, so this means something only in a release build.
    @Test(.enabled(if: PolicyCostTests.isOptimized)) func allocatesNothing() async throws {
        try await Self.withEverything { plane in
            let bytes = plane.value(of: .bufferBytes)
            // The client's connection is made before counting: memory for connections grows in large pieces.
            allocation_counter_start(try #require(plane.threads.first))
            try await Self.exchange(plane, 500)
            let allocations = allocation_counter_stop()
            #expect(allocations == 0)
            #expect(plane.value(of: .bufferBytes) == bytes)
        }
    }

    @Test func countsAllocationsWhereThereAreSome() async throws {
        try await Self.withEverything { plane in
            allocation_counter_start(try #require(plane.threads.first))
            plane.publish(.single([1]))
            try await eventually { plane.adoptedGeneration == 2 }
            let allocations = allocation_counter_stop()
            #expect(allocations > 0)
        }
    }

    @Test func costsFourSocketCalls() async throws {
        try await Self.withEverything { plane in
            let before = plane.value(of: .receiveCalls) + plane.value(of: .sendCalls)
            try await Self.exchange(plane, 500)
            let calls = plane.value(of: .receiveCalls) + plane.value(of: .sendCalls) - before
            #expect(Double(calls) / 500 <= 4.3)
            #expect(MemoryLayout<Connection>.stride <= 512)
        }
    }
}
