import Synchronization

/// Counts requests in flight.
///
/// Bound: never more than ``ConcurrencyLimit/maximum`` at once, and a request is refused only when that many are in flight.
package struct ConcurrencyLimiter: BitwiseCopyable, Sendable {
    private let maximum: UInt64

    package init(_ limit: ConcurrencyLimit) { maximum = UInt64(limit.maximum) }

    package func admit(_ word: SharedWord) -> Bool {
        var count = word.pointee.load(ordering: .relaxed)
        while count < maximum {
            let (exchanged, found) = word.pointee.weakCompareExchange(
                expected: count,
                desired: count + 1,
                ordering: .relaxed
            )
            if exchanged { return true }
            count = found
        }
        return false
    }

    package func release(_ word: SharedWord) { word.pointee.wrappingSubtract(1, ordering: .relaxed) }
}

/// A ``ConcurrencyLimiter`` for each key of a ``KeyTable``; its bound holds for each key, and keys that share an overflow word share one
/// limit.
package struct KeyedConcurrencyLimiter: BitwiseCopyable, Sendable {
    private let rule: Rule
    private let table: KeyTable

    package static func words(_ limit: ConcurrencyLimit) -> Int { KeyTable.words(keys: limit.maximumKeys) }

    package init(_ limit: ConcurrencyLimit, words: SharedWord) {
        rule = Rule(maximum: UInt64(limit.maximum))
        table = KeyTable(words, keys: limit.maximumKeys)
    }

    /// - Returns: what ``release(_:)`` takes when the request is over; `nil` for a request that does not pass.
    package func admit(_ hash: UInt64) -> UInt32? {
        let place = table.admit(hash, rule)
        return place.verdict == .pass ? place.word : nil
    }

    package func release(_ ticket: UInt32) { rule.undo(table[ticket]) }

    /// The low half of the word counts requests, the high half counts the keys that the slot has had, so that no value comes back when
    /// the slot changes hands.
    private struct Rule: SlotRule {
        let maximum: UInt64
        private static let count: UInt64 = 0xFFFF_FFFF

        func step(from value: UInt64) -> Step {
            value & Self.count < maximum
                ? Step(verdict: .pass, next: value + 1) : Step(verdict: .refuse(0), next: value)
        }

        func isFree(_ value: UInt64) -> Bool { value & Self.count == 0 }
        func claimed(from value: UInt64) -> UInt64 { value &+ (1 << 32) | Self.count }
        func isClaimed(_ value: UInt64) -> Bool { value & Self.count == Self.count }
        /// Requests of this key may be under way in the overflow word, and those cannot move.
        func start(claimed: UInt64, overflow: UInt64) -> UInt64? {
            overflow & Self.count == 0 ? claimed & ~Self.count : nil
        }
        func released(claimed: UInt64) -> UInt64 { claimed & ~Self.count }
        func undo(_ word: SharedWord) { word.pointee.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
    }
}
