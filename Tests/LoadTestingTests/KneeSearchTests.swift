import Testing

@testable import LoadTesting

struct KneeSearchTests {
    @Test(arguments: [1.0, 37, 99, 101, 997, 5230, 40_000]) func closesInOnACapacity(capacity: Double) {
        var bounds = KneeBounds(.init())
        var tries = 0
        while let rate = bounds.next(), tries < 60 {
            tries += 1
            bounds.record(rate, holds: rate.perSecond <= capacity)
        }
        #expect(tries < 30)
        let found = bounds.holding?.perSecond ?? 0
        #expect(found <= capacity)
        #expect(found >= capacity * 0.97)
    }

    @Test func givesUpWhereNothingHolds() {
        var bounds = KneeBounds(.init())
        var tries = 0
        while let rate = bounds.next(), tries < 60 {
            tries += 1
            bounds.record(rate, holds: false)
        }
        #expect(tries < 20)
        #expect(bounds.holding == nil)
    }

    @Test func findsTheKneeOfABackendOfKnownCapacity() async throws {
        var behaviour = BackendSettings()
        behaviour.serviceTime = 20_000_000
        behaviour.concurrency = 6  // 300 requests per second
        let backend = try BenchBackend(settings: behaviour)
        var settings = KneeSearch.Settings()
        settings.start = Rate(perSecond: 150)
        settings.stepDuration = 2_000_000_000
        settings.precision = 0.2
        var description = TrafficClass(name: "all", paths: ["/"])
        description.connections = 64
        let target = try LoadTarget("http://127.0.0.1:\(backend.port)")
        let plan = LoadPlan(target: target, phases: [], classes: [description])
        let search = try KneeSearch(plan, settings: settings)
        var report = try await search.run()
        // While the machine is busy with something else, a rate fails that would have held.
        for _ in 0..<2 where !(180.0..<330).contains(report.knee?.rate ?? 0) { report = try await search.run() }
        let knee = try #require(report.knee)
        #expect(knee.rate > 180)
        #expect(knee.rate < 330)
        #expect(knee.steps.contains { !$0.holds && $0.reason != nil })
    }
}
