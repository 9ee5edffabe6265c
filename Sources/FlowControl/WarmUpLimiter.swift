import Synchronization

/// A rate limit whose rate grows with use: caches, pools and just-in-time compilers behind it need a while to take the full rate.
///
/// The rate is `full · (1/f + (1 − 1/f) · warmth)`. Warmth goes from 0 to 1 in ``WarmUp/time`` while the limit is used in full, falls at
/// the same speed while nothing comes, and stays at half use.
///
/// Bound: in any interval of length t, at most `r · t + burst + 1` requests pass, r being the highest rate in it; and t after the
/// end of a rest as long as the warm-up time, r is at most `full · (1/f + (1 − 1/f) · t / time)`.
package struct WarmUpLimiter: BitwiseCopyable, Sendable {
    private let limiter: RateLimiter
    private let burst: Double
    private let warmUpTime: UInt64
    private let coldShare: Double

    /// Words of state: the theoretical arrival time, and since when the limit would have to be used in full to be as warm as it is.
    package static let words = 2

    package init(_ limit: RateLimit, _ warmUp: WarmUp) {
        limiter = RateLimiter(limit)
        burst = Double(limit.burst)
        warmUpTime = UInt64(warmUp.time) * 1_000_000
        coldShare = 1 / warmUp.coldFactor
    }

    package func admit(_ words: SharedWord, now: UInt64) -> Verdict {
        var tat = words.pointee.load(ordering: .acquiring)
        while true {
            let interval = self.interval(words, tat: tat, now: now)
            let step = RateLimiter.step(
                from: tat,
                now: now,
                interval: UInt64(interval.rounded(.up)),
                tolerance: UInt64(interval * burst),
                maximumWait: limiter.maximumWait
            )
            if step.verdict.isRefusal { return step.verdict }
            // Before the exchange: whoever sees this request's mark must see the rate that it leaves behind.
            if now > tat { cool(words + 1, by: now - tat, now: now) }
            let (exchanged, found) = words.pointee.weakCompareExchange(
                expected: tat,
                desired: step.next,
                ordering: .acquiringAndReleasing
            )
            if exchanged { return step.verdict }
            tat = found
        }
    }

    /// As ``RateLimiter/giveBack(_:admitted:now:)``; gives back no more than an interval of the full rate.
    package func giveBack(_ words: SharedWord, admitted: UInt64, now: UInt64) {
        limiter.giveBack(words, admitted: admitted, now: now)
    }

    /// The rate in force, as a part of the full one.
    package func share(_ words: SharedWord, now: UInt64) -> Double {
        let tat = words.pointee.load(ordering: .relaxed)
        return Double(limiter.interval) / interval(words, tat: tat, now: now)
    }

    // MARK: - Private

    private func interval(_ words: SharedWord, tat: UInt64, now: UInt64) -> Double {
        let coldSince = words[1].load(ordering: .relaxed)
        let rest = now > tat ? now - tat : 0
        let since = Self.cooled(coldSince, by: rest, now: now, warmUpTime: warmUpTime)
        let warmth = min(1, Double(now - since) / Double(warmUpTime))
        return Double(limiter.interval) / (coldShare + (1 - coldShare) * warmth)
    }

    /// A rest is counted twice when two requests race to end it; that errs on the cold side.
    private func cool(_ word: SharedWord, by rest: UInt64, now: UInt64) {
        var since = word.pointee.load(ordering: .relaxed)
        while true {
            let cooled = Self.cooled(since, by: rest, now: now, warmUpTime: warmUpTime)
            guard cooled > since else { return }
            let (exchanged, found) = word.pointee.weakCompareExchange(
                expected: since,
                desired: cooled,
                ordering: .relaxed
            )
            if exchanged { return }
            since = found
        }
    }

    /// Before the rest, warmth was `min(1, (now − rest − since) / time)`; the rest takes `rest / time` of it.
    private static func cooled(_ since: UInt64, by rest: UInt64, now: UInt64, warmUpTime: UInt64) -> UInt64 {
        let warmest = now + rest > warmUpTime ? now + rest - warmUpTime : 0
        return min(now, max(since + 2 * rest, warmest))
    }
}
