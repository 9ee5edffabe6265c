/// Where a circuit breaker stands: one word, changed as a whole.
struct BreakerState: BitwiseCopyable, Equatable {
    enum Phase: UInt64 { case closed, open, halfOpen, ramping }

    var phase: Phase
    /// Probes that were answered well.
    var good: Int
    /// Probes without an answer yet.
    var underWay: Int
    /// Counts openings and half-openings, so that answers to requests of an earlier time decide nothing.
    var epoch: UInt8
    /// Milliseconds: when the breaker opened, gave out the last probe, or closed.
    var since: UInt64

    init(phase: Phase, epoch: UInt8, since: UInt64) {
        self.phase = phase
        good = 0
        underWay = 0
        self.epoch = epoch
        self.since = since
    }

    init(word: UInt64) {
        phase = Phase(rawValue: word & 3)!
        good = Int(word >> 2 & 0x7F)
        underWay = Int(word >> 9 & 0x7F)
        epoch = UInt8(truncatingIfNeeded: word >> 16)
        since = word >> 24
    }

    var word: UInt64 {
        phase.rawValue | UInt64(good) << 2 | UInt64(underWay) << 9 | UInt64(epoch) << 16 | since << 24
    }

    // MARK: - Transitions

    func opened(now: UInt64) -> BreakerState { BreakerState(phase: .open, epoch: epoch &+ 1, since: now) }

    /// The first probe goes out.
    func halfOpened(now: UInt64) -> BreakerState {
        var next = BreakerState(phase: .halfOpen, epoch: epoch &+ 1, since: now)
        next.underWay = 1
        return next
    }

    /// One more probe goes out, unless enough do.
    func probing(limit: Int, now: UInt64) -> BreakerState? {
        guard good + underWay < limit else { return nil }
        var next = self
        next.underWay += 1
        next.since = now
        return next
    }

    /// A probe was answered well; the last one closes the breaker.
    func probeSucceeded(limit: Int, ramps: Bool, now: UInt64) -> BreakerState {
        guard good + 1 < limit else { return BreakerState(phase: ramps ? .ramping : .closed, epoch: epoch, since: now) }
        var next = self
        next.good += 1
        next.underWay -= 1
        return next
    }

    /// A probe came to nothing through no fault of the backend.
    var probeAbandoned: BreakerState {
        var next = self
        next.underWay -= 1
        return next
    }
}
