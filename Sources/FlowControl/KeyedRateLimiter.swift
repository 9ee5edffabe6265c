import Synchronization

/// A ``RateLimiter`` for each key of a ``KeyTable``; its bound holds for each key. When a slot
/// changes hands, the bound holds up to the age of the clock readings, as if the interval were longer by that.
package struct KeyedRateLimiter: BitwiseCopyable, Sendable {
    private let limiter: RateLimiter
    private let table: KeyTable

    package static func words(_ limit: RateLimit) -> Int { KeyTable.words(keys: limit.maximumKeys) }

    package init(_ limit: RateLimit, words: SharedWord) {
        limiter = RateLimiter(limit)
        table = KeyTable(words, keys: limit.maximumKeys)
    }

    /// An admission that can be given back.
    package struct Ticket: BitwiseCopyable, Sendable {
        package var verdict: Verdict
        fileprivate var word: UInt32
        fileprivate var value: UInt64
    }

    package func admit(_ hash: UInt64, now: UInt64) -> Ticket {
        let place = table.admit(hash, Rule(limiter: limiter, now: now))
        return Ticket(verdict: place.verdict, word: place.word, value: place.value)
    }

    /// Undoes an admission whose request was refused for another reason, unless others were counted there since.
    package func giveBack(_ ticket: Ticket) {
        _ = table[ticket.word].pointee.compareExchange(
            expected: ticket.value,
            desired: ticket.value - limiter.interval,
            ordering: .relaxed
        )
    }

    /// The word is a theoretical arrival time. One that has passed says nothing, and times only grow, so no value comes back.
    private struct Rule: SlotRule {
        let limiter: RateLimiter
        let now: UInt64

        func step(from value: UInt64) -> Step { limiter.step(from: value, now: now) }
        func isFree(_ value: UInt64) -> Bool { value <= now }
        func claimed(from value: UInt64) -> UInt64 { UInt64.max }
        func isClaimed(_ value: UInt64) -> Bool { value == UInt64.max }
        func start(claimed: UInt64, overflow: UInt64) -> UInt64? { max(overflow, now) }
        func released(claimed: UInt64) -> UInt64 { now }
        /// Left as it is: the key is then charged twice, which errs on the safe side.
        func undo(_ word: SharedWord) {}
    }
}
