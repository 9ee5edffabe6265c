import Synchronization
import Testing

@testable import Gateway

struct SeriesRegistryTests {
    private static func series(_ number: Int) -> MetricSeries { MetricSeries(route: "r\(number)", backend: "b") }

    @Test func keepsANumberWhileAnyTableUsesIt() {
        let freed = Mutex<[Int]>([])
        let registry = SeriesRegistry { number in freed.withLock { $0.append(number) } }
        var first: SeriesLease? = SeriesLease(registry)
        let number = first!.number(of: Self.series(1))
        #expect(first!.number(of: Self.series(1)) == number)
        let second = SeriesLease(registry)
        #expect(second.number(of: Self.series(1)) == number)
        let other = first!.number(of: Self.series(2))
        #expect(other != number)
        first = nil
        #expect(freed.withLock { $0 } == [other])
        #expect(registry.all.map(\.series) == [.unmatched, .others, Self.series(1)])
        #expect(second.number(of: Self.series(3)) == other)
    }

    @Test func namesWhatFindsNoNumber() {
        let registry = SeriesRegistry(capacity: 4)
        let lease = SeriesLease(registry)
        let numbers = (0..<5).map { lease.number(of: Self.series($0)) }
        #expect(numbers == [2, 3, 1, 1, 1])
        #expect(lease.number(of: .unmatched) == 0)
        #expect(registry.all.map(\.series) == [.unmatched, .others, Self.series(0), Self.series(1)])
    }

    /// Names that come and go, as of previews, leave nothing behind.
    @Test func survivesManyNames() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port])) { plane in
            for number in 0..<200 {
                var table = RouteTable.single([server.port])
                table.rules[0].route = "default/r\(number)"
                plane.publish(table)
                try await eventually { plane.adoptedGeneration == number + 2 }
                plane.freeRetired()
            }
            #expect(plane.series.count <= 8)
            let port = plane.port
            let status = try await onThread { try RawConnection(port: port).exchange(get()).status }
            #expect(status == 200)
            let last = plane.series.filter { $0.series.route == "default/r199" }
            try await eventually { last.contains { plane.words(ofSeries: $0.number)[2] == 1 } }
        }
    }
}
