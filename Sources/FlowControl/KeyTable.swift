import Synchronization

/// One word of state for each of many keys, in memory of fixed size, without locks.
///
/// Seven slots and one overflow word form a set; a key's hash names its set. A key that finds no slot free shares the set's overflow word
/// with all others that found none, so a flood of made-up keys cannot get round a limit: it only makes late-comers share one. A slot
/// whose state says nothing any more is free for the next key.
///
/// The bound of the rule holds for each key exactly, however threads interleave, because
/// - a slot changes hands only through the mark ``SlotRule/claimed(from:)``, which nobody can mistake for a state that was seen before,
/// - one key at a time is entered into a set, so that none stands in two slots; who finds the set busy takes the overflow word, and
/// - a new slot starts with what the overflow word holds; who has used the overflow word looks afterwards whether the key has got a slot
///   meanwhile, and asks there too.
package struct KeyTable: BitwiseCopyable, @unchecked Sendable {
    // Safe to share: every word is an atomic; whoever made the memory keeps it for as long as the table is used.

    static let ways = 7
    /// Two cache lines: seven keys and the mark of being changed, seven values and the overflow word.
    static let wordsPerSet = 16
    private static let busy = ways
    private static let values = ways + 1
    private static let overflow = 2 * ways + 1

    private let words: SharedWord
    private let mask: UInt64

    /// Words of memory, zero at first, for at least `keys` keys.
    package static func words(keys: Int) -> Int {
        var sets = 1
        while sets * ways < keys { sets *= 2 }
        return sets * wordsPerSet
    }

    package init(_ words: SharedWord, keys: Int) {
        self.words = words
        mask = UInt64(Self.words(keys: keys) / Self.wordsPerSet - 1)
    }

    /// Where a request was counted.
    struct Place: BitwiseCopyable {
        var verdict: Verdict
        /// Index of the word among the table's.
        var word: UInt32
        /// What the request left there.
        var value: UInt64
    }

    @inline(__always) subscript(word: UInt32) -> SharedWord { words + Int(word) }

    /// - Parameter hash: of the key, seeded.
    @inline(__always)
    func admit<Rule: SlotRule>(_ hash: UInt64, _ rule: Rule) -> Place {
        let tag = hash | 1  // zero marks an empty slot
        let set = Int(hash >> 8 & mask) * Self.wordsPerSet
        while true {
            if let way = way(of: tag, in: set) {
                if let place = useSlot(set, way, tag, rule) { return place }
                continue
            }
            switch enter(tag, set, rule) {
            case .entered(let place): return place
            case .isThere: continue
            case .noRoom: if let place = useOverflow(tag, set, rule) { return place }
            }
        }
    }

    // MARK: - Private

    @inline(__always)
    private func way(of tag: UInt64, in set: Int) -> Int? {
        for way in 0..<Self.ways where words[set + way].load(ordering: .sequentiallyConsistent) == tag { return way }
        return nil
    }

    /// - Returns: `nil` when others got in between.
    @inline(__always)
    private func useSlot<Rule: SlotRule>(_ set: Int, _ way: Int, _ tag: UInt64, _ rule: Rule) -> Place? {
        switch settled(set, way, tag, rule) {
        case .value(let value): exchange(set + Self.values + way, value, rule)
        case .gone: nil
        case .unknown: Place(verdict: .refuse(0), word: UInt32(set + Self.overflow), value: 0)
        }
    }

    private enum Settled {
        case value(UInt64)
        /// The slot belongs to another key.
        case gone
        /// The thread that gives the slot to this key or away was stopped in the middle of that.
        case unknown
    }

    /// The value of a slot that belongs to a key. Changing hands takes a few instructions; nobody is waited for longer than that.
    @inline(__always)
    private func settled<Rule: SlotRule>(_ set: Int, _ way: Int, _ tag: UInt64, _ rule: Rule) -> Settled {
        for _ in 0..<100 {
            let value = words[set + Self.values + way].load(ordering: .sequentiallyConsistent)
            guard words[set + way].load(ordering: .sequentiallyConsistent) == tag else { return .gone }
            if !rule.isClaimed(value) { return .value(value) }
        }
        return .unknown
    }

    @inline(__always)
    private func exchange<Rule: SlotRule>(_ index: Int, _ value: UInt64, _ rule: Rule) -> Place? {
        let step = rule.step(from: value)
        let place = Place(verdict: step.verdict, word: UInt32(index), value: step.next)
        if step.verdict.isRefusal { return place }
        let (exchanged, _) = words[index].compareExchange(
            expected: value,
            desired: step.next,
            ordering: .sequentiallyConsistent
        )
        return exchanged ? place : nil
    }

    private func useOverflow<Rule: SlotRule>(_ tag: UInt64, _ set: Int, _ rule: Rule) -> Place? {
        let index = set + Self.overflow
        let value = words[index].load(ordering: .acquiring)
        guard var place = exchange(index, value, rule) else { return nil }
        if place.verdict.isRefusal { return place }
        guard let way = way(of: tag, in: set) else { return place }
        switch settled(set, way, tag, rule) {
        case .gone: return place
        case .value:
            rule.undo(words + index)
            return nil
        case .unknown:
            rule.undo(words + index)
            place.verdict = .refuse(0)
            return place
        }
    }

    private enum Entry {
        case entered(Place)
        case isThere
        /// None of the slots is free, or another key is being entered.
        case noRoom
    }

    private func enter<Rule: SlotRule>(_ tag: UInt64, _ set: Int, _ rule: Rule) -> Entry {
        let busy = words + set + Self.busy
        guard busy.pointee.compareExchange(expected: 0, desired: 1, ordering: .acquiring).exchanged else {
            return .noRoom
        }
        defer { busy.pointee.store(0, ordering: .releasing) }
        guard way(of: tag, in: set) == nil else { return .isThere }
        for way in 0..<Self.ways {
            let value = words[set + Self.values + way].load(ordering: .acquiring)
            guard rule.isFree(value), let claimed = claim(set + Self.values + way, value, rule) else { continue }
            return give(way, claimed, to: tag, set, rule).map { .entered($0) } ?? .noRoom
        }
        return .noRoom
    }

    private func claim<Rule: SlotRule>(_ index: Int, _ value: UInt64, _ rule: Rule) -> UInt64? {
        let claimed = rule.claimed(from: value)
        let claim = words[index].compareExchange(expected: value, desired: claimed, ordering: .sequentiallyConsistent)
        return claim.exchanged ? claimed : nil
    }

    /// Makes a claimed slot the key's and counts the request there.
    private func give<Rule: SlotRule>(
        _ way: Int,
        _ claimed: UInt64,
        to tag: UInt64,
        _ set: Int,
        _ rule: Rule
    ) -> Place? {
        let index = set + Self.values + way
        words[set + way].store(tag, ordering: .sequentiallyConsistent)
        let overflow = words[set + Self.overflow].load(ordering: .sequentiallyConsistent)
        guard let start = rule.start(claimed: claimed, overflow: overflow) else {
            words[set + way].store(0, ordering: .sequentiallyConsistent)
            words[index].store(rule.released(claimed: claimed), ordering: .sequentiallyConsistent)
            return nil
        }
        let step = rule.step(from: start)
        words[index].store(step.verdict.isRefusal ? start : step.next, ordering: .sequentiallyConsistent)
        return Place(verdict: step.verdict, word: UInt32(index), value: step.next)
    }
}

/// How one word limits one key.
protocol SlotRule: BitwiseCopyable {
    func step(from value: UInt64) -> Step
    /// The value says the same as that of a key that was never seen.
    func isFree(_ value: UInt64) -> Bool
    /// A mark that is different each time.
    func claimed(from value: UInt64) -> UInt64
    func isClaimed(_ value: UInt64) -> Bool
    /// Where a new key starts that may have been counted in the overflow word; `nil` when it has to stay there for now.
    func start(claimed: UInt64, overflow: UInt64) -> UInt64?
    /// A free value after a claim that came to nothing.
    func released(claimed: UInt64) -> UInt64
    /// Takes a passed step back from a word that others may have changed since.
    func undo(_ word: SharedWord)
}
