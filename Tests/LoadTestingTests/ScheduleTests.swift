import Testing

@testable import LoadTesting

struct ScheduleTests {
    private static let second = 1_000_000_000

    private static func rate(_ perSecond: Double) -> Rate { Rate(perSecond: perSecond) }

    /// The moments of all arrivals, as several threads would see them together.
    private func moments(_ phases: [LoadPhase], threads: Int = 1, seed: UInt64 = 0) -> [UInt64] {
        let schedule = ArrivalSchedule(phases)
        let segments = UnsafeMutablePointer<ArrivalSchedule.Segment>.allocate(capacity: max(1, schedule.segments.count))
        defer { segments.deallocate() }
        segments.initialize(from: schedule.segments, count: schedule.segments.count)
        var moments: [UInt64] = []
        for thread in 0..<threads {
            var cursor = ArrivalCursor(
                segments,
                count: schedule.segments.count,
                offset: thread,
                stride: threads,
                seed: seed == 0 ? 0 : seed + UInt64(thread)
            )
            while let moment = cursor.next() { moments.append(moment) }
        }
        return moments.sorted()
    }

    @Test func constantRateIsExactInEveryArrival() {
        let moments = moments([LoadPhase(from: Self.rate(1000), duration: 30 * Self.second)])
        #expect(moments == (0..<30_000).map { UInt64($0) * 1_000_000 })
    }

    @Test func ratesThatDoNotDivideASecondDoNotDrift() {
        let moments = moments([LoadPhase(from: Self.rate(333.333), duration: 3600 * Self.second)])
        // 333.333 * 3600 = 1,199,998.8, and the first one is at zero.
        #expect(moments.count == 1_199_999)
        for number in stride(from: 0, to: moments.count, by: 10_007) {
            #expect(abs(Double(moments[number]) - Double(number) / 333.333 * 1e9) <= 2)
        }
    }

    @Test(arguments: [(0.5, 3.0, 2), (10, 0.05, 1), (1, 1, 1), (1000, 0.0005, 1), (0, 10, 0)])
    func shortAndSlowPhasesOfferWhatIsDue(rate: Double, seconds: Double, expected: Int) {
        let phase = LoadPhase(from: Self.rate(rate), duration: Int(seconds * 1e9))
        #expect(moments([phase]).count == expected)
        #expect(ArrivalSchedule([phase]).total == expected)
    }

    @Test func aRampOffersTheAreaBelowIt() {
        let moments = moments([LoadPhase(from: Self.rate(100), to: Self.rate(300), duration: 10 * Self.second)])
        #expect(moments.count == 2000)
        // In the first five seconds: 100 * 5 + 20 * 25 / 2.
        #expect(moments.count { $0 < 5 * UInt64(Self.second) } == 750)
        #expect(moments == moments.sorted())
    }

    @Test func aRampToZeroEnds() {
        let moments = moments([LoadPhase(from: Self.rate(100), to: Self.rate(0), duration: 10 * Self.second)])
        #expect(moments.count == 500)
        #expect(moments.last! < 10 * UInt64(Self.second))
    }

    @Test func phasesFollowEachOtherWithoutAGap() {
        let phases = [
            LoadPhase(from: Self.rate(100), duration: Self.second),
            LoadPhase(from: Self.rate(0), duration: Self.second),
            LoadPhase(from: Self.rate(100), to: Self.rate(1000), duration: 2 * Self.second),
            LoadPhase(from: Self.rate(1000), duration: Self.second),
        ]
        let moments = moments(phases)
        #expect(moments.count == 100 + 0 + 1100 + 1000)
        let second = UInt64(Self.second)
        #expect(moments.count { $0 < second } == 100)
        #expect(moments.count { $0 >= second && $0 < 2 * second } == 0)
        #expect(moments.count { $0 >= 4 * second } == 1000)
    }

    @Test(arguments: [1, 2, 3, 7]) func threadsShareOneSchedule(threads: Int) {
        let phases = [
            LoadPhase(from: Self.rate(50), to: Self.rate(500), duration: 3 * Self.second),
            LoadPhase(from: Self.rate(77.7), duration: 2 * Self.second),
        ]
        #expect(moments(phases, threads: threads) == moments(phases))
    }

    @Test func randomDistancesKeepTheMean() {
        let moments = moments([LoadPhase(from: Self.rate(1000), duration: 100 * Self.second)], threads: 2, seed: 42)
        // six standard deviations
        #expect(abs(moments.count - 100_000) < 2000)
        let gaps = zip(moments, moments.dropFirst()).map { Double($1 - $0) }
        let long = gaps.count { $0 > 1e6 }
        // e^-1 of exponential distances exceed the mean
        #expect(abs(Double(long) / Double(gaps.count) - 0.3679) < 0.02)
    }

    @Test func sharesOfTheRateAddUp() throws {
        var plan = LoadPlan(
            target: try LoadTarget("http://127.0.0.1:1"),
            phases: [LoadPhase(from: Self.rate(1000), to: Self.rate(1003), duration: 7 * Self.second)],
            classes: []
        )
        for (name, share) in [("a", 1), ("b", 3), ("c", 6)] {
            var description = TrafficClass(name: name, paths: ["/"])
            description.share = share
            plan.classes.append(description)
        }
        var own = TrafficClass(name: "d", paths: ["/"])
        own.rate = Self.rate(5)
        plan.classes.append(own)
        let totals = TrafficSplit.schedules(of: plan).map(\.total)
        #expect(totals[3] == 35)
        #expect(abs(totals[0] + totals[1] + totals[2] - 7011) <= 2)
        #expect(abs(totals[2] - 4206) <= 1)
    }
}
