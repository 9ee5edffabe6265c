import Synchronization

/// Counts requests under way by when they started, so that those that take too long are noticed before they end.
///
/// Sixteen buckets of an eighth of the threshold each. A request is told overdue at most an eighth after the threshold, once; its end is
/// then no news any more.
struct InFlightAges: BitwiseCopyable {
    static let buckets = 16
    /// The buckets, and when to look for overdue ones again.
    static let words = buckets + 1

    private let words: SharedWord
    /// Nanoseconds.
    private let threshold: UInt64
    private let width: UInt64

    init(_ words: SharedWord, milliseconds: Int) {
        self.words = words
        threshold = UInt64(milliseconds) * 1_000_000
        width = threshold / 8
    }

    /// - Returns: requests that were found overdue because their bucket is needed again.
    func start(at time: UInt64) -> UInt64 {
        let (word, stamp) = place(time)
        var value = word.pointee.load(ordering: .relaxed)
        while true {
            let isOwn = value >> 32 == stamp
            let next = isOwn ? value + 1 : stamp << 32 | 1
            let (exchanged, found) = word.pointee.weakCompareExchange(
                expected: value,
                desired: next,
                ordering: .relaxed
            )
            if exchanged { return isOwn ? 0 : value & 0xFFFF_FFFF }
            value = found
        }
    }

    /// - Returns: `false` when the request was told overdue before.
    func end(startedAt time: UInt64) -> Bool {
        let (word, stamp) = place(time)
        var value = word.pointee.load(ordering: .relaxed)
        while value >> 32 == stamp, value & 0xFFFF_FFFF > 0 {
            let (exchanged, found) = word.pointee.weakCompareExchange(
                expected: value,
                desired: value - 1,
                ordering: .relaxed
            )
            if exchanged { return true }
            value = found
        }
        return false
    }

    /// Requests that have become overdue since the last time. Looks once per bucket's width, whoever comes first.
    @inline(__always)
    func takeOverdue(now: UInt64) -> UInt64 {
        let next = words[Self.buckets].load(ordering: .relaxed)
        guard now >= next else { return 0 }
        let isMine = words[Self.buckets].compareExchange(expected: next, desired: now + width, ordering: .relaxed)
        return isMine.exchanged ? sweep(now: now) : 0
    }

    // MARK: - Private

    private func place(_ time: UInt64) -> (SharedWord, UInt64) {
        let number = time / width
        return (words + Int(number % UInt64(Self.buckets)), number & 0xFFFF_FFFF)
    }

    private func sweep(now: UInt64) -> UInt64 {
        guard now > threshold else { return 0 }
        // Buckets before this one hold only requests that started longer ago than the threshold.
        let oldest = UInt32(truncatingIfNeeded: (now - threshold) / width)
        var overdue: UInt64 = 0
        for bucket in 0..<Self.buckets {
            var value = words[bucket].load(ordering: .relaxed)
            while value & 0xFFFF_FFFF > 0 {
                let age = oldest &- UInt32(truncatingIfNeeded: value >> 32)
                guard age > 0, age < 1 << 31 else { break }
                let (exchanged, found) = words[bucket].weakCompareExchange(
                    expected: value,
                    desired: value & ~0xFFFF_FFFF,
                    ordering: .relaxed
                )
                if exchanged { overdue += value & 0xFFFF_FFFF }
                if exchanged { break }
                value = found
            }
        }
        return overdue
    }
}
