import Synchronization

/// Counts the requests of one route, so that another may stand back.
///
/// Bound: a request of the other route passes at a time only if in every interval that ends then, of length t below
/// ``memory``, at most `rate · t + burst + 1` requests of the counted route came. When those stop, requests pass again after at most ``memory``, however
/// many there were.
package struct RelatedMeter: BitwiseCopyable, Sendable {
    /// Nanoseconds.
    package static let memory: UInt64 = 1_000_000_000

    private let interval: UInt64
    private let tolerance: UInt64

    package init(_ limit: RelatedLimit) {
        interval = RateLimiter.interval(requests: limit.requests, per: limit.per)
        tolerance = interval * UInt64(limit.burst)
    }

    /// A request of the counted route has come.
    package func note(_ word: SharedWord, now: UInt64) {
        var tat = word.pointee.load(ordering: .relaxed)
        while true {
            let next = min(max(tat, now) + interval, now + tolerance + interval + Self.memory)
            guard next > tat else { return }
            let (exchanged, found) = word.pointee.weakCompareExchange(expected: tat, desired: next, ordering: .relaxed)
            if exchanged { return }
            tat = found
        }
    }

    /// Whether a request of the route that stands back passes.
    package func admit(_ word: SharedWord, now: UInt64) -> Verdict {
        let tat = word.pointee.load(ordering: .relaxed)
        let limit = now + tolerance + interval
        return tat <= limit ? .pass : .refuse(tat - limit)
    }
}
