import Synchronization
import Testing

@testable import FlowControl

struct PriorityCutTests {
    private static func sample(
        _ arrivals: [Double],
        completions: Double,
        refusals: Double,
        inFlight: Double = 20,
        cap: Double = 20
    ) -> PriorityCut.Sample {
        var classes = InlineArray<4, Double>(repeating: 0)
        for (index, count) in arrivals.enumerated() { classes[index] = count }
        return PriorityCut.Sample(
            arrivals: classes,
            completions: completions,
            refusals: refusals,
            inFlight: inFlight,
            cap: cap
        )
    }

    @Test func leavesAllThroughWhileNothingIsRefused() {
        var cut = PriorityCut()
        for _ in 0..<10 {
            #expect(cut.decide(Self.sample([50, 100, 200], completions: 100, refusals: 0)) == .all)
        }
    }

    /// One step after a twentyfold rise, whatever the load was before.
    @Test func findsTheRightClassInOneStep() {
        var cut = PriorityCut()
        _ = cut.decide(Self.sample([10, 30, 60], completions: 100, refusals: 0))
        let decision = cut.decide(Self.sample([10, 30, 1960], completions: 100, refusals: 1900))
        #expect(decision.boundary == 2)
        #expect(abs(decision.fraction - (105.0 - 40) / 1960) < 0.001)
        let harder = cut.decide(Self.sample([10, 600, 1960], completions: 100, refusals: 100))
        #expect(harder.boundary == 1)
        #expect(harder.fraction < 0.2)
    }

    /// The surge has ended within a tenth of a second, and with it the cut.
    @Test func letsAllThroughAgainOnceTheSurgeIsOver() {
        var cut = PriorityCut()
        #expect(cut.decide(Self.sample([10, 30, 1960], completions: 100, refusals: 1900)) != .all)
        #expect(cut.decide(Self.sample([9, 29, 50], completions: 60, refusals: 0, inFlight: 9)) == .all)
    }

    @Test func letsAllThroughAgainWhenTheLoadFalls() {
        var cut = PriorityCut()
        _ = cut.decide(Self.sample([10, 30, 1960], completions: 100, refusals: 1900))
        #expect(cut.isEngaged)
        var steps = 0
        while cut.decide(Self.sample([10, 30, 50], completions: 90, refusals: 0, inFlight: 5)) != .all {
            steps += 1
            guard steps < 20 else { break }
        }
        #expect(steps <= 10)
    }

    @Test func followsABackendThatBecomesFaster() {
        var cut = PriorityCut()
        _ = cut.decide(Self.sample([10, 30, 1960], completions: 100, refusals: 1900))
        var fraction = 0.0
        for _ in 0..<20 {
            // It answers whatever it gets; nothing is refused by the cap any more.
            let decision = cut.decide(
                Self.sample([10, 30, 1960], completions: 40 + fraction * 1960, refusals: 0, inFlight: 10)
            )
            fraction = decision.boundary > 2 ? 1 : decision.fraction
        }
        #expect(fraction > 0.15)
    }
}

struct CapGradientTests {
    private static let shedding = LoadShedding(initialCap: 60, minimumCap: 4, maximumCap: 500, deadline: 250)

    /// A backend of 20 places and 20 ms each: what is above the places waits.
    private static func sample(inFlight: Double, limited: Bool, failures: Double = 0) -> CapGradient.Sample {
        let rate = min(inFlight, 20) / 0.02
        return CapGradient.Sample(
            latency: 0.02 * max(1, inFlight / 20),
            answers: rate * 0.5,
            failures: failures,
            bestRate: rate,
            isLimited: limited,
            highestInFlight: inFlight,
            time: 0.5
        )
    }

    @Test func settlesWhereTheBackendIsBusyAndQueuesStayShort() {
        var gradient = CapGradient(Self.shedding)
        for _ in 0..<5 { gradient.update(Self.sample(inFlight: 5, limited: false)) }
        #expect(gradient.cap <= 60)
        var caps: [Double] = []
        for _ in 0..<400 {
            gradient.update(Self.sample(inFlight: gradient.capInForce, limited: true))
            caps.append(gradient.cap)
        }
        #expect(caps.dropFirst(10).allSatisfy { (25...36).contains($0) })
        #expect(abs((gradient.unloadedLatency ?? 0) - 0.02) < 0.002)
    }

