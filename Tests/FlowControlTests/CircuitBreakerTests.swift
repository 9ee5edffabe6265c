import Synchronization
import Testing

@testable import FlowControl

struct CircuitBreakerTests {
    private static let millisecond: UInt64 = 1_000_000

    /// A breaker with what the test knows of its requests.
    private final class Bench {
        let state: CircuitBreakerState
        var random = SeededGenerator(seed: 1)
        var now: UInt64 = 1_000_000_000

        init(_ breaker: CircuitBreaker, _ words: SharedWord) { state = CircuitBreakerState(breaker, words: words) }

        /// The ticket of a request that passed.
        func admit() -> CircuitBreakerState.Ticket? {
            var ticket = CircuitBreakerState.Ticket()
            return state.admit(now: now, random: random.next(), ticket: &ticket) == .pass ? ticket : nil
        }

        /// A request that takes `milliseconds`; says whether it passed.
        @discardableResult
        func request(_ outcome: CircuitBreakerState.Outcome, milliseconds: UInt64 = 1) -> Bool {
            guard let ticket = admit() else { return false }
            let start = now
            now += milliseconds * CircuitBreakerTests.millisecond
            state.finish(ticket, outcome, startedAt: start, now: now)
            return true
        }

        func advance(milliseconds: UInt64) { now += milliseconds * CircuitBreakerTests.millisecond }
    }

    private func withBench(_ breaker: CircuitBreaker, _ body: (Bench) throws -> Void) rethrows {
        try withWords(CircuitBreakerState.words) { words in
            let bench = Bench(breaker, words)
            try body(bench)
        }
    }

    // MARK: - Opening

