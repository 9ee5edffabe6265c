package import Foundation

/// What a load test found out. Encoded as JSON it is a contract of the command line: fields are added, never changed.
package struct LoadReport: Codable, Sendable {
    package struct Class: Codable, Sendable {
        package var name: String
        package var summary: LoadSummary
    }

    package struct Phase: Codable, Sendable, Hashable {
        package var name: String
        /// Requests per second at its start and end; absent in a closed test.
        package var startRate: Double?
        package var endRate: Double?
        /// Seconds since the start of the test.
        package var start: Double
        package var duration: Double
    }

    package struct Verdict: Codable, Sendable, Hashable {
        package var objective: String
        package var measured: String
        package var isMet: Bool
    }

    package var target: String
    package var model: LoadPlan.Model
    package var startedAt: Date
    /// Seconds during which requests were offered and counted.
    package var duration: Double
    package var wasStopped: Bool
    package var phases: [Phase]
    package var total: LoadSummary
    package var classes: [Class]
    package var seconds: [LoadSecond]
    package var verdicts: [Verdict]
    /// Processor time of the generator itself, seconds. Near the duration times the threads, the generator was the limit.
    package var generatorTime: Double
    package var threads: Int
    /// Why connections could not be opened, where that is known.
    package var problem: String?
    package var knee: KneeReport?

    package var isMet: Bool { verdicts.allSatisfy(\.isMet) }

    /// Objectives judged over the whole test.
    package mutating func judge(_ objectives: [Objective]) {
        verdicts = objectives.map { objective in
            let summary = classes.first { $0.name == objective.className }?.summary ?? total
            return objective.verdict(on: summary)
        }
    }
}

/// The sums over a stretch of time, of one class or of all.
package struct LoadSummary: Codable, Sendable {
    package struct Latency: Codable, Sendable, Hashable {
        /// Milliseconds from the intended send time, of answers as wanted and of requests given up as too slow.
        package var count: UInt64
        package var min, mean, p50, p75, p90, p95, p99, p999, max: Double
    }

    package var offered: UInt64
    package var ended: UInt64
    package var good: UInt64
    /// Requests by how they ended; see ``Outcome/label``. Only those that happened.
    package var outcomes: [String: UInt64]
    package var offeredRate: Double
    /// Answers as wanted and in time, per second.
    package var goodput: Double
    package var latency: Latency
    package var connections: UInt64
    package var resent: UInt64
    package var receivedBytes: UInt64
    /// Pairs of a share of the requests and the milliseconds that so many did not exceed.
    package var distribution: [[Double]]?

    /// Requests that were not answered as wanted, whether or not in time.
    package var failed: UInt64 { ended - good - (outcomes[Outcome.late.label] ?? 0) }
    package var errorShare: Double { ended == 0 ? 0 : Double(failed) / Double(ended) }

    /// - Parameter duration: seconds to divide by.
    init(_ tally: Tally, duration: Double, withDistribution: Bool = false) {
        offered = tally.offered - min(tally.offered, tally.withdrawn)
        ended = tally.ended
        good = tally.count(of: .good)
        outcomes = Dictionary(
            uniqueKeysWithValues: Outcome.allCases.compactMap { outcome in
                tally.count(of: outcome) > 0 ? (outcome.label, tally.count(of: outcome)) : nil
            }
        )
        offeredRate = Double(offered) / duration
        goodput = Double(good) / duration
        latency = Latency(tally.latency)
        connections = tally.connections
        resent = tally.resent
        receivedBytes = tally.receivedBytes
        distribution = withDistribution ? Self.distribution(of: tally.latency) : nil
    }

    private static func distribution(of histogram: LatencyHistogram) -> [[Double]] {
        guard histogram.count > 0 else { return [] }
        var shares: [Double] = (0..<20).map { Double($0) * 0.05 } + [0.975]
        var rest = 0.01
        while rest * Double(histogram.count) >= 1, rest > 1e-7 {
            shares += [1 - rest, 1 - rest / 2, 1 - rest / 4]
            rest /= 10
        }
        shares.append(1)
        return zip(shares, histogram.values(at: shares)).map { [$0, Double($1) / 1000] }
    }
}

extension LoadSummary.Latency {
    init(_ histogram: LatencyHistogram) {
        let values = histogram.values(at: [0.5, 0.75, 0.9, 0.95, 0.99, 0.999]).map { Double($0) / 1000 }
        count = histogram.count
        (min, max) = (Double(histogram.minimum) / 1000, Double(histogram.maximum) / 1000)
        mean = histogram.mean / 1000
        (p50, p75, p90, p95, p99, p999) = (values[0], values[1], values[2], values[3], values[4], values[5])
    }
}

/// One second of a test. Requests are counted where they were offered and where they ended, which may be different seconds.
package struct LoadSecond: Codable, Sendable {
    package var number: Int
    package var total: LoadSummary
    package var classes: [LoadReport.Class]
}
