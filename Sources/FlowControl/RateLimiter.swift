import Synchronization

/// The generic cell rate algorithm (ITU-T I.371), times in nanoseconds of a monotonic clock.
///
/// The state is one word: the theoretical arrival time (TAT), when the next request is due if requests come evenly. A request passes when
/// that is at most `burst` intervals ahead, and puts it off by one interval.
///
/// Bound: with the interval T, in any interval of length t at most `t / T + burst + 1` requests pass, whatever the number of threads and
/// however their clock readings are ordered. For of n requests that passed in the order of their exchanges of the word, the first set it
/// to at least t₁ + T, each further one added at least T, and the last found it at most burst · T after tₙ; so
/// t₁ + (n − 1) · T ≤ tₙ + burst · T. A request that has to wait counts at the time when its turn comes. At most `maximumWait / T + 1`
/// requests wait.
package struct RateLimiter: BitwiseCopyable, Sendable {
    /// Nanoseconds between evenly spaced requests; rounded up, so that the rate is never above what was asked for.
    let interval: UInt64
    /// How far ahead of its time a request may come.
    let tolerance: UInt64
    let maximumWait: UInt64

    package init(_ limit: RateLimit) {
        interval = Self.interval(requests: limit.requests, per: limit.per)
        tolerance = interval * UInt64(limit.burst)
        maximumWait = UInt64(limit.maximumWait) * 1_000_000
    }

    static func interval(requests: Int, per: Int) -> UInt64 {
        (UInt64(per) * 1_000_000 + UInt64(requests) - 1) / UInt64(requests)
    }

    package func admit(_ word: SharedWord, now: UInt64) -> Verdict {
        var tat = word.pointee.load(ordering: .relaxed)
        while true {
            let step = step(from: tat, now: now)
            if step.verdict.isRefusal { return step.verdict }
            let (exchanged, found) = word.pointee.weakCompareExchange(
                expected: tat,
                desired: step.next,
                ordering: .relaxed
            )
            if exchanged { return step.verdict }
            tat = found
        }
    }

    /// Undoes an admission whose request was refused for another reason. What has passed meanwhile keeps its place. Where requests wait,
    /// the turn is left unused: others have got later ones meanwhile, and the next request must not get one of theirs.
    ///
    /// So it is after more than one interval: until then no other request can have found the state in the past and begun it anew, in which
    /// case the interval taken away would be that request's.
    /// - Parameters:
    ///   - admitted: the time that ``admit(_:now:)`` was given.
    ///   - now: read after it returned.
    package func giveBack(_ word: SharedWord, admitted: UInt64, now: UInt64) {
        guard maximumWait == 0, now <= admitted + interval else { return }
        word.pointee.wrappingSubtract(interval, ordering: .relaxed)
    }

    @inline(__always)
    func step(from tat: UInt64, now: UInt64) -> Step {
        Self.step(from: tat, now: now, interval: interval, tolerance: tolerance, maximumWait: maximumWait)
    }

    @inline(__always)
    static func step(
        from tat: UInt64,
        now: UInt64,
        interval: UInt64,
        tolerance: UInt64,
        maximumWait: UInt64
    ) -> Step {
        let due = max(tat, now)
        let ahead = due - now
        let wait = ahead > tolerance ? ahead - tolerance : 0
        guard wait <= maximumWait else { return Step(verdict: .refuse(wait - maximumWait), next: tat) }
        return Step(verdict: wait == 0 ? .pass : .wait(wait), next: due + interval)
    }
}
