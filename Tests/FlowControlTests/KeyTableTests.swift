import Synchronization
import Testing

@testable import FlowControl

struct KeyTableTests {
    private static let second: UInt64 = 1_000_000_000

    /// Hashes as a good hash makes them.
    private static func hash(_ key: Int) -> UInt64 {
        var random = SeededGenerator(seed: UInt64(key + 1) << 20)
        return random.next()
    }

    @Test func makesRoomForAtLeastTheKeysAskedFor() {
        #expect(KeyTable.words(keys: 1) == 16)
        #expect(KeyTable.words(keys: 7) == 16)
        #expect(KeyTable.words(keys: 8) == 32)
        #expect(KeyTable.words(keys: 16_384) == 4096 * 16)
    }

    /// Far more keys than slots: whoever shares the overflow word or moves out of it keeps to the limit of one key all the same.
    @Test(arguments: 0..<30, [5, 12, 60]) func holdsTheBoundOfEachKey(_ seed: UInt64, _ keys: Int) {
        var random = SeededGenerator(seed: seed)
        let limit = RateLimit(requests: 1000, burst: 2, maximumKeys: 7)
        var now = Self.second
        var passes = Array(repeating: [UInt64](), count: keys)
        withWords(KeyedRateLimiter.words(limit)) { words in
            let limiter = KeyedRateLimiter(limit, words: words)
            for _ in 0..<8000 {
                now += UInt64(random.exponential(mean: 1_000_000 / Double(keys)))
                if Double.random(in: 0..<1, using: &random) < 0.002 { now += 5_000_000 }
                let key = Int(pow2: random.next(), below: keys)
                if limiter.admit(Self.hash(key), now: now).verdict == .pass { passes[key].append(now) }
            }
        }
        for times in passes { #expect(excess(of: times, interval: 1_000_000, burst: 2) <= 0) }
        #expect(passes.map(\.count).max()! > 50)
    }

    @Test(arguments: 0..<10) func givesFewKeysALimitOfTheirOwn(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let limit = RateLimit(requests: 1000, burst: 2, maximumKeys: 7)
        let own = RateLimiter(limit)
        var now = Self.second
        withWords(KeyedRateLimiter.words(limit)) { words in
            withWords(7) { singles in
                let limiter = KeyedRateLimiter(limit, words: words)
                for _ in 0..<5000 {
                    now += UInt64(random.exponential(mean: 100_000))
                    let key = Int.random(in: 0..<7, using: &random)
                    let expected = own.admit(singles + key, now: now)
                    #expect(limiter.admit(Self.hash(key), now: now).verdict == expected)
                }
            }
        }
    }

    @Test func givesBackUnlessOthersCameSince() {
        let limit = RateLimit(requests: 1000, burst: 0, maximumKeys: 7)
        withWords(KeyedRateLimiter.words(limit)) { words in
            let limiter = KeyedRateLimiter(limit, words: words)
            let ticket = limiter.admit(Self.hash(1), now: Self.second)
            #expect(ticket.verdict == .pass)
            #expect(limiter.admit(Self.hash(1), now: Self.second).verdict.isRefusal)
            limiter.giveBack(ticket)
            #expect(limiter.admit(Self.hash(1), now: Self.second).verdict == .pass)
            limiter.giveBack(ticket)  // the value is the same again, so this counts; a third one finds another
            limiter.giveBack(ticket)
            #expect(limiter.admit(Self.hash(1), now: Self.second).verdict == .pass)
            #expect(limiter.admit(Self.hash(1), now: Self.second).verdict.isRefusal)
        }
    }

    /// Keys come and go on four threads in a table of one set; slots change hands all the time.
    @Test func holdsTheBoundOfEachKeyWithThreads() {
        let limit = RateLimit(requests: 20_000, burst: 1, maximumKeys: 7)
        let keys = 12
        let all = Mutex(Array(repeating: [UInt64](), count: keys))
        withWords(KeyedRateLimiter.words(limit)) { words in
            let shared = Shared(words: words)
            onThreads(4) { number in
                let limiter = KeyedRateLimiter(limit, words: shared.words)
                var random = SeededGenerator(seed: UInt64(number + 1))
                var passes = Array(repeating: [UInt64](), count: keys)
                for _ in 0..<150_000 {
                    let key = Int(pow2: random.next(), below: keys)
                    let now = monotonic()
                    if limiter.admit(Self.hash(key), now: now).verdict == .pass { passes[key].append(now) }
                }
                let mine = passes
                all.withLock { all in for key in 0..<keys { all[key] += mine[key] } }
            }
        }
        let passes = all.withLock { $0 }
        #expect(passes.map(\.count).max()! > 50)
        for times in passes {
            // Threads that are stopped between reading the clock and asking come with an old time.
            let allowed = Double(times.max()! - times.min()!) / 50_000 + 2
            #expect(Double(times.count) <= allowed * 1.02)
        }
    }

    @Test(arguments: 0..<20, [4, 15, 60]) func countsWhatIsInFlightForEachKey(_ seed: UInt64, _ keys: Int) {
        var random = SeededGenerator(seed: seed)
        let limit = ConcurrencyLimit(maximum: 3, key: .host, maximumKeys: 7)
        let words = KeyedConcurrencyLimiter.words(limit)
        var tickets: [(key: Int, ticket: UInt32)] = []
        var (counts, refusals) = (Array(repeating: 0, count: keys), 0)
        withWords(words) { memory in
            let limiter = KeyedConcurrencyLimiter(limit, words: memory)
            for _ in 0..<8000 {
                if Bool.random(using: &random), !tickets.isEmpty {
                    let over = tickets.remove(at: Int.random(in: 0..<tickets.count, using: &random))
                    limiter.release(over.ticket)
                    counts[over.key] -= 1
                } else {
                    let key = Int(pow2: random.next(), below: keys)
                    if let ticket = limiter.admit(Self.hash(key)) {
                        tickets.append((key, ticket))
                        counts[key] += 1
                    } else {
                        refusals += 1
                        // Alone in its slot, a key is refused only when it is full.
                        #expect(keys > 7 || counts[key] == 3)
                    }
                }
                #expect(counts.allSatisfy { $0 <= 3 })
            }
            for each in tickets { limiter.release(each.ticket) }
            #expect(
                (0..<words).filter { $0 % 16 > 7 }.allSatisfy { memory[$0].load(ordering: .relaxed) & 0xFFFF_FFFF == 0 }
            )
        }
        #expect(refusals > 0)
    }