    /// Three seconds from the smallest cap.
    @Test func growsQuicklyFromASmallCap() {
        var shedding = Self.shedding
        shedding.initialCap = 4
        var gradient = CapGradient(shedding)
        for _ in 0..<6 { gradient.update(Self.sample(inFlight: gradient.capInForce, limited: true)) }
        #expect(gradient.cap >= 25)
    }

    @Test func doesNotGrowWhileItIsNotUsed() {
        var gradient = CapGradient(Self.shedding)
        for _ in 0..<200 { gradient.update(Self.sample(inFlight: 10, limited: false)) }
        #expect(gradient.cap == 60)
        #expect(!gradient.isDipping)
    }

    @Test func shrinksWhenAnswersFail() {
        var gradient = CapGradient(Self.shedding)
        gradient.update(Self.sample(inFlight: 10, limited: false))
        gradient.update(Self.sample(inFlight: 60, limited: true, failures: 400))
        #expect(gradient.cap == 42)
    }

    /// One answer in ten is always late: a report that takes its time, not an overload.
    @Test func acceptsAsManyFailuresAsThereAreWithoutLoad() {
        var gradient = CapGradient(Self.shedding)
        for _ in 0..<10 { gradient.update(Self.sample(inFlight: 10, limited: false, failures: 25)) }
        for _ in 0..<20 { gradient.update(Self.sample(inFlight: 25, limited: true, failures: 55)) }
        #expect(gradient.cap >= 25)
    }

    /// A new version takes three times as long: found out by shrinking the cap, to no avail.
    @Test func learnsThatTheBackendHasBecomeSlower() {
        var gradient = CapGradient(Self.shedding)
        for _ in 0..<10 { gradient.update(Self.sample(inFlight: 10, limited: false)) }
        func slow(_ inFlight: Double) -> CapGradient.Sample {
            var sample = Self.sample(inFlight: inFlight, limited: true)
            sample.latency = 3 * sample.latency!
            sample.answers /= 3
            sample.bestRate /= 3
            return sample
        }
        for _ in 0..<40 { gradient.update(slow(gradient.capInForce)) }
        #expect(abs((gradient.unloadedLatency ?? 0) - 0.06) < 0.012)
        #expect(gradient.cap >= 22)
        // And that the next one is quick again.
        for _ in 0..<10 { gradient.update(Self.sample(inFlight: gradient.capInForce, limited: true)) }
        #expect(abs((gradient.unloadedLatency ?? 0) - 0.02) < 0.012)
    }

    /// Answers that take most of the deadline even without load do not make the cap ever smaller.
    @Test func keepsASlowBackendBusy() {
        var shedding = Self.shedding
        shedding.deadline = 30
        var gradient = CapGradient(shedding)
        for _ in 0..<5 { gradient.update(Self.sample(inFlight: 10, limited: false)) }
        for _ in 0..<40 { gradient.update(Self.sample(inFlight: gradient.capInForce, limited: true)) }
        #expect(gradient.cap >= 20)
    }

    @Test(arguments: 0..<20) func keepsWithinItsBounds(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var gradient = CapGradient(Self.shedding)
        for _ in 0..<2000 {
            let answers = Double.random(in: 0...2000, using: &random)
            let isLimited = Bool.random(using: &random)
            let wasDipping = gradient.isDipping
            gradient.update(
                CapGradient.Sample(
                    latency: [nil, Double.random(in: 0...0.25, using: &random)].randomElement(using: &random)!,
                    answers: answers,
                    failures: Double.random(in: 0...0.2, using: &random) * answers,
                    bestRate: answers * 2,
                    isLimited: isLimited,
                    highestInFlight: Double.random(in: 0...1000, using: &random),
                    time: 0.5
                )
            )
            #expect((4...500).contains(gradient.cap) && (4...500).contains(gradient.capInForce))
            let allowance = max(0.125, 1.5 * (gradient.unloadedLatency ?? 0))
            if isLimited, answers > 0, !wasDipping { #expect(gradient.cap <= max(4, answers * 2 * allowance) + 1e-9) }
        }
    }
}

struct LatencyHistogramTests {
    @Test func tellsLatenciesApartByAnEighth() {
        for microseconds in [64, 100, 999, 12_345, 1_000_000, 59_000_000] {
            let bucket = LatencyHistogram.bucket(of: UInt64(microseconds) * 1000)
            let middle = LatencyHistogram.seconds(of: bucket) * 1_000_000
            #expect(abs(middle - Double(microseconds)) <= Double(microseconds) / 14)
        }
        #expect(LatencyHistogram.bucket(of: 0) == 0)
        #expect(LatencyHistogram.bucket(of: .max) == LatencyHistogram.buckets - 1)
    }
}

struct LoadShedderTests {
    private static let classes = [
        PriorityClass(name: "paid", reservedShare: 0.2), PriorityClass(name: "signed-in", reservedShare: 0.2),
        PriorityClass(name: "free"),
    ]

