import Testing

@testable import LoadTesting

struct LatencyHistogramTests {
    @Test(arguments: [0, 1, 2047, 2048, 2049, 4095, 4096, 123_456, 3_599_999_999] as [UInt64])
    func keepsThreeDigitsOfEveryValue(value: UInt64) {
        var histogram = LatencyHistogram()
        histogram.record(value)
        histogram.record(value + value / 2 + 1)
        let found = histogram.values(at: [0, 0.5])
        #expect(found[0] == found[1])
        #expect(found[0] >= value)
        #expect(Double(found[0] - value) <= Double(value) / 1000)
    }

    @Test func percentilesAreThoseOfTheSortedValues() {
        var state: UInt64 = 88
        let values = (0..<20_000).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 40) * (state >> 33 & 63)
        }
        var histogram = LatencyHistogram()
        for value in values { histogram.record(value) }
        let sorted = values.sorted()
        let shares = [0.0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.9999, 1]
        for (share, found) in zip(shares, histogram.values(at: shares)) {
            let exact = Double(sorted[max(0, Int((share * 20_000).rounded(.up)) - 1)])
            #expect(abs(Double(found) - exact) <= exact / 1000 + 1)
        }
        #expect(histogram.minimum == sorted.first)
        #expect(histogram.maximum == sorted.last)
    }

    @Test func whatIsTooLongCountsAsTheLongest() {
        var histogram = LatencyHistogram()
        histogram.record(.max)
        #expect(histogram.values(at: [1]) == [LatencyHistogram.longest])
    }

    @Test func sumsEqualRecordingEverythingInOne() {
        var (left, right, both) = (LatencyHistogram(), LatencyHistogram(), LatencyHistogram())
        for value in 0..<5000 as Range<UInt64> {
            if value % 3 == 0 { left.record(value * 7) } else { right.record(value * 7) }
            both.record(value * 7)
        }
        left.add(right)
        left.add(LatencyHistogram())
        let shares = [0.1, 0.5, 0.999]
        #expect(left.values(at: shares) == both.values(at: shares))
        #expect(left.mean == both.mean)
        #expect((left.count, left.minimum, left.maximum) == (both.count, both.minimum, both.maximum))
        #expect(LatencyHistogram().values(at: shares) == [0, 0, 0])
    }
}
