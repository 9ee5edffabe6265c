import Synchronization

/// Runs a ``LoadShedding`` over shared words; times in nanoseconds of a monotonic clock.
///
/// Bounds: with the cap L in force, a request passes only if fewer than L are in flight, or fewer of its class than the class's reserved
/// part of L, or, with the priority cut, fewer than L of its class and more important ones and fewer than 2 L of all. So at most L plus the
/// reserved parts are in flight, with the cut at most 2 L plus the reserved parts; a class is never refused by the cap while it uses less
/// than its part, and with the cut not for less important ones that came before, but for what 2 L says. Requests of a class that the cut
/// leaves out are refused before they reach the cap.
///
/// The cap acts on each request. The loops run when a request finds that it is time: one thread at a time, the others go on with what is
/// in force. What they look at is counted in a stripe per worker, which only that worker writes.
package struct LoadShedder: BitwiseCopyable, @unchecked Sendable {
    // Safe to share: words that several threads write are changed by exchanges, stripes have one writer, and the loops' own state is
    // touched only by whoever holds the `busy` word; whoever made the memory keeps it for as long as this value is used.

    /// Workers that share a policy beyond this number share stripes, whose counts are then approximate.
    package static let stripes = 16
    static let tick: UInt64 = 100_000_000

    private enum Word {
        static let lanes = 0
        static let cap = 1
        static let cut = 2
        static let nextTick = 3
        static let busy = 4
        static let control = 8
    }

    private static let controlWords = (MemoryLayout<SheddingControl>.stride + 7) / 8
    private static let firstStripe = (Word.control + controlWords + 7) / 8 * 8
    package static let words = firstStripe + stripes * SheddingStripe.words

    private let words: SharedWord
    private let shares: InlineArray<4, Double>
    private let deadline: UInt64
    private let cuts: Bool
    private let adapts: Bool

    /// - Parameter words: zero when new; what others left there otherwise.
    package init(_ shedding: LoadShedding, words: SharedWord) {
        self.words = words
        var shares = InlineArray<4, Double>(repeating: 0)
        for (index, each) in shedding.classes.prefix(4).enumerated() { shares[index] = each.reservedShare }
        self.shares = shares
        deadline = UInt64(shedding.deadline) * 1_000_000
        cuts = shedding.cutsByPriority && (shedding.classes.count > 1 || shedding.fairnessKey != .none)
        adapts = shedding.adaptsCap
    }

    /// Prepares fresh memory; once, before anybody uses it.
    package static func prepare(_ shedding: LoadShedding, words: SharedWord) {
        control(words).initialize(to: SheddingControl(shedding))
        words[Word.cap].store(UInt64(shedding.initialCap), ordering: .relaxed)
        words[Word.cut].store(Self.word(.all), ordering: .releasing)
    }

    /// How a request that passed was answered.
    package enum Outcome: Sendable, BitwiseCopyable {
        case good
        /// An error that says nothing of load. How long it took says nothing either: errors are often quick.
        case error
        /// The backend said that it is overloaded, or did not answer.
        case overload
        /// Nobody knows: the client gave up, or another policy refused the request.
        case none
    }

    // MARK: - Requests

    /// - Parameter level: the number of the request's class, the most important one being zero.
    /// - Parameter worker: whose stripe is written.
    /// - Parameter draw: tells requests of the class at the boundary apart: a hash of whom they come from, or a random word.
    package func admit(level: Int, worker: Int, draw: UInt64, now: UInt64) -> Verdict {
        let stripe = stripe(worker)
        stripe.add(.arrivals, level)
        if now >= words[Word.nextTick].load(ordering: .relaxed) { runLoops(now: now) }
        if cuts, isCut(level, draw) { return .refuse(Self.tick) }
        guard enter(level) else {
            stripe.add(.refusals)
            return .refuse(Self.tick)
        }
        return .pass
    }

    /// A request that passed is over.
    package func finish(
        level: Int,
        worker: Int,
        _ outcome: Outcome,
        startedAt start: UInt64,
        now: UInt64
    ) {
        answered(worker: worker, outcome, startedAt: start, now: now)
        leave(level: level)
    }

    /// The backend has begun to answer a request that passed; ``leave(level:)`` follows when the answer is complete.
    package func answered(worker: Int, _ outcome: Outcome, startedAt start: UInt64, now: UInt64) {
        guard outcome != .none else { return }
        let stripe = stripe(worker)
        let latency = now > start ? now - start : 0
        stripe.add(.completions)
        if outcome == .overload || latency > deadline { stripe.add(.failures) }
        if outcome != .error { stripe.add(latency: latency) }
    }

    package func leave(level: Int) { words[Word.lanes].wrappingSubtract(Self.lane(level), ordering: .relaxed) }

    package var cap: Int { Int(words[Word.cap].load(ordering: .relaxed)) }

    package func inFlight(level: Int) -> Int {
        Int(Self.count(words[Word.lanes].load(ordering: .relaxed), level))
    }

    /// The part of a class's requests that the priority cut lets through.
    package func admittedShare(level: Int) -> Double {
        guard cuts else { return 1 }
        let word = words[Word.cut].load(ordering: .relaxed)
        let boundary = Int(word >> 32)
        return level < boundary ? 1 : level > boundary ? 0 : Double(word & 0xFFFF_FFFF) / 65_536
    }

    // MARK: - The cap

    private static func lane(_ level: Int) -> UInt64 { 1 << UInt64(level * 16) }

    private func enter(_ level: Int) -> Bool {
        let cap = words[Word.cap].load(ordering: .relaxed)
        let reserved = UInt64(Double(cap) * shares[level])
        var lanes = words[Word.lanes].load(ordering: .relaxed)
        while true {
            let own = Self.count(lanes, level)
            guard own < 0xFFFF, own < reserved || hasRoom(lanes, level, cap) else { return false }
            let (exchanged, found) = words[Word.lanes].weakCompareExchange(
                expected: lanes,
                desired: lanes + Self.lane(level),
                ordering: .relaxed
            )
            if exchanged { return true }
            lanes = found
        }
    }

    @inline(__always)
    private func hasRoom(_ lanes: UInt64, _ level: Int, _ cap: UInt64) -> Bool {
        var important: UInt64 = 0
        var total: UInt64 = 0
        for each in 0..<LoadShedding.maximumClasses {
            total += Self.count(lanes, each)
            if each == level { important = total }
        }
        return total < cap || cuts && important < cap && total < 2 * cap
    }

    @inline(__always)
    private static func count(_ lanes: UInt64, _ level: Int) -> UInt64 { lanes >> UInt64(level * 16) & 0xFFFF }

    // MARK: - The cut

    private static func word(_ decision: PriorityCut.Decision) -> UInt64 {
        UInt64(decision.boundary) << 32 | UInt64(decision.fraction * 65_536)
    }

    @inline(__always)
    private func isCut(_ level: Int, _ draw: UInt64) -> Bool {
        let word = words[Word.cut].load(ordering: .relaxed)
        let boundary = Int(word >> 32)
        return level > boundary || level == boundary && draw >> 48 >= word & 0xFFFF_FFFF
    }

    // MARK: - The loops

    private static func control(_ words: SharedWord) -> UnsafeMutablePointer<SheddingControl> {
        UnsafeMutableRawPointer(words + Word.control).assumingMemoryBound(to: SheddingControl.self)
    }

    private func stripe(_ worker: Int) -> SheddingStripe {
        SheddingStripe(words: words + Self.firstStripe + (worker % Self.stripes) * SheddingStripe.words)
    }

    private func runLoops(now: UInt64) {
        guard words[Word.busy].compareExchange(expected: 0, desired: 1, ordering: .acquiring).exchanged else { return }
        defer { words[Word.busy].store(0, ordering: .releasing) }
        guard now >= words[Word.nextTick].load(ordering: .relaxed) else { return }
        words[Word.nextTick].store(now + Self.tick, ordering: .relaxed)
        var totals = SheddingTotals()
        for index in 0..<Self.stripes { totals.add(stripe(index)) }
        var inFlight = 0
        for level in 0..<LoadShedding.maximumClasses { inFlight += self.inFlight(level: level) }
        let control = Self.control(words)
        let decision = control.pointee.tick(totals, inFlight: inFlight, now: now)
        if cuts { words[Word.cut].store(Self.word(decision), ordering: .relaxed) }
        guard adapts, control.pointee.isGradientDue(now: now) else { return }
        var latencies = LatencyCounts(repeating: 0)
        for index in 0..<Self.stripes { stripe(index).addLatencies(to: &latencies) }
        control.pointee.adapt(totals, latencies, now: now)
        words[Word.cap].store(UInt64(control.pointee.gradient.capInForce.rounded()), ordering: .relaxed)
    }
}