    private func withShedder<Value>(_ shedding: LoadShedding, _ body: (LoadShedder) throws -> Value) rethrows -> Value {
        try withWords(LoadShedder.words) { words in
            LoadShedder.prepare(shedding, words: words)
            return try body(LoadShedder(shedding, words: words))
        }
    }

    /// The cap alone, over random schedules: never more than it may hold, and never a class below its part refused.
    @Test(arguments: 0..<20) func keepsTheCapAndTheReservedParts(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let shedding = LoadShedding(classes: Self.classes, initialCap: 20, adaptsCap: false, cutsByPriority: false)
        withShedder(shedding) { shedder in
            var flying: [Int] = []
            var now: UInt64 = 1_000_000_000
            for _ in 0..<5000 {
                now += 100_000
                if Bool.random(using: &random), !flying.isEmpty {
                    let level = flying.remove(at: Int.random(in: 0..<flying.count, using: &random))
                    shedder.finish(level: level, worker: 0, .good, startedAt: now, now: now)
                    continue
                }
                let level = [0, 1, 2, 2, 2, 2].randomElement(using: &random)!
                let own = flying.count { $0 == level }
                let mayPass = flying.count < 20 || own < [4, 4, 0][level]
                let verdict = shedder.admit(level: level, worker: 0, draw: random.next(), now: now)
                #expect((verdict == .pass) == mayPass)
                if verdict == .pass { flying.append(level) }
                #expect(flying.count <= 28)
                #expect(shedder.inFlight(level: level) == flying.count { $0 == level })
            }
        }
    }

    /// With priorities, less important requests that came first do not count, up to twice the cap.
    @Test(arguments: 0..<20) func importantRequestsOvertake(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let shedding = LoadShedding(classes: Self.classes, initialCap: 20, adaptsCap: false)
        withShedder(shedding) { shedder in
            var flying: [Int] = []
            let now: UInt64 = 1_000_000_000  // the loops do not run
            for _ in 0..<5000 {
                if Int.random(in: 0..<5, using: &random) < 2, !flying.isEmpty {
                    let level = flying.remove(at: Int.random(in: 0..<flying.count, using: &random))
                    shedder.finish(level: level, worker: 0, .good, startedAt: now, now: now)
                    continue
                }
                let level = [0, 1, 1, 2, 2, 2].randomElement(using: &random)!
                let own = flying.count { $0 == level }
                let important = flying.count { $0 <= level }
                let overtakes = important < 20 && flying.count < 40
                let mayPass = flying.count < 20 || own < [4, 4, 0][level] || overtakes
                let verdict = shedder.admit(level: level, worker: 0, draw: 0, now: now)
                #expect((verdict == .pass) == mayPass)
                if verdict == .pass { flying.append(level) }
                #expect(flying.count <= 48)
            }
        }
    }

    /// Errors that come at once are neither a sign of load nor of a fast backend.
    @Test func quickErrorsDoNotChangeTheCap() {
        let shedding = LoadShedding(initialCap: 30, deadline: 250)
        withShedder(shedding) { shedder in
            var now: UInt64 = 1_000_000_000
            for number in 0..<4000 {
                now += 2_500_000
                #expect(shedder.admit(level: 0, worker: 0, draw: 0, now: now) == .pass)
                let isError = number % 3 == 0
                let took: UInt64 = isError ? 500_000 : 50_000_000
                shedder.finish(level: 0, worker: 0, isError ? .error : .good, startedAt: now - took, now: now)
            }
            #expect(shedder.cap == 30)
        }
    }

