import Synchronization

/// Runs a ``CircuitBreaker`` over shared words; times in nanoseconds of a monotonic clock.
///
/// Bounds:
/// - It opens with the first bad answer for which the window's condition holds; an answer that does not come at all is bad at most an
///   eighth of the threshold late, when the next request asks.
/// - While it is open, nothing passes for ``CircuitBreaker/openTime``, then at most ``CircuitBreaker/probes`` requests until they are
///   decided: so after opening at most that many per `openTime` reach a backend that stays bad.
/// - A probe that is not answered within ``CircuitBreaker/probeDeadline`` opens the breaker again at the next request, so it is never stuck.
/// - Once the backend is well, `probes` good answers after the next half-opening close it, and after ``CircuitBreaker/rampTime`` all passes.
/// - Answers to requests that passed before the breaker opened are not counted after it.
package struct CircuitBreakerState: BitwiseCopyable, @unchecked Sendable {
    // Safe to share: every word is an atomic; whoever made the memory keeps it for as long as this value is used.

    package static let words = 1 + SlidingWindow.words + InFlightAges.words

    private let word: SharedWord
    private let window: SlidingWindow
    private let ages: InFlightAges
    private let openTime: UInt64
    private let probeDeadline: UInt64
    private let rampTime: UInt64
    private let slowThreshold: UInt64
    private let probes: Int
    private let minimum: UInt64
    /// Above one where the breaker does not look at it.
    private let slowRatio: Double
    private let errorRatio: Double
    private let errorCount: UInt64
    private let watchesSlow: Bool

    package init(_ breaker: CircuitBreaker, words: SharedWord) {
        word = words
        window = SlidingWindow(words + 1, milliseconds: breaker.window)
        ages = InFlightAges(words + 1 + SlidingWindow.words, milliseconds: breaker.slowThreshold)
        openTime = UInt64(breaker.openTime)
        probeDeadline = UInt64(breaker.probeDeadline)
        rampTime = UInt64(breaker.rampTime)
        slowThreshold = UInt64(breaker.slowThreshold) * 1_000_000
        probes = breaker.probes
        minimum = UInt64(breaker.minimumRequests)
        slowRatio = breaker.slowRatio ?? 2
        errorRatio = breaker.errorRatio ?? 2
        errorCount = breaker.errorCount.map(UInt64.init) ?? .max
        watchesSlow = breaker.slowRatio != nil
    }

    /// What a request that passed keeps until its end.
    package struct Ticket: BitwiseCopyable, Sendable {
        fileprivate var epoch: UInt8
        fileprivate var isProbe: Bool

        package init() {
            epoch = 0
            isProbe = false
        }
    }

    package enum Outcome: Sendable, BitwiseCopyable {
        case good, error
        /// Nobody knows: the client gave up, or another policy refused the request.
        case none
    }

    package enum Phase: Hashable, Sendable { case closed, open, halfOpen, ramping }

    package func phase() -> Phase {
        switch load().phase {
        case .closed: .closed
        case .open: .open
        case .halfOpen: .halfOpen
        case .ramping: .ramping
        }
    }

    // MARK: - Admission

    /// - Parameter random: decides who passes while the breaker ramps.
    /// - Parameter ticket: set when the request passes; give it to ``finish(_:_:startedAt:now:)`` with the same time.
    package func admit(now: UInt64, random: UInt64, ticket: inout Ticket) -> Verdict {
        if watchesSlow {
            let overdue = ages.takeOverdue(now: now)
            if overdue > 0 { noteOverdue(overdue, now: now) }
        }
        let verdict = decide(now: now, random: random, ticket: &ticket)
        if watchesSlow, verdict == .pass {
            let overdue = ages.start(at: now)
            if overdue > 0 { noteOverdue(overdue, now: now) }
        }
        return verdict
    }

    @inline(__always)
    private func decide(now: UInt64, random: UInt64, ticket: inout Ticket) -> Verdict {
        let milliseconds = now / 1_000_000
        while true {
            let state = load()
            switch state.phase {
            case .closed:
                ticket.epoch = state.epoch
                ticket.isProbe = false
                return .pass
            case .ramping:
                if let verdict = decideRamping(state, milliseconds, random, &ticket) { return verdict }
            case .open:
                let over = state.since + openTime
                guard milliseconds >= over else { return .refuse((over - milliseconds) * 1_000_000) }
                let next = state.halfOpened(now: milliseconds)
                if exchange(state, next) { return passProbe(next, &ticket) }
            case .halfOpen:
                if milliseconds >= state.since + probeDeadline {
                    _ = exchange(state, state.opened(now: milliseconds))
                } else if let next = state.probing(limit: probes, now: milliseconds) {
                    if exchange(state, next) { return passProbe(next, &ticket) }
                } else {
                    return .refuse((state.since + probeDeadline - milliseconds) * 1_000_000)
                }
            }
        }
    }

    private func passProbe(_ state: BreakerState, _ ticket: inout Ticket) -> Verdict {
        ticket.epoch = state.epoch
        ticket.isProbe = true
        return .pass
    }

    private func decideRamping(
        _ state: BreakerState,
        _ milliseconds: UInt64,
        _ random: UInt64,
        _ ticket: inout Ticket
    ) -> Verdict? {
        let passed = milliseconds > state.since ? milliseconds - state.since : 0
        ticket.epoch = state.epoch
        ticket.isProbe = false
        if passed >= rampTime {
            return exchange(state, BreakerState(phase: .closed, epoch: state.epoch, since: milliseconds)) ? .pass : nil
        }
        let share = 0.1 + 0.9 * Double(passed) / Double(rampTime)
        return Double(random >> 11) * 0x1p-53 < share ? .pass : .refuse((rampTime - passed) * 1_000_000)
    }

    // MARK: - Results

    /// A request that passed is over.
    /// - Parameter start: the time at which it was admitted.
    package func finish(_ ticket: Ticket, _ outcome: Outcome, startedAt start: UInt64, now: UInt64) {
        let isNews = !watchesSlow || ages.end(startedAt: start)
        let isSlow = watchesSlow && now - start > slowThreshold
        if ticket.isProbe { return finishProbe(ticket, outcome, isSlow: isSlow, now: now) }
        guard outcome != .none else { return }
        let state = load()
        guard state.epoch == ticket.epoch, state.phase == .closed || state.phase == .ramping else { return }
        if isNews { window.add(.answers, now: now) }
        if isNews, isSlow { window.add(.slow, now: now) }
        if outcome == .error { window.add(.errors, now: now) }
        if outcome == .error || isNews && isSlow { openIfBad(state, now: now) }
    }

    private func finishProbe(_ ticket: Ticket, _ outcome: Outcome, isSlow: Bool, now: UInt64) {
        let milliseconds = now / 1_000_000
        while true {
            let state = load()
            guard state.phase == .halfOpen, state.epoch == ticket.epoch else { return }
            let next: BreakerState =
                switch outcome {
                case .none: state.probeAbandoned
                case .good where !isSlow:
                    state.probeSucceeded(limit: probes, ramps: rampTime > 0, now: milliseconds)
                case .good, .error: state.opened(now: milliseconds)
                }
            // Cleared before it closes, so that nothing of the bad time is counted.
            if next.phase == .closed || next.phase == .ramping { window.clear() }
            if exchange(state, next) { return }
        }
    }

    private func noteOverdue(_ count: UInt64, now: UInt64) {
        let state = load()
        guard state.phase == .closed || state.phase == .ramping else { return }
        window.add(.answers, count, now: now)
        window.add(.slow, count, now: now)
        openIfBad(state, now: now)
    }

    private func openIfBad(_ state: BreakerState, now: UInt64) {
        let sum = window.sum(now: now)
        guard sum.answers >= minimum else { return }
        let answers = Double(sum.answers)
        let isBad =
            Double(sum.slow) > slowRatio * answers || Double(sum.errors) > errorRatio * answers
            || sum.errors > errorCount || slowRatio == 1 && sum.slow >= sum.answers
            || errorRatio == 1 && sum.errors >= sum.answers
        if isBad { _ = exchange(state, state.opened(now: now / 1_000_000)) }
    }

    // MARK: - The word

    @inline(__always) private func load() -> BreakerState {
        BreakerState(word: word.pointee.load(ordering: .acquiring))
    }

    @inline(__always)
    private func exchange(_ state: BreakerState, _ next: BreakerState) -> Bool {
        word.pointee.compareExchange(expected: state.word, desired: next.word, ordering: .acquiringAndReleasing)
            .exchanged
    }
}
