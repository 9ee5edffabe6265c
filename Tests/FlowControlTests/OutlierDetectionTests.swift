import Testing

@testable import FlowControl

struct OutlierDetectionTests {
    /// By reference, so that expectations may call what changes it.
    private final class Detection {
        private var value: OutlierDetection<Int>

        init(_ policy: OutlierPolicy, endpoints: [Int]) {
            value = OutlierDetection(policy)
            value.change(to: policy, endpoints: endpoints)
        }

        var ejectedCount: Int { value.ejectedCount }
        func change(to policy: OutlierPolicy, endpoints: [Int]) { value.change(to: policy, endpoints: endpoints) }
        func isEjected(_ id: Int) -> Bool { value.isEjected(id) }
        func sawErrorsInARow(_ id: Int, now: UInt64) -> Bool { value.sawErrorsInARow(id, now: now) }
        func compare(_ counts: [Int: OutlierDetection<Int>.Count], now: UInt64) -> [Int] {
            value.compare(counts, now: now)
        }
        func endEjections(now: UInt64) -> [Int] { value.endEjections(now: now) }
    }

    @Test func ejectsAndTakesBack() {
        let detection = Detection(OutlierPolicy(baseEjectionTime: 100), endpoints: Array(0..<3))
        #expect(detection.sawErrorsInARow(1, now: 1000))
        #expect(detection.isEjected(1))
        #expect(!detection.sawErrorsInARow(1, now: 1001))
        #expect(detection.endEjections(now: 1099).isEmpty)
        #expect(detection.endEjections(now: 1100) == [1])
        #expect(!detection.isEjected(1))
    }

    @Test func ejectsLongerEachTimeUpToTheMaximum() {
        let detection = Detection(
            OutlierPolicy(baseEjectionTime: 100, maximumEjectionTime: 250),
            endpoints: Array(0..<2)
        )
        var now: UInt64 = 0
        for time in [100, 200, 250, 250] as [UInt64] {
            #expect(detection.sawErrorsInARow(0, now: now))
            #expect(detection.endEjections(now: now + time - 1).isEmpty)
            #expect(detection.endEjections(now: now + time) == [0])
            now += time
        }
        for _ in 0..<4 { _ = detection.compare([:], now: now) }
        #expect(detection.sawErrorsInARow(0, now: now))
        #expect(detection.endEjections(now: now + 100) == [0])
    }

    @Test func neverEjectsTheOnlyEndpoint() {
        let detection = Detection(OutlierPolicy(maximumEjectedPercent: 100), endpoints: Array(0..<1))
        #expect(!detection.sawErrorsInARow(0, now: 0))
    }

    @Test func comparesSuccessRates() {
        let policy = OutlierPolicy(successRateMinimumRequests: 10, successRateMinimumEndpoints: 5)
        let detection = Detection(policy, endpoints: Array(0..<6))
        let good = OutlierDetection<Int>.Count(requests: 100, successes: 99)
        var counts = Dictionary(uniqueKeysWithValues: (0..<6).map { ($0, good) })
        #expect(detection.compare(counts, now: 0).isEmpty)
        counts[4] = .init(requests: 100, successes: 60)
        #expect(detection.compare(counts, now: 0) == [4])
        counts[2] = .init(requests: 9, successes: 0)
        #expect(detection.compare(counts, now: 0).isEmpty)
    }

    /// Random reports: the share that is ejected, the last endpoint in use and the time out of use keep their bounds.
    @Test(arguments: 0..<20) func keepsItsBoundsOnRandomSchedules(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var endpoints = Array(0..<Int.random(in: 1...20, using: &random))
        let policy = OutlierPolicy(
            successRateMinimumRequests: 1,
            successRateMinimumEndpoints: 2,
            successRateStandardDeviationFactor: 500,
            baseEjectionTime: Int.random(in: 1...500, using: &random),
            maximumEjectionTime: 1000,
            maximumEjectedPercent: Int.random(in: 0...100, using: &random)
        )
        let detection = Detection(policy, endpoints: endpoints)
        var since: [Int: UInt64] = [:]
        var now: UInt64 = 0
        for step in 0..<3000 {
            now += UInt64.random(in: 0...30, using: &random)
            for id in detection.endEjections(now: now) { since[id] = nil }
            for (id, start) in since { #expect(now < start + 1000, "endpoint \(id) is away for too long") }
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                let counts = endpoints.map {
                    ($0, OutlierDetection<Int>.Count(requests: 10, successes: .random(in: 0...10, using: &random)))
                }
                for id in detection.compare(.init(uniqueKeysWithValues: counts), now: now) { since[id] = now }
            case 1 where step % 50 == 0:
                endpoints = endpoints.filter { _ in Int.random(in: 0..<10, using: &random) > 0 } + [step + 100]
                detection.change(to: policy, endpoints: endpoints)
                since = since.filter { endpoints.contains($0.key) }
            default:
                let id = endpoints.randomElement(using: &random)!
                guard detection.sawErrorsInARow(id, now: now) else { continue }
                since[id] = now
                #expect(since.count <= max(1, endpoints.count * policy.maximumEjectedPercent / 100))
            }
            #expect(detection.ejectedCount == since.count)
            #expect(detection.ejectedCount < max(2, endpoints.count))
        }
    }
}
