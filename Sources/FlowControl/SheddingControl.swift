import Synchronization

typealias LatencyCounts = InlineArray<168, UInt64>

/// One worker's counts for a ``LoadShedder``; they only grow.
struct SheddingStripe: BitwiseCopyable {
    static let words = (Count.latencies + LatencyHistogram.buckets + 7) / 8 * 8

    enum Count {
        static let latencies = 8
    }

    enum Kind: Int { case arrivals = 0, completions = 4, failures, refusals }

    let words: SharedWord

    @inline(__always)
    func add(_ kind: Kind, _ offset: Int = 0) { Self.increment(words + kind.rawValue + offset) }

    @inline(__always)
    func add(latency: UInt64) { Self.increment(words + Count.latencies + LatencyHistogram.bucket(of: latency)) }

    @inline(__always)
    func value(_ kind: Kind, _ offset: Int = 0) -> Double {
        Double(words[kind.rawValue + offset].load(ordering: .relaxed))
    }

    func addLatencies(to counts: inout LatencyCounts) {
        for bucket in 0..<LatencyHistogram.buckets {
            counts[bucket] += words[Count.latencies + bucket].load(ordering: .relaxed)
        }
    }

    /// Only the stripe's worker writes, so that this needs no exchange.
    @inline(__always)
    private static func increment(_ word: SharedWord) {
        word.pointee.store(word.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    }
}

/// The sum of all stripes since the beginning.
struct SheddingTotals: BitwiseCopyable {
    var arrivals = InlineArray<4, Double>(repeating: 0)
    var completions = 0.0
    var failures = 0.0
    var refusals = 0.0

    init() {}

    mutating func add(_ stripe: SheddingStripe) {
        for level in 0..<LoadShedding.maximumClasses { arrivals[level] += stripe.value(.arrivals, level) }
        completions += stripe.value(.completions)
        failures += stripe.value(.failures)
        refusals += stripe.value(.refusals)
    }
}

/// What the slower loops of a ``LoadShedder`` remember between their turns.
struct SheddingControl: BitwiseCopyable {
    static let gradientTime: UInt64 = 500_000_000
    /// With fewer answers, latencies say little.
    static let fewestAnswers = 20.0

    private(set) var cut = PriorityCut()
    private(set) var gradient: CapGradient

    private var lastTick = SheddingTotals()
    private var tickedAt: UInt64 = 0
    private var lastGradient = SheddingTotals()
    private var adaptedAt: UInt64 = 0
    private var latencies = LatencyCounts(repeating: 0)
    private var highestInFlight = 0
    /// Answers per second in the best tick since the last turn of the gradient.
    private var bestRate = 0.0
    /// Seconds.
    private let deadline: Double

    init(_ shedding: LoadShedding) {
        gradient = CapGradient(shedding)
        deadline = Double(shedding.deadline) / 1000
    }

    mutating func tick(_ totals: SheddingTotals, inFlight: Int, now: UInt64) -> PriorityCut.Decision {
        let time = tickedAt == 0 || now <= tickedAt ? 1 : Double(now - tickedAt) / Double(LoadShedder.tick)
        var arrivals = InlineArray<4, Double>(repeating: 0)
        // After a pause the counts of several tenths come together.
        for level in 0..<LoadShedding.maximumClasses {
            arrivals[level] = (totals.arrivals[level] - lastTick.arrivals[level]) / time
        }
        let sample = PriorityCut.Sample(
            arrivals: arrivals,
            completions: (totals.completions - lastTick.completions) / time,
            refusals: (totals.refusals - lastTick.refusals) / time,
            inFlight: Double(inFlight),
            cap: gradient.capInForce
        )
        lastTick = totals
        tickedAt = now
        highestInFlight = max(highestInFlight, inFlight)
        bestRate = max(bestRate, sample.completions * 1e9 / Double(LoadShedder.tick))
        return cut.decide(sample)
    }

    func isGradientDue(now: UInt64) -> Bool { now >= adaptedAt + Self.gradientTime }

    mutating func adapt(_ totals: SheddingTotals, _ counts: LatencyCounts, now: UInt64) {
        let answers = totals.completions - lastGradient.completions
        let sample = CapGradient.Sample(
            latency: meanLatency(counts),
            answers: answers,
            failures: totals.failures - lastGradient.failures,
            bestRate: bestRate,
            isLimited: totals.refusals > lastGradient.refusals,
            highestInFlight: Double(highestInFlight),
            time: adaptedAt == 0 ? 0.5 : Double(now - adaptedAt) / 1e9
        )
        gradient.update(sample)
        lastGradient = totals
        latencies = counts
        adaptedAt = now
        highestInFlight = 0
        bestRate = 0
    }

    /// Of the new answers; `nil` when they are too few.
    private func meanLatency(_ counts: LatencyCounts) -> Double? {
        var answers = 0.0
        var seconds = 0.0
        for bucket in 0..<LatencyHistogram.buckets {
            let count = Double(counts[bucket] - latencies[bucket])
            answers += count
            seconds += count * min(deadline, LatencyHistogram.seconds(of: bucket))
        }
        return answers >= Self.fewestAnswers ? seconds / answers : nil
    }
}
