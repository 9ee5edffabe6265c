/// The slow loop of load shedding: each half second, how many requests in flight make the backend work well?
///
/// Compares the latency that nine in ten stay below with that of an unloaded backend. More than half as much again means that requests
/// wait in the backend: the cap shrinks in proportion. Less, while the cap is in use, lets it grow by its square root. Errors and answers
/// that come too late shrink it at once.
///
/// The latency of an unloaded backend is the least of the last minute, taken from half seconds in which less than half the cap was used.
/// After half a minute without such, the cap goes down to two thirds for a half second to look.
///
/// Bound: always between ``LoadShedding/minimumCap`` and ``LoadShedding/maximumCap``, and, while the backend is the limit, at most what it
/// answers in half the deadline (Little's law), so that nothing that was let in is answered too late.
struct CapGradient: BitwiseCopyable {
    static let tolerance = 0.5

    /// What happened in the last half second.
    struct Sample {
        /// Seconds; `nil` when too few were answered to tell.
        var lowLatency: Double?
        var highLatency: Double?
        var answers: Double
        /// Of these, errors and such that came after the deadline.
        var failures: Double
        /// Whether the cap refused requests.
        var isLimited: Bool
        var highestInFlight: Double
        /// Length of the time, in seconds.
        var time: Double
    }

    private(set) var cap: Double
    private let minimum: Double
    private let maximum: Double
    /// Seconds.
    private let deadline: Double

    private var lows = InlineArray<12, Double>(repeating: .infinity)
    private var slot = 0
    private var slotAge = 0.0
    private var sinceLow = 0.0
    private(set) var isDipping = false

    init(_ shedding: LoadShedding) {
        cap = Double(shedding.initialCap)
        minimum = Double(shedding.minimumCap)
        maximum = Double(shedding.maximumCap)
        deadline = Double(shedding.deadline) / 1000
    }

    /// The cap in force: lower for the half second that looks for the unloaded latency.
    var capInForce: Double { isDipping ? max(minimum, cap * 2 / 3) : cap }

    /// Seconds; `nil` before the first answers.
    var unloadedLatency: Double? {
        var least = Double.infinity
        for index in 0..<lows.count { least = min(least, lows[index]) }
        return least.isFinite ? least : nil
    }

    mutating func update(_ sample: Sample) {
        learn(sample)
        let wasDipping = isDipping
        isDipping = false
        if sinceLow >= 30 {
            isDipping = true
            sinceLow = 0
        }
        guard !wasDipping, sample.answers > 0 else { return }
        if sample.failures > 0.05 * sample.answers {
            cap *= 0.7
        } else if let high = sample.highLatency, let unloaded = unloadedLatency {
            let gradient = min(1, max(0.5, unloaded * (1 + Self.tolerance) / high))
            follow(gradient, isInUse: sample.isLimited || sample.highestInFlight > cap / 2)
        }
        if sample.isLimited { cap = min(cap, max(minimum, sample.answers / sample.time * deadline / 2)) }
        cap = min(maximum, max(minimum, cap))
    }

    // MARK: - Private

    private mutating func follow(_ gradient: Double, isInUse: Bool) {
        let room = gradient == 1 ? cap.squareRoot() : max(2, cap.squareRoot() / 4)
        let next = 0.8 * cap + 0.2 * (gradient * cap + room)
        if next < cap || isInUse { cap = next }
    }

    private mutating func learn(_ sample: Sample) {
        slotAge += sample.time
        if slotAge >= 5 {
            slotAge = 0
            slot = (slot + 1) % lows.count
            // The last value stays until there is another, so that a busy minute does not forget.
            if hasOtherLow { lows[slot] = .infinity }
        }
        let isLow = isDipping || !sample.isLimited && sample.highestInFlight < cap / 2
        guard let low = sample.lowLatency else { return }
        guard isLow || unloadedLatency == nil else {
            sinceLow += sample.time
            return
        }
        lows[slot] = min(lows[slot], low)
        sinceLow = 0
    }

    private var hasOtherLow: Bool {
        for index in 0..<lows.count where index != slot && lows[index].isFinite { return true }
        return false
    }
}