    @Test func anOverloadedBackendShrinksTheCap() {
        withShedder(LoadShedding(initialCap: 30, deadline: 250)) { shedder in
            var now: UInt64 = 1_000_000_000
            for number in 0..<2000 {
                now += 2_500_000
                guard shedder.admit(level: 0, worker: 0, draw: 0, now: now) == .pass else { continue }
                let outcome: LoadShedder.Outcome = number > 400 && number % 5 == 0 ? .overload : .good
                shedder.finish(level: 0, worker: 0, outcome, startedAt: now - 50_000_000, now: now)
            }
            #expect(shedder.cap < 15)
        }
    }

    @Test func keepsTheCapWithThreads() {
        let shedding = LoadShedding(classes: Self.classes, initialCap: 10, adaptsCap: false, cutsByPriority: false)
        withWords(LoadShedder.words + 2) { words in
            LoadShedder.prepare(shedding, words: words)
            let shared = Shared(words: words)
            onThreads(4) { worker in
                let shedder = LoadShedder(shedding, words: shared.words)
                let (count, wrong) = (shared.words + LoadShedder.words, shared.words + LoadShedder.words + 1)
                var held: [Int] = []
                var random = SeededGenerator(seed: UInt64(worker))
                for _ in 0..<100_000 {
                    let level = Int(random.next() % 3)
                    if held.count < 6, shedder.admit(level: level, worker: worker, draw: 0, now: 1) == .pass {
                        let total = count.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
                        if total > 14 { wrong.pointee.wrappingAdd(1, ordering: .relaxed) }
                        held.append(level)
                    } else if let level = held.popLast() {
                        count.pointee.wrappingSubtract(1, ordering: .sequentiallyConsistent)
                        shedder.finish(level: level, worker: worker, .good, startedAt: 1, now: 2)
                    }
                }
                for level in held {
                    count.pointee.wrappingSubtract(1, ordering: .sequentiallyConsistent)
                    shedder.finish(level: level, worker: worker, .good, startedAt: 1, now: 2)
                }
            }
            #expect(words[LoadShedder.words + 1].load(ordering: .relaxed) == 0)
            for level in 0..<3 { #expect(LoadShedder(shedding, words: words).inFlight(level: level) == 0) }
        }
    }

    // MARK: - Overload, simulated

    /// A backend with 20 places of 20 ms, 1,000 requests a second; what is above the places waits, and much of that slows it down.
    private struct Simulation {
        var shedding: LoadShedding
        /// Requests a second by class.
        var phases: [(seconds: Double, rates: [Double])]
        var seed: UInt64
        /// Service times vary exponentially instead of by a tenth.
        var varies = false

        struct Result {
            /// By whole second: answers within 250 ms.
            var goodput: [Double]
            var offered: [[Double]]
            var served: [[Double]]
        }

        func run(protected: Bool = true) -> Result {
            withWords(LoadShedder.words) { words in
                LoadShedder.prepare(shedding, words: words)
                return run(LoadShedder(shedding, words: words), protected: protected)
            }
        }

        private func run(_ shedder: LoadShedder, protected: Bool) -> Result {
            var random = SeededGenerator(seed: seed)
            let length = phases.reduce(0) { $0 + $1.seconds }
            let seconds = Int(length) + 1
            var result = Result(
                goodput: Array(repeating: 0, count: seconds),
                offered: Array(repeating: [0, 0, 0], count: seconds),
                served: Array(repeating: [0, 0, 0], count: seconds)
            )
            var waiting: [(level: Int, start: Double)] = []
            var head = 0
            var places: [(end: Double, level: Int, start: Double)] = []
            var now = 0.0
            while now < length {
                let rates = self.rates(at: now)
                now += random.exponential(mean: 1 / rates.reduce(0, +))
                // The backend works off what came before.
                while let next = places.indices.min(by: { places[$0].end < places[$1].end }), places[next].end <= now {
                    let done = places.remove(at: next)
                    let time = UInt64(done.end * 1e9) + 1_000_000_000
                    if protected {
                        shedder.finish(
                            level: done.level,
                            worker: 0,
                            .good,
                            startedAt: UInt64(done.start * 1e9) + 1_000_000_000,
                            now: time
                        )
                    }
                    if done.end - done.start <= 0.25 {
                        result.goodput[Int(done.end)] += 1
                        result.served[Int(done.end)][done.level] += 1
                    }
                    if head < waiting.count {
                        places.append(serve(waiting[head], from: done.end, waiting: waiting.count - head, &random))
                        head += 1
                    }
                }
                let level = Self.pick(rates, &random)
                result.offered[Int(now)][level] += 1
                let time = UInt64(now * 1e9) + 1_000_000_000
                if protected, shedder.admit(level: level, worker: 0, draw: random.next(), now: time) != .pass {
                    continue
                }
                if places.count < 20 {
                    places.append(serve((level, now), from: now, waiting: 0, &random))
                } else {
                    waiting.append((level, now))
                }
            }
            return result
        }

        private func serve(
            _ request: (level: Int, start: Double),
            from time: Double,
            waiting: Int,
            _ random: inout SeededGenerator
        ) -> (end: Double, level: Int, start: Double) {
            let slowdown = 1 + max(0, Double(waiting) - 20) / 100
            let part = varies ? random.exponential(mean: 1) : Double.random(in: 0.9...1.1, using: &random)
            return (time + 0.02 * slowdown * part, request.level, request.start)
        }

        private func rates(at time: Double) -> [Double] {
            var left = time
            for phase in phases {
                if left < phase.seconds { return phase.rates }
                left -= phase.seconds
            }
            return phases.last!.rates
        }

        private static func pick(_ rates: [Double], _ random: inout SeededGenerator) -> Int {
            var left = Double.random(in: 0..<rates.reduce(0, +), using: &random)
            for (level, rate) in rates.enumerated() {
                if left < rate { return level }
                left -= rate
            }
            return rates.count - 1
        }
    }

    /// Normal load, five times as much, twenty times as much, normal again; the important tenth keeps its size.
    private static func surge(_ shedding: LoadShedding, seed: UInt64) -> Simulation {
        let scale = { (factor: Double) in [80, 240 * factor, 480 * factor] }
        return Simulation(
            shedding: shedding,
            phases: [(10, scale(1)), (10, scale(5)), (10, scale(20)), (5, scale(1))],
            seed: seed
        )
    }

    private static func average(_ values: some Collection<Double>) -> Double {
        values.reduce(0, +) / Double(values.count)
    }

    @Test func withoutProtectionTheSurgeStopsEverything() {
        let result = Self.surge(LoadShedding(), seed: 1).run(protected: false)
        #expect(Self.average(result.goodput[15..<30]) < 200)
    }

    @Test(arguments: 0..<3) func keepsGoodputAndTheImportantClassThroughASurge(_ seed: UInt64) {
        let shedding = LoadShedding(classes: Self.classes, initialCap: 40, deadline: 250)
        let result = Self.surge(shedding, seed: seed).run()
        #expect(Self.average(result.goodput[11..<20]) >= 950)
        #expect(Self.average(result.goodput[21..<30]) >= 950)
        #expect(result.goodput[10..<30].min()! >= 800)
        let offered = result.offered[10..<30].reduce(0) { $0 + $1[0] }
        let served = result.served[10..<31].reduce(0) { $0 + $1[0] }
        #expect(served / offered >= 0.995)
        // Two seconds after the surge nobody is refused any more.
        let after = result.served[32..<35].reduce(0) { $0 + $1.reduce(0, +) }
        let asked = result.offered[32..<35].reduce(0) { $0 + $1.reduce(0, +) }
        #expect(after / asked >= 0.98)
    }

    /// Long answers among short ones are no sign of load: nothing is refused without it, and goodput is kept with it.
    @Test(arguments: 0..<3) func isNotMisledByServiceTimesThatVary(_ seed: UInt64) {
        let shedding = LoadShedding(classes: Self.classes, initialCap: 64, deadline: 250)
        var simulation = Self.surge(shedding, seed: seed)
        simulation.varies = true
        let result = simulation.run()
        let asked = result.offered[2..<10].flatMap(\.self).reduce(0, +)
        let served = result.served[2..<10].flatMap(\.self).reduce(0, +)
        #expect(served / asked >= 0.98)
        #expect(Self.average(result.goodput[11..<20]) >= 920)
        #expect(Self.average(result.goodput[21..<30]) >= 920)
    }

    /// All of the load is due to the important class and to others alike: it is let in before them although they came first.
    @Test func theImportantClassOvertakesAtTheCap() {
        let classes = Self.classes.map { PriorityClass(name: $0.name) }
        let shedding = LoadShedding(classes: classes, initialCap: 40, deadline: 250)
        let rates = [600.0, 400, 19_000]
        let result = Simulation(shedding: shedding, phases: [(2, [60, 40, 700]), (10, rates), (1, rates)], seed: 3)
            .run()
        let offered = result.offered[2..<12].reduce(0) { $0 + $1[0] }
        let served = result.served[2..<12].reduce(0) { $0 + $1[0] }
        #expect(served / offered >= 0.995)
        #expect(Self.average(result.goodput[3..<12]) >= 950)
    }

    /// Each loop is of use without the others.
    @Test func theCapAloneKeepsGoodput() {
        let shedding = LoadShedding(
            classes: Self.classes,
            initialCap: 30,
            adaptsCap: false,
            cutsByPriority: false,
            deadline: 250
        )
        let result = Self.surge(shedding, seed: 4).run()
        #expect(Self.average(result.goodput[21..<30]) >= 950)
    }

    @Test func theGradientAloneFindsTheCap() {
        let shedding = LoadShedding(classes: [], initialCap: 400, cutsByPriority: false, deadline: 250)
        let result = Self.surge(shedding, seed: 5).run()
        #expect(Self.average(result.goodput[21..<30]) >= 900)
        var fixed = shedding
        fixed.adaptsCap = false
        #expect(Self.average(Self.surge(fixed, seed: 5).run().goodput[21..<30]) < 600)
    }

    /// With nothing reserved, only the cut tells the classes apart.
    @Test func theCutAloneKeepsTheMiddleClass() {
        let classes = Self.classes.map { PriorityClass(name: $0.name) }
        func shareOfImportant(_ cuts: Bool) -> Double {
            let shedding = LoadShedding(
                classes: classes,
                initialCap: 30,
                adaptsCap: false,
                cutsByPriority: cuts,
                deadline: 250
            )
            let result = Self.surge(shedding, seed: 6).run()
            let offered = result.offered[21..<30].reduce(0) { $0 + $1[0] }
            return result.served[21..<30].reduce(0) { $0 + $1[0] } / offered
        }
        #expect(shareOfImportant(true) >= 0.9)
        #expect(shareOfImportant(false) < 0.3)
    }

    @Test func refusesRequestsOfOneSourceTogether() {
        var shedding = LoadShedding(classes: Self.classes, initialCap: 30, adaptsCap: false, deadline: 250)
        shedding.fairnessKey = .clientAddress
        withShedder(shedding) { shedder in
            var now: UInt64 = 1_000_000_000
            var flying: [(Int, UInt64)] = []
            var sources: [UInt64: Set<Bool>] = [:]
            var random = SeededGenerator(seed: 9)
            for number in 0..<40_000 {
                now += 50_000
                flying.removeAll { each in
                    guard each.1 + 20_000_000 <= now else { return false }
                    shedder.finish(level: each.0, worker: 0, .good, startedAt: each.1, now: now)
                    return true
                }
                let source = random.next() % 50
                var hash = SeededGenerator(seed: source)
                let verdict = shedder.admit(level: 2, worker: 0, draw: hash.next(), now: now)
                if verdict == .pass { flying.append((2, now)) }
                if number > 20_000, shedder.admittedShare(level: 2) < 0.2 {
                    sources[source, default: []].insert(verdict == .pass)
                }
            }
            let whole = sources.values.count { $0 == [false] }
            #expect(whole >= 30)
        }
    }
}
