import Synchronization

/// Counts answers, slow ones and errors over the last tenths of a window, on any number of threads without locks.
///
/// Ten buckets of a tenth each in a ring: the sum covers the last nine whole tenths and the one that runs. Each word carries the number
/// of its tenth, so that a bucket need not be cleared before it is used again.
struct SlidingWindow: BitwiseCopyable {
    static let buckets = 10
    static let words = buckets * Count.kinds

    enum Count: Int {
        case answers, slow, errors
        static let kinds = 3
    }

    struct Sum: BitwiseCopyable, Equatable {
        var answers: UInt64 = 0
        var slow: UInt64 = 0
        var errors: UInt64 = 0
    }

    private let words: SharedWord
    /// Nanoseconds.
    private let tenth: UInt64

    init(_ words: SharedWord, milliseconds: Int) {
        self.words = words
        tenth = UInt64(milliseconds) * 100_000
    }

    @inline(__always)
    func add(_ count: Count, _ number: UInt64 = 1, now: UInt64) {
        let stamp = Stamp(now / tenth)
        let word = words + Int(stamp.tenth % UInt64(Self.buckets)) * Count.kinds + count.rawValue
        var value = word.pointee.load(ordering: .relaxed)
        while true {
            // A word of a later tenth comes from a thread whose clock is ahead: this count is too old to matter.
            let held = Stamp(word: value)
            if held.isNewer(than: stamp) { return }
            let next = held == stamp ? value + number : stamp.word + number
            let (exchanged, found) = word.pointee.weakCompareExchange(
                expected: value,
                desired: next,
                ordering: .relaxed
            )
            if exchanged { return }
            value = found
        }
    }

    func sum(now: UInt64) -> Sum {
        let stamp = Stamp(now / tenth)
        var sum = Sum()
        for bucket in 0..<Self.buckets {
            let base = words + bucket * Count.kinds
            sum.answers += Self.count(base[Count.answers.rawValue].load(ordering: .relaxed), within: stamp)
            sum.slow += Self.count(base[Count.slow.rawValue].load(ordering: .relaxed), within: stamp)
            sum.errors += Self.count(base[Count.errors.rawValue].load(ordering: .relaxed), within: stamp)
        }
        return sum
    }

    /// Counts that others add at this moment may be lost or stay.
    func clear() {
        for index in 0..<Self.words { words[index].store(0, ordering: .relaxed) }
    }

    // MARK: - Private

    private static func count(_ word: UInt64, within stamp: Stamp) -> UInt64 {
        let age = stamp.age(of: Stamp(word: word))
        return age < UInt32(buckets) ? word & 0xFFFF_FFFF : 0
    }

    /// The number of a tenth, in the upper half of a word.
    private struct Stamp: Equatable {
        let tenth: UInt64

        init(_ tenth: UInt64) { self.tenth = tenth & 0xFFFF_FFFF }
        init(word: UInt64) { tenth = word >> 32 }

        var word: UInt64 { tenth << 32 }

        func age(of other: Stamp) -> UInt32 {
            UInt32(truncatingIfNeeded: tenth) &- UInt32(truncatingIfNeeded: other.tenth)
        }

        func isNewer(than other: Stamp) -> Bool { self != other && age(of: other) < 1 << 16 }
    }
}
