/// Buckets for latencies: eight to each doubling, from 64 µs to over a minute, so a bucket's bounds differ by at most an eighth.
enum LatencyHistogram {
    static let buckets = 168

    /// - Parameter nanoseconds: what is below or above goes into the first or last bucket.
    static func bucket(of nanoseconds: UInt64) -> Int {
        let microseconds = nanoseconds / 1000
        guard microseconds >= 64 else { return 0 }
        let octave = 63 - microseconds.leadingZeroBitCount
        let part = Int(microseconds >> UInt64(octave - 3)) & 7
        return min((octave - 6) * 8 + part, buckets - 1)
    }

    /// The middle of a bucket, in seconds.
    static func seconds(of bucket: Int) -> Double {
        let octave = Double(1 << (bucket / 8 + 6)) / 1_000_000
        return octave * (1 + (Double(bucket % 8) + 0.5) / 8)
    }
}
