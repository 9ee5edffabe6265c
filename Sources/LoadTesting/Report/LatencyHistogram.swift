/// Counts of times in microseconds, to three significant digits, in the layout of HdrHistogram (Gil Tene): below 2,048 each value has a
/// bucket, above each power of two is cut into 1,024.
///
/// Recording is an increment. Reading walks through all buckets once for all percentiles: it is done for every second of a test, on
/// the processors that are being measured.
struct LatencyHistogram: Sendable {
    /// Microseconds, an hour; what is longer counts as this.
    static let longest: UInt64 = 3_600_000_000
    private static let halfBits = 10
    private static let size = index(of: longest) + 1

    private var counts = [UInt64](repeating: 0, count: Self.size)
    private(set) var count: UInt64 = 0
    private var sum: UInt64 = 0
    private var least = UInt64.max
    private var most: UInt64 = 0

    /// Microseconds; zero where nothing was recorded.
    var minimum: UInt64 { count == 0 ? 0 : least }
    var maximum: UInt64 { most }
    var mean: Double { count == 0 ? 0 : Double(sum) / Double(count) }

    @inline(__always)
    mutating func record(_ microseconds: UInt64) {
        let value = min(microseconds, Self.longest)
        counts[Self.index(of: value)] &+= 1
        count &+= 1
        sum &+= value
        if value < least { least = value }
        if value > most { most = value }
    }

    mutating func add(_ other: LatencyHistogram) {
        guard other.count > 0 else { return }
        for index in counts.indices { counts[index] &+= other.counts[index] }
        count += other.count
        sum += other.sum
        least = min(least, other.least)
        most = max(most, other.most)
    }

    /// For each share, the time that so many of the values did not exceed, microseconds.
    /// - Parameter shares: from 0 to 1, rising.
    func values(at shares: [Double]) -> [UInt64] {
        guard count > 0 else { return shares.map { _ in 0 } }
        var values: [UInt64] = []
        var index = -1
        var seen: UInt64 = 0
        for share in shares {
            let rank = max(1, min(count, UInt64((share * Double(count)).rounded(.up))))
            while seen < rank {
                index += 1
                seen += counts[index]
            }
            values.append(min(max(Self.highest(in: index), least), most))
        }
        return values
    }

    /// The power of two gives the block of 1,024 buckets, the next ten bits the place in it.
    @inline(__always)
    private static func index(of value: UInt64) -> Int {
        let shift = max(0, 63 - halfBits - (value | 1).leadingZeroBitCount)
        return shift << halfBits + Int(value >> UInt64(shift))
    }

    private static func highest(in index: Int) -> UInt64 {
        let shift = max(0, index >> halfBits - 1)
        return UInt64(index - shift << halfBits + 1) << UInt64(shift) - 1
    }
}
