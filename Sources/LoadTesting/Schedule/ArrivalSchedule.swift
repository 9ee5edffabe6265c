import Glibc

/// When the requests of one class are due. Pure: phases in, moments out.
///
/// Each moment is computed from the arrival's own position in the whole schedule, never from the moment before it, so nothing drifts
/// however long the test runs. `n` arrivals of a phase with a constant rate lie at its start plus `n / rate`.
struct ArrivalSchedule: Sendable {
    struct Segment: BitwiseCopyable, Sendable {
        /// Arrivals before the segment, and up to its end; whole arrivals lie where these pass an integer.
        var first: Double
        var last: Double
        /// Nanoseconds since the start of the test.
        var start: UInt64
        /// Arrivals per nanosecond at the start, and its change per nanosecond.
        var rate: Double
        var slope: Double
    }

    let segments: [Segment]

    init(_ phases: [LoadPhase]) {
        var area: Int128 = 0  // in half thousandths of an arrival per second times nanoseconds, so that sums are exact
        var start = 0
        var segments: [Segment] = []
        for phase in phases {
            let (from, to) = (phase.start.thousandths, phase.end.thousandths)
            let before = area
            area += Int128(from + to) * Int128(phase.duration)
            segments.append(
                Segment(
                    first: Double(before) / 2e12,
                    last: Double(area) / 2e12,
                    start: UInt64(start),
                    rate: Double(from) / 1e12,
                    slope: Double(to - from) / 1e12 / Double(max(1, phase.duration))
                )
            )
            start += phase.duration
        }
        self.segments = segments.filter { $0.last > $0.first }
    }

    /// Arrivals with constant spacing.
    var total: Int { Int((segments.last?.last ?? 0).rounded(.up)) }
}

/// Walks through a schedule: every `stride`-th arrival from `offset`, so that several threads share one schedule.
struct ArrivalCursor: BitwiseCopyable {
    private let segments: UnsafeMutablePointer<ArrivalSchedule.Segment>
    private let count: Int
    private var index = 0
    private var position: Double
    private let stride: Double
    private var randomState: UInt64
    private let isPoisson: Bool

    /// - Parameters:
    ///   - segments: must outlive the cursor.
    ///   - seed: of the random distances; zero for constant ones.
    init(_ segments: UnsafeMutablePointer<ArrivalSchedule.Segment>, count: Int, offset: Int, stride: Int, seed: UInt64)
    {
        self.segments = segments
        self.count = count
        self.stride = Double(stride)
        randomState = seed
        isPoisson = seed != 0
        position = Double(offset)
        if isPoisson {
            position = 0
            step()
        }
    }

    /// Nanoseconds from the start of the test to the next arrival, or `nil` when there is none left.
    @inline(__always)
    mutating func next() -> UInt64? {
        while index < count, position >= segments[index].last { index += 1 }
        guard index < count else { return nil }
        let time = Self.moment(of: position, in: segments[index])
        step()
        return time
    }

    @inline(__always)
    private static func moment(of position: Double, in segment: ArrivalSchedule.Segment) -> UInt64 {
        let distance = position - segment.first
        // The area under the ramp, rate * t + slope * t² / 2, solved for t in the form that also holds for a slope of zero.
        let square = segment.rate * segment.rate + 2 * segment.slope * distance
        let time = distance == 0 ? 0 : 2 * distance / (segment.rate + max(0, square).squareRoot())
        return segment.start + UInt64(time + 0.5)
    }

    @inline(__always)
    private mutating func step() {
        guard isPoisson else {
            position += stride
            return
        }
        randomState ^= randomState >> 12
        randomState ^= randomState << 25
        randomState ^= randomState >> 27
        let uniform = Double((randomState &* 0x2545_F491_4F6C_DD1D) >> 11) * 0x1p-53
        position -= stride * log(1 - uniform)
    }
}