    @Test func opensByErrorRatioOnceThereAreEnoughAnswers() {
        withBench(CircuitBreaker(minimumRequests: 10, errorRatio: 0.5)) { bench in
            for _ in 0..<9 { #expect(bench.request(.error)) }
            #expect(bench.state.phase() == .closed)
            #expect(bench.request(.error))
            #expect(bench.state.phase() == .open)
            #expect(!bench.request(.good))
        }
    }

    @Test func opensByErrorCount() {
        withBench(CircuitBreaker(minimumRequests: 1, errorRatio: nil, errorCount: 3)) { bench in
            for number in 0..<400 { bench.request(number % 100 == 50 ? .error : .good) }
            #expect(bench.state.phase() == .open)
        }
    }

    @Test func opensBySlowRatio() {
        withBench(
            CircuitBreaker(minimumRequests: 4, slowRatio: 0.5, slowThreshold: 100, errorRatio: nil)
        ) { bench in
            for _ in 0..<3 { bench.request(.error, milliseconds: 50) }
            #expect(bench.state.phase() == .closed)
            for _ in 0..<4 { bench.request(.good, milliseconds: 150) }
            #expect(bench.state.phase() == .open)
        }
    }

    @Test func aRatioOfOneMeansAll() {
        withBench(CircuitBreaker(minimumRequests: 3, errorRatio: 1)) { bench in
            bench.request(.good)
            for _ in 0..<20 { bench.request(.error) }
            #expect(bench.state.phase() == .closed)
        }
        withBench(CircuitBreaker(minimumRequests: 3, errorRatio: 1)) { bench in
            for _ in 0..<3 { bench.request(.error) }
            #expect(bench.state.phase() == .open)
        }
    }

    /// Nothing is ever answered: requests that are only under way must open it.
    @Test func countsHangingRequestsAsSlow() throws {
        try withBench(
            CircuitBreaker(minimumRequests: 5, slowRatio: 0.5, slowThreshold: 400, errorRatio: nil)
        ) { bench in
            var hanging: [(CircuitBreakerState.Ticket, UInt64)] = []
            let start = bench.now
            while let ticket = bench.admit() {
                hanging.append((ticket, bench.now))
                bench.advance(milliseconds: 10)
                try #require(hanging.count < 1000)
            }
            let openedAfter = (bench.now - start) / Self.millisecond
            #expect(openedAfter > 400)
            // The fifth request came after 40 ms and is overdue, at most an eighth late, when the next one asks.
            #expect(openedAfter <= 40 + 400 + 50 + 50 + 10)
            for (ticket, time) in hanging { bench.state.finish(ticket, .good, startedAt: time, now: bench.now) }
            #expect(bench.state.phase() == .open)
        }
    }

    @Test func countsEachSlowRequestOnce() {
        withBench(
            CircuitBreaker(window: 60_000, minimumRequests: 10, slowRatio: 0.5, slowThreshold: 100, errorRatio: nil)
        ) { bench in
            for _ in 0..<12 { bench.request(.good) }
            // Eleven of 23 are slow; told twice they would be 22 of 34.
            let tickets = (0..<11).map { _ in bench.admit()! }
            let start = bench.now
            bench.advance(milliseconds: 200)
            bench.request(.good)
            for ticket in tickets { bench.state.finish(ticket, .good, startedAt: start, now: bench.now) }
            bench.request(.good)
            #expect(bench.state.phase() == .closed)
        }
    }

    // MARK: - Probes

    private static let quick = CircuitBreaker(
        window: 1000,
        minimumRequests: 5,
        errorRatio: 0.5,
        openTime: 500,
        probes: 3,
        probeDeadline: 200
    )

    private func open(_ bench: Bench) {
        while bench.state.phase() != .open { bench.request(.error) }
    }

    @Test func closesAfterGoodProbes() {
        withBench(Self.quick) { bench in
            open(bench)
            bench.advance(milliseconds: 490)
            #expect(!bench.request(.good))
            bench.advance(milliseconds: 20)
            for _ in 0..<3 {
                #expect(bench.state.phase() != .closed)
                #expect(bench.request(.good))
            }
            #expect(bench.state.phase() == .closed)
            // What made it open is forgotten.
            bench.request(.error)
            #expect(bench.state.phase() == .closed)
        }
    }

    @Test func givesOutNoMoreProbesThanItMay() {
        withBench(Self.quick) { bench in
            open(bench)
            bench.advance(milliseconds: 510)
            let probes = (0..<10).compactMap { _ in bench.admit() }
            #expect(probes.count == 3)
            bench.state.finish(probes[0], .good, startedAt: bench.now, now: bench.now)
            #expect(bench.admit() == nil)  // one good and two under way are three
            bench.state.finish(probes[1], .none, startedAt: bench.now, now: bench.now)
            #expect(bench.admit() != nil)
        }
    }

    @Test func opensAgainAfterABadProbe() {
        withBench(Self.quick) { bench in
            open(bench)
            bench.advance(milliseconds: 510)
            bench.request(.good)
            bench.request(.error)
            #expect(bench.state.phase() == .open)
            bench.advance(milliseconds: 480)
            #expect(bench.admit() == nil)
        }
    }

    @Test func neverSticksOnStalledProbes() {
        withBench(Self.quick) { bench in
            open(bench)
            for _ in 0..<20 {
                bench.advance(milliseconds: 510)
                let stalled = (0..<5).compactMap { _ in bench.admit() }
                #expect(stalled.count == 3)
                bench.advance(milliseconds: 210)
                #expect(bench.admit() == nil)
                // Their late answers decide nothing.
                for ticket in stalled { bench.state.finish(ticket, .good, startedAt: bench.now, now: bench.now) }
                #expect(bench.state.phase() == .open)
            }
        }
    }

    @Test func answersFromBeforeItOpenedDecideNothing() {
        withBench(Self.quick) { bench in
            let old = (0..<20).map { _ in bench.admit()! }
            let start = bench.now
            open(bench)
            bench.advance(milliseconds: 510)
            _ = bench.admit()
            for ticket in old { bench.state.finish(ticket, .good, startedAt: start, now: bench.now) }
            #expect(bench.state.phase() == .halfOpen)
        }
    }

    @Test func rampsUpAfterClosing() {
        var breaker = Self.quick
        breaker.rampTime = 1000
        withBench(breaker) { bench in
            open(bench)
            bench.advance(milliseconds: 510)
            for _ in 0..<3 { bench.request(.good, milliseconds: 0) }
            #expect(bench.state.phase() == .ramping)
            for (after, low, high) in [(0, 0.05, 0.16), (490, 0.48, 0.62), (490, 0.93, 1.0)] {
                bench.advance(milliseconds: UInt64(after))
                let passed = (0..<2000).count { _ in bench.request(.good, milliseconds: 0) }
                #expect((low...high).contains(Double(passed) / 2000))
            }
            bench.advance(milliseconds: 20)
            #expect(bench.request(.good))
            #expect(bench.state.phase() == .closed)
        }
    }

    // MARK: - Over random schedules

    /// The bounds that the type states, while a backend turns bad and good, answers out of order, late or never.
    @Test(arguments: 0..<40) func keepsItsBoundsOverRandomSchedules(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var breaker = Self.quick
        breaker.slowRatio = 0.5
        breaker.slowThreshold = 100
        withBench(breaker) { bench in
            bench.random = SeededGenerator(seed: seed &+ 1000)
            var flying: [(ticket: CircuitBreakerState.Ticket, start: UInt64, end: UInt64, isGood: Bool)] = []
            var (isHealthy, changesAt) = (true, bench.now)
            var openedAt: UInt64?
            var last = bench.state.phase()
            var probes = 0
            var turns = 0
            for _ in 0..<20_000 {
                bench.now += UInt64(random.exponential(mean: 2e6))
                if bench.now >= changesAt {
                    isHealthy.toggle()
                    turns += 1
                    changesAt = bench.now + UInt64.random(in: 500...4000, using: &random) * Self.millisecond
                }
                flying.removeAll { each in
                    guard each.end <= bench.now else { return false }
                    let outcome: CircuitBreakerState.Outcome = each.isGood ? .good : .error
                    bench.state.finish(each.ticket, outcome, startedAt: each.start, now: bench.now)
                    return true
                }
                // A probe's bad answer may have opened it again just now.
                let before = bench.state.phase()
                if before == .open, last != .open { (openedAt, probes) = (bench.now, 0) }
                let ticket = bench.admit()
                last = bench.state.phase()
                if last == .open, before != .open { (openedAt, probes) = (bench.now, 0) }
                if last == .closed { openedAt = nil }
                if let openedAt, ticket != nil {
                    #expect(bench.now - openedAt >= 499 * Self.millisecond)
                    probes += 1
                    #expect(probes <= 3)
                }
                guard let ticket else { continue }
                let time =
                    isHealthy
                    ? UInt64.random(in: 1...50, using: &random) : [5, 150, 4000].randomElement(using: &random)!
                flying.append(
                    (ticket, bench.now, bench.now + time * Self.millisecond, isHealthy || Bool.random(using: &random))
                )
            }
            #expect(turns > 5)
            // Once the backend stays well, it is closed soon: an open time, a probe's deadline, another open time.
            for each in flying { bench.state.finish(each.ticket, .none, startedAt: each.start, now: bench.now) }
            let healedAt = bench.now
            while bench.now < healedAt + 1500 * Self.millisecond {
                bench.request(.good)
                bench.advance(milliseconds: 1)
            }
            #expect(bench.state.phase() == .closed)
        }
    }

    @Test func givesOutNoMoreProbesThanItMayWithThreads() {
        withWords(CircuitBreakerState.words) { words in
            let shared = Shared(words: words)
            let bench = Bench(Self.quick, words)
            open(bench)
            bench.advance(milliseconds: 510)
            let now = bench.now
            let counter = Counter()
            onThreads(4) { _ in
                let state = CircuitBreakerState(Self.quick, words: shared.words)
                for _ in 0..<10_000 {
                    var ticket = CircuitBreakerState.Ticket()
                    if state.admit(now: now, random: 0, ticket: &ticket) == .pass { counter.add() }
                }
            }
            #expect(counter.value == 3)
        }
    }

    private final class Counter: Sendable {
        private let count = Atomic<Int>(0)
        var value: Int { count.load(ordering: .relaxed) }
        func add() { count.wrappingAdd(1, ordering: .relaxed) }
    }
}

struct SlidingWindowTests {
    /// Against a list of everything that was counted.
    @Test(arguments: 0..<20) func countsTheLastTenths(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var (now, all): (UInt64, [(UInt64, SlidingWindow.Count)]) = (5_000_000_000, [])
        withWords(SlidingWindow.words) { words in
            let window = SlidingWindow(words, milliseconds: 1000)
            for _ in 0..<3000 {
                now += UInt64(random.exponential(mean: [1e6, 3e8].randomElement(using: &random)!))
                let kind = [SlidingWindow.Count.answers, .slow, .errors].randomElement(using: &random)!
                window.add(kind, now: now)
                all.append((now, kind))
                let recent = all.suffix(2000).filter { now / 100_000_000 - $0.0 / 100_000_000 < 10 }
                var expected = SlidingWindow.Sum()
                expected.answers = UInt64(recent.count { $0.1 == .answers })
                expected.slow = UInt64(recent.count { $0.1 == .slow })
                expected.errors = UInt64(recent.count { $0.1 == .errors })
                #expect(window.sum(now: now) == expected)
            }
            window.clear()
            #expect(window.sum(now: now) == SlidingWindow.Sum())
        }
    }
}
