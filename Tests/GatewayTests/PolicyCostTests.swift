import AllocationCounter
import FlowControl
import Foundation
import Testing

@testable import Gateway

/// What a request costs with every kind of policy on its route.
@Suite(.serialized) struct PolicyCostTests {
    static var isOptimized: Bool {
        var isDebug = false
        assert(
            {
                isDebug = true
                return true
            }()
        )
        return !isDebug
    }

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

    /// Code that is not optimized keeps values in boxes, so this means something only in a release build.
    @Test(.enabled(if: isOptimized))
    func takesNoMemoryPerRequest() async throws {
        let server = try RawServer.echo()
        var table = RouteTable.single([server.port])
        table.rules[0].policies = Self.tenPolicies
        try await withDataPlane(table) { plane in
            let worker = try #require(plane.threads.first)
            let taken = try await onThread {
                let client = try RawConnection(port: plane.port)
                let request = get(extra: "X-Tenant: a\r\nX-Plan: paid\r\n")
                for _ in 0..<100 { #expect(try client.exchange(request).status == 200) }
                allocation_counter_start(worker)
                defer { _ = allocation_counter_stop() }
                for _ in 0..<500 { _ = try client.exchange(request) }
                return allocation_counter_stop()
            }
            #expect(taken == 0)
            for policy in Self.tenPolicies {
                #expect(plane.policies.first { $0.policy.name == policy.name }?.value(of: .passed) == 600)
            }
            // Each request costs the four socket calls that it costs without policies.
            #expect(MemoryLayout<Connection>.stride <= 512)
        }
    }
}
