import Testing

@testable import LoadTesting

struct ObjectiveTests {
    /// A hundred answers of 1 to 100 ms, and five refusals.
    private var summary: LoadSummary {
        var tally = Tally()
        for value in 1...100 { tally.record(value > 90 ? .late : .good, nanoseconds: UInt64(value) * 1_000_000) }
        for _ in 0..<5 { tally.record(.refused, nanoseconds: 1) }
        return LoadSummary(tally, duration: 10, withDistribution: true)
    }

    @Test func percentilesAreThoseOfTheAnswers() {
        let latency = summary.latency
        for (measured, expected) in [
            (latency.p50, 50.0), (latency.p90, 90), (latency.p99, 99), (latency.max, 100), (latency.min, 1),
            (latency.mean, 50.5),
        ] {
            #expect(abs(measured - expected) <= expected * 0.002)
        }
        #expect(latency.count == 100)
    }

    @Test func requestsGivenUpCountAsSlowAndRefusalsDoNotCountAsFast() {
        var tally = Tally()
        for _ in 0..<50 { tally.record(.good, nanoseconds: 1_000_000) }
        for _ in 0..<50 { tally.record(.timedOut, nanoseconds: 2_000_000_000) }
        for _ in 0..<1000 { tally.record(.tooManyRequests, nanoseconds: 1000) }
        let summary = LoadSummary(tally, duration: 1)
        #expect(summary.latency.p90 >= 1990)
        #expect(summary.latency.min >= 0.99)
        #expect(summary.failed == 1050)
    }

    @Test(arguments: [
        ("p50<51ms", true), ("p50<50ms", false), ("p99<0.1s", true), ("p99.9<90ms", false), ("max<1s", true),
        ("errors<5%", true), ("errors<0.04", false), ("late<10%", true), ("goodput>8.9", true), ("goodput>9/s", false),
        ("good>85%", true), ("mean<50ms", false),
    ])
    func objectivesAreJudged(text: String, isMet: Bool) throws {
        #expect(try Objective(text).isMet(by: summary) == isMet)
        #expect(try Objective(text).verdict(on: summary).isMet == isMet)
    }

    @Test func theDistributionRises() {
        let points = summary.distribution ?? []
        #expect(points.first?[0] == 0)
        #expect(points.last?[0] == 1)
        #expect(zip(points, points.dropFirst()).allSatisfy { $0[0] < $1[0] && $0[1] <= $1[1] })
    }

    @Test func sumsOfTalliesKeepEverything() {
        var sum = Tally()
        var part = Tally()
        part.offered = 3
        part.record(.good, nanoseconds: 5_000_000)
        part.record(.malformed, nanoseconds: 5_000_000)
        part.record(.unsent, nanoseconds: 9_000_000)
        for _ in 0..<4 { sum.add(part) }
        #expect(sum.offered == 12)
        #expect(sum.ended == 12)
        #expect(sum.successes == 4)
        #expect(sum.latency.count == 8)
    }
}