    @Test func countsWhatIsInFlightWithThreads() {
        let limit = ConcurrencyLimit(maximum: 2, key: .host, maximumKeys: 7)
        let (keys, words) = (12, KeyedConcurrencyLimiter.words(limit))
        withWords(words + keys + 1) { memory in
            let shared = Shared(words: memory)
            onThreads(4) { number in
                let limiter = KeyedConcurrencyLimiter(limit, words: shared.words)
                let counts = shared.words + words
                var random = SeededGenerator(seed: UInt64(number + 1))
                var held: [(Int, UInt32)] = []
                for _ in 0..<150_000 {
                    let key = Int(pow2: random.next(), below: keys)
                    if held.count < 3, let ticket = limiter.admit(Self.hash(key)) {
                        let count = counts[key].wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
                        if count > 2 { counts[keys].wrappingAdd(1, ordering: .relaxed) }
                        held.append((key, ticket))
                    } else if let (key, ticket) = held.popLast() {
                        counts[key].wrappingSubtract(1, ordering: .sequentiallyConsistent)
                        limiter.release(ticket)
                    }
                }
                for (key, ticket) in held {
                    counts[key].wrappingSubtract(1, ordering: .sequentiallyConsistent)
                    limiter.release(ticket)
                }
            }
            #expect(memory[words + keys].load(ordering: .relaxed) == 0)
            #expect(
                (0..<words).filter { $0 % 16 > 7 }.allSatisfy { memory[$0].load(ordering: .relaxed) & 0xFFFF_FFFF == 0 }
            )
        }
    }
}

extension Int {
    /// A number below `limit`, small ones more often.
    init(pow2 word: UInt64, below limit: Int) {
        self = Swift.min(word.trailingZeroBitCount * limit / 8 + Int(word >> 40) % Swift.max(1, limit / 3), limit - 1)
    }
}
