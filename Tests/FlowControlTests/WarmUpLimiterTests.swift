import Testing

@testable import FlowControl

struct WarmUpLimiterTests {
    private static let second: UInt64 = 1_000_000_000
    private static let limit = RateLimit(requests: 900, burst: 3, warmUp: WarmUp(time: 10_000, coldFactor: 3))
    private static let limiter = WarmUpLimiter(limit, WarmUp(time: 10_000, coldFactor: 3))

    /// Sends requests at a steady rate and counts the passes of each second.
    private static func passes(_ words: SharedWord, rate: UInt64, from start: UInt64, seconds: UInt64) -> [Int] {
        (0..<seconds).map { number in
            (0..<rate).count { request in
                let now = start + number * second + request * second / rate
                return limiter.admit(words, now: now) == .pass
            }
        }
    }

    @Test func startsColdAndReachesTheFullRate() {
        withWords(WarmUpLimiter.words) { words in
            let passes = Self.passes(words, rate: 20_000, from: 100 * Self.second, seconds: 14)
            #expect((300...340).contains(passes[0]))
            #expect((590...635).contains(passes[5]))
            #expect((890...905).contains(passes[12]))
            for (number, count) in passes.enumerated() {
                let highest = 900.0 * min(1, 1 / 3 + 2 / 3 * Double(number + 1) / 10)
                #expect(Double(count) <= highest + 4)
            }
            #expect(zip(passes, passes.dropFirst()).allSatisfy { $1 >= $0 - 4 })
        }
    }

    @Test func coolsWhileNothingComes() {
        withWords(WarmUpLimiter.words) { words in
            _ = Self.passes(words, rate: 2000, from: 100 * Self.second, seconds: 14)
            #expect(Self.limiter.share(words, now: 114 * Self.second) > 0.99)
            #expect(abs(Self.limiter.share(words, now: 119 * Self.second) - 2 / 3) < 0.01)
            let passes = Self.passes(words, rate: 2000, from: 134 * Self.second, seconds: 1)
            #expect((300...345).contains(passes[0]))
        }
    }

    /// A limit below its cold factor must not stay closed for good, nor a warm one cool down under full use.
    @Test func staysWarmInUse() {
        let limit = RateLimit(requests: 2, burst: 0)
        let limiter = WarmUpLimiter(limit, WarmUp(time: 5000, coldFactor: 3))
        withWords(WarmUpLimiter.words) { words in
            var passes = 0
            for tick in 0..<UInt64(6000) where limiter.admit(words, now: 50 * Self.second + tick * 10_000_000) == .pass
            {
                passes += 1
            }
            #expect((100...121).contains(passes))
            #expect(limiter.share(words, now: 110 * Self.second) > 0.9)
        }
    }

    @Test(arguments: 0..<20) func neverPassesMoreThanTheHighestRateAllows(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var now = 100 * Self.second
        var rested = now
        var since: [UInt64] = []
        withWords(WarmUpLimiter.words) { words in
            for _ in 0..<20_000 {
                if Double.random(in: 0..<1, using: &random) < 0.0003 {
                    now += 10 * Self.second + 1
                    rested = now
                    since = []
                }
                now += UInt64(random.exponential(mean: 400_000))
                if Self.limiter.admit(words, now: now) == .pass { since.append(now) }
                let highest = 900.0 * min(1, 1 / 3 + 2 / 3 * Double(now - rested) / Double(10 * Self.second))
                let allowed = highest * Double(now - (since.first ?? now)) / Double(Self.second) + 4
                #expect(Double(since.count) <= allowed + 0.001)
            }
        }
    }
}
