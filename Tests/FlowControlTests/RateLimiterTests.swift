import Synchronization
import Testing

@testable import FlowControl

struct RateLimiterTests {
    private static let second: UInt64 = 1_000_000_000

    /// The same limit told in another way: a bucket of `burst + 1` tokens, counted in nanoseconds.
    private struct TokenBucket {
        let interval: UInt64
        let capacity: UInt64
        var level: UInt64
        var filledAt: UInt64 = 0

        init(interval: UInt64, burst: Int) {
            self.interval = interval
            capacity = interval * UInt64(burst + 1)
            level = capacity
        }

        mutating func take(now: UInt64) -> Bool {
            level = min(capacity, level + (now - filledAt))
            filledAt = now
            guard level >= interval else { return false }
            level -= interval
            return true
        }
    }

    @Test(arguments: 0..<40) func agreesWithATokenBucketOverRandomSchedules(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let limit = RateLimit(
            requests: Int.random(in: 1...20_000, using: &random),
            per: [1000, 60_000].randomElement(using: &random)!,
            burst: [0, 1, 7, 500].randomElement(using: &random)!
        )
        let limiter = RateLimiter(limit)
        var bucket = TokenBucket(interval: limiter.interval, burst: limit.burst)
        var (now, passes) = (Self.second, [UInt64]())
        let load = Double.random(in: 0.2...20, using: &random)
        withWords { word in
            for _ in 0..<5000 {
                if Double.random(in: 0..<1, using: &random) < 0.01 { now += limiter.interval * 20 }
                now += UInt64(random.exponential(mean: Double(limiter.interval) / load))
                let verdict = limiter.admit(word, now: now)
                #expect((verdict == .pass) == bucket.take(now: now))
                if verdict == .pass { passes.append(now) }
                if case .refuse(let delay) = verdict { #expect(delay > 0 && delay <= limiter.interval) }
            }
        }
        #expect(excess(of: passes, interval: limiter.interval, burst: limit.burst) <= 0)
    }

    /// Twenty times the rate, in bursts that meet the half seconds, which windows of half a second let pass twice.
    @Test(arguments: [100, 1000, 5000], [0, 1]) func keepsToTheRateInLockedBursts(_ rate: Int, _ tenths: Int) {
        let limit = RateLimit(requests: rate, burst: rate / 10 * tenths + 1)
        let limiter = RateLimiter(limit)
        let seconds = 30
        var passes: [UInt64] = []
        var due = Self.second
        withWords { word in
            for half in 0..<UInt64(seconds * 2) {
                // Ten times the rate for all of each half second, another ten times for its first tenth.
                for number in 0..<UInt64(rate * 5) {
                    due = Self.second + half * Self.second / 2 + number * Self.second / UInt64(rate * 10)
                    if limiter.admit(word, now: due) == .pass { passes.append(due) }
                }
            }
        }
        #expect(excess(of: passes, interval: limiter.interval, burst: limit.burst) <= 0)
        let ideal = Double(rate * seconds + limit.burst + 1)
        #expect(abs(Double(passes.count) - ideal) / ideal <= 0.01)
    }

    @Test func holdsItsBoundWithThreadsWhoseClocksAreOld() {
        let limit = RateLimit(requests: 50_000, burst: 20)
        let limiter = RateLimiter(limit)
        let all = Mutex<[UInt64]>([])
        withWords { word in
            let shared = Shared(words: word)
            onThreads(4) { _ in
                var passes: [UInt64] = []
                for _ in 0..<100_000 {
                    let now = monotonic()
                    if limiter.admit(shared.words, now: now) == .pass { passes.append(now) }
                }
                let mine = passes
                all.withLock { $0 += mine }
            }
        }
        let passes = all.withLock { $0 }
        #expect(passes.count > 20)
        #expect(excess(of: passes, interval: limiter.interval, burst: limit.burst) <= 0)
    }

    @Test(arguments: 0..<20) func spacesWaitingRequestsEvenly(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let limit = RateLimit(requests: 200, burst: 0, maximumWait: 500)
        let limiter = RateLimiter(limit)
        var (now, turns, refusals) = (Self.second, [UInt64](), 0)
        withWords { word in
            for _ in 0..<3000 {
                now += UInt64(random.exponential(mean: Double(limiter.interval) / 3))
                switch limiter.admit(word, now: now) {
                case .pass: turns.append(now)
                case .wait(let delay):
                    #expect(delay <= 500_000_000)
                    turns.append(now + delay)
                case .refuse: refusals += 1
                }
                let waiting = turns.suffix(200).count { $0 > now }
                #expect(waiting <= 101)
            }
        }
        #expect(zip(turns, turns.dropFirst()).allSatisfy { $1 - $0 >= limiter.interval })
        #expect(refusals > 0)
        // Three times the rate came, so from the first to the last turn none was left out.
        #expect((turns.last! - turns[0]) / limiter.interval <= UInt64(turns.count) + 20)
    }

    @Test(arguments: 0..<20) func givesBackWhatWasNotUsed(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let limit = RateLimit(requests: 1000, burst: 10)
        let limiter = RateLimiter(limit)
        var (now, passes, given) = (Self.second, [UInt64](), 0)
        withWords { word in
            for _ in 0..<5000 {
                now += UInt64(random.exponential(mean: 200_000))
                guard limiter.admit(word, now: now) == .pass else { continue }
                if Bool.random(using: &random) {
                    limiter.giveBack(word, admitted: now, now: now + 1000)
                    given += 1
                } else {
                    passes.append(now)
                }
            }
        }
        #expect(given > 500)
        #expect(excess(of: passes, interval: limiter.interval, burst: limit.burst) <= 0)
        let ideal = Double(now - Self.second) / Double(limiter.interval)
        #expect(Double(passes.count) >= ideal * 0.98)
    }

    /// One thread stands still between an admission and giving it back, while others begin anew from an idle state.
    @Test func givesNothingBackThatOthersCount() {
        let limiter = RateLimiter(RateLimit(requests: 1000, burst: 0))
        let start = Self.second
        withWords { word in
            #expect(limiter.admit(word, now: start) == .pass)
            let later = start + 10 * limiter.interval
            #expect(limiter.admit(word, now: later) == .pass)
            limiter.giveBack(word, admitted: start, now: later + 1)
            #expect(limiter.admit(word, now: later + 2).isRefusal)
            limiter.giveBack(word, admitted: later, now: later + 3)
            #expect(limiter.admit(word, now: later + 4) == .pass)
        }
    }

    @Test(arguments: 0..<20) func givesNoTurnTwice(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let limiter = RateLimiter(RateLimit(requests: 1000, burst: 2, maximumWait: 50))
        var (now, turns) = (Self.second, [UInt64]())
        withWords { word in
            for _ in 0..<5000 {
                now += UInt64(random.exponential(mean: 600_000))
                switch limiter.admit(word, now: now) {
                case .pass: turns.append(now)
                case .wait(let delay): turns.append(now + delay)
                case .refuse: continue
                }
                // One of the last requests turns out to be refused.
                if Int.random(in: 0..<4, using: &random) == 0 {
                    turns.remove(at: turns.count - 1 - Int.random(in: 0..<min(turns.count, 5), using: &random))
                    limiter.giveBack(word, admitted: now, now: now + 1000)
                }
            }
        }
        #expect(excess(of: turns, interval: limiter.interval, burst: 2) <= 0)
    }

    @Test func neverExceedsARateThatDoesNotDivideASecond() {
        let limiter = RateLimiter(RateLimit(requests: 700_000, burst: 0))
        #expect(limiter.interval == 1429)
        #expect(RateLimiter(RateLimit(requests: 5, per: 60_000, burst: 0)).interval == 12 * Self.second)
    }
}
