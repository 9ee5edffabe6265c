import Foundation
import Testing

@testable import LoadTesting

/// What people read, during a test and after it.
struct ReportTests {
    private static func plan() throws -> LoadPlan {
        var plan = LoadPlan(
            target: try LoadTarget("http://127.0.0.1:1/"),
            phases: [
                LoadPhase(name: "calm", from: Rate(perSecond: 100), duration: 10_000_000_000),
                LoadPhase(name: "spike", from: Rate(perSecond: 2000), duration: 10_000_000_000),
            ],
            classes: [TrafficClass(name: "gold", paths: ["/"]), TrafficClass(name: "rest", paths: ["/"])]
        )
        plan.warmup = 2
        return plan
    }

    /// A second in which each outcome happened that often, each after so many milliseconds.
    private static func second(_ number: Int, _ counts: [Outcome: Int], milliseconds: UInt64 = 5) -> LoadSecond {
        var tally = Tally()
        tally.offered = UInt64(counts.values.reduce(0, +))
        for (outcome, count) in counts {
            for _ in 0..<count { tally.record(outcome, nanoseconds: milliseconds * 1_000_000) }
        }
        let summary = LoadSummary(tally, duration: 1)
        return LoadSecond(
            number: number,
            total: summary,
            classes: ["gold", "rest"].map { .init(name: $0, summary: summary) }
        )
    }

    @Test func showsNothingBeforeTheFirstSecond() throws {
        #expect(LiveView(try Self.plan()).lines(width: 80).isEmpty)
    }

    @Test func showsPhaseClassesAndFailures() throws {
        var view = LiveView(try Self.plan())
        view.add(Self.second(0, [.good: 100]))
        #expect(view.lines(width: 100)[0].hasSuffix("1 of 20 s, phase 1 of 2 'calm', warming up"))
        #expect(view.lines(width: 100).last == "every request was answered in time so far")
        view.add(Self.second(1, [.good: 90, .late: 3, .serverError: 7]))
        for number in 2...10 { view.add(Self.second(number, [.good: 2000], milliseconds: 40)) }
        let lines = view.lines(width: 100)
        #expect(lines[0].hasSuffix("11 of 20 s, phase 2 of 2 'spike'"))
        #expect(lines[2].hasPrefix("gold "))
        #expect(lines[4].split(separator: " ").prefix(3) == ["total", "2,000", "2,000"])
        #expect(lines.contains { $0.hasPrefix("good/s ") && $0.hasSuffix("▁▁█████████  at most 2,000") })
        #expect(lines.last?.hasPrefix("not good so far: ") == true)
        #expect(lines.last?.contains("\(Outcome.late.label) 3") == true)
        #expect(lines.last?.contains("\(Outcome.serverError.label) 7") == true)
    }

    @Test(arguments: [20, 40, 80, 200]) func fitsTheTerminal(width: Int) throws {
        var view = LiveView(try Self.plan())
        for number in 0..<200 { view.add(Self.second(number, [.good: number, .reset: 200 - number])) }
        let lines = view.lines(width: width)
        #expect(lines.count == 9)
        #expect(lines.allSatisfy { $0.count <= width })
    }

    @Test func aLineTellsOfOneSecond() {
        let line = TextReport.line(Self.second(6, [.good: 1500, .late: 2, .timedOut: 1]))
        #expect(line.hasPrefix("7 s "))
        #expect(line.contains("good 1,500"))
        #expect(line.hasSuffix("late 2   failed 1"))
    }

    @Test func thePageHoldsPlotsAndEscapesNames() async throws {
        let backend = try BenchBackend()
        var plan = LoadPlan(
            target: try LoadTarget("http://127.0.0.1:\(backend.port)/?a=1&b=2"),
            phases: [LoadPhase(name: "<calm>", from: Rate(perSecond: 50), duration: 1_500_000_000)],
            classes: [TrafficClass(name: "gold & <b>", paths: ["/"]), TrafficClass(name: "rest", paths: ["/"])]
        )
        plan.objectives = try Objective.list("p99<5s,errors<50%")
        let page = HTMLReport.html(try await LoadTest(plan).run())
        #expect(page.components(separatedBy: "<svg ").count > 2)
        #expect(page.contains("gold &amp; &lt;b&gt;"))
        #expect(!page.contains("<calm>") && !page.contains("gold & <b>"))
        #expect(page.contains("objectives met"))
        #expect(page.contains("?a=1&amp;b=2") && !page.contains("src=") && !page.contains("href="))
    }
}
