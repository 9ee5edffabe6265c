/// The slow loop of load shedding: each half second, how many requests in flight make the backend work well?
///
/// Compares the mean latency with that of an unloaded backend. By Little's law the requests in flight that just keep the backend busy are
/// its rate times its unloaded latency; the cap tends to half as many again, so that there is always a request at hand when a place becomes
/// free, and the wait for it stays short. Means are compared with means: service times that vary a lot look alike with and without load.
/// Above that the cap shrinks in proportion. Below, while it refuses requests, it grows by up to half each time.
///
/// Answers that say "overloaded", or come too late, shrink it at once when they are more than usual by a twentieth.
///
/// The unloaded latency is learnt in half seconds in which less than half the cap was used, from any latency that is much lower than what
/// was known, and from the cap itself: when fewer requests in flight do not make the backend faster, that is how long it takes. After half
/// a minute of overload without any of these the cap goes down to two thirds for a half second to look.
///
/// Bound: always between ``LoadShedding/minimumCap`` and ``LoadShedding/maximumCap``, and, while the backend is the limit, at most what it
/// answers in half the deadline, so that nothing that was let in is answered too late; or in half as long again as without load, if that
/// is longer: a smaller cap would keep it idle.
struct CapGradient: BitwiseCopyable {
    static let tolerance = 0.5
    /// Answers after which older ones no longer count for the unloaded latency.
    static let memory = 500.0

    /// What happened in the last half second.
    struct Sample {
        /// Mean seconds, none counted with more than the deadline; `nil` when too few were answered to tell.
        var latency: Double?
        var answers: Double
        /// Of these, such that said "overloaded", or came after the deadline.
        var failures: Double
        /// Answers per second in the best tenth of a second.
        var bestRate: Double
        /// Whether the cap refused requests.
        var isLimited: Bool
        var highestInFlight: Double
        /// Length of the time, in seconds.
        var time: Double
    }

    /// What is known of the backend without load: sums over the last answers.
    private struct Unloaded: BitwiseCopyable {
        var answers = 0.0
        var seconds = 0.0
        var failures = 0.0

        mutating func add(_ sample: Sample, latency: Double) {
            answers += sample.answers
            seconds += sample.answers * latency
            failures += sample.failures
            let part = min(1, CapGradient.memory / answers)
            answers *= part
            seconds *= part
            failures *= part
        }
    }

    /// Where the cap began to shrink, or was when it had shrunk by a third.
    private struct Mark: BitwiseCopyable {
        var cap: Double
        var latency: Double
    }

    private(set) var cap: Double
    private let minimum: Double
    private let maximum: Double
    /// Seconds.
    private let deadline: Double

    private var unloaded = Unloaded()
    private var sinceLow = 0.0
    private var mark: Mark?
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
    var unloadedLatency: Double? { unloaded.answers > 0 ? unloaded.seconds / unloaded.answers : nil }

    mutating func update(_ sample: Sample) {
        learn(sample)
        let wasDipping = isDipping
        isDipping = false
        // Only in an overload, in which the cap refuses requests anyway.
        if sinceLow >= 30, sample.isLimited {
            isDipping = true
            sinceLow = 0
        }
        guard !wasDipping, sample.answers > 0 else { return }
        if isFailing(sample) {
            cap *= 0.7
        } else if let latency = sample.latency, let unloadedLatency {
            let gradient = unloadedLatency * (1 + Self.tolerance) / max(latency, 1e-9)
            if gradient < 1 { shrink(gradient, sample, latency) } else { grow(gradient, isLimited: sample.isLimited) }
        }
        if sample.isLimited {
            cap = min(cap, sample.bestRate * max(deadline / 2, (unloadedLatency ?? 0) * (1 + Self.tolerance)))
        }
        cap = min(maximum, max(minimum, cap))
    }

    // MARK: - Private

    private func isFailing(_ sample: Sample) -> Bool {
        let usual = unloaded.answers > 0 ? unloaded.failures / unloaded.answers : 0
        return sample.failures > (usual + 0.05) * sample.answers
    }

    private mutating func grow(_ gradient: Double, isLimited: Bool) {
        mark = nil
        guard isLimited else { return }
        // Where nothing waits in the backend, the cap alone keeps requests from it.
        cap *= gradient < 1.25 ? 1 + 0.5 * (gradient - 1) : min(gradient, 1 + Self.tolerance)
    }

    private mutating func shrink(_ gradient: Double, _ sample: Sample, _ latency: Double) {
        if !sample.isLimited {
            mark = nil  // it was not the cap that kept requests from the backend
        } else if let start = mark, cap <= 0.7 * start.cap {
            mark = Mark(cap: cap, latency: latency)
            if latency >= 0.9 * start.latency {
                unloaded = Unloaded()
                unloaded.add(sample, latency: latency)
                return
            }
        } else if mark == nil {
            mark = Mark(cap: cap, latency: latency)
        }
        cap *= 1 - 0.5 * (1 - max(0.5, gradient))
    }

    private mutating func learn(_ sample: Sample) {
        guard let latency = sample.latency else { return }
        let known = unloadedLatency
        // Load makes latencies longer, never shorter.
        let isBetter = sample.answers >= 100 && latency < 0.8 * (known ?? 0)
        if isBetter { unloaded = Unloaded() }
        if isBetter || isDipping || known == nil || !sample.isLimited && sample.highestInFlight < cap / 2 {
            unloaded.add(sample, latency: latency)
            sinceLow = 0
        } else if !sample.isLimited, let known, latency <= 1.25 * known {
            sinceLow = 0
        } else {
            sinceLow += sample.time
        }
    }
}
