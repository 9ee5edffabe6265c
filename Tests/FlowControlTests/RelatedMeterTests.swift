import Testing

@testable import FlowControl

struct RelatedMeterTests {
    private static let second: UInt64 = 1_000_000_000

    @Test(arguments: 0..<20) func passesOnlyWhileTheOtherRouteIsBelowItsRate(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let meter = RelatedMeter(RelatedLimit(route: "a/b", requests: 100, burst: 5))
        var (now, notes, passes, refusals) = (10 * Self.second, [UInt64](), 0, 0)
        var mean = 10_000_000.0
        withWords { word in
            for step in 0..<3000 {
                if step % 100 == 0 { mean = Double.random(in: 2_000_000...40_000_000, using: &random) }
                now += UInt64(random.exponential(mean: mean))
                meter.note(word, now: now)
                notes.append(now)
                let recent = notes.suffix(200).drop { now - $0 >= RelatedMeter.memory }
                let exceeded = recent.enumerated().contains { index, start in
                    Double(recent.count - index) > Double(now - start) / 1e7 + 6
                }
                if meter.admit(word, now: now) == .pass {
                    #expect(!exceeded)
                    passes += 1
                } else {
                    refusals += 1
                }
            }
        }
        #expect(passes > 100 && refusals > 100)
    }

    @Test func comesBackWithinASecondAfterAnyFlood() {
        let meter = RelatedMeter(RelatedLimit(route: "a/b", requests: 100, burst: 5))
        withWords { word in
            for number in 0..<UInt64(100_000) { meter.note(word, now: Self.second + number * 10_000) }
            let end = 2 * Self.second
            #expect(meter.admit(word, now: end).isRefusal)
            #expect(meter.admit(word, now: end + RelatedMeter.memory) == .pass)
        }
    }

    @Test func holdsForSlowRates() {
        let meter = RelatedMeter(RelatedLimit(route: "a/b", requests: 1, per: 10_000, burst: 0))
        withWords { word in
            meter.note(word, now: Self.second)
            #expect(meter.admit(word, now: Self.second) == .pass)
            meter.note(word, now: Self.second + 1)
            #expect(meter.admit(word, now: Self.second + 1).isRefusal)
        }
    }
}
