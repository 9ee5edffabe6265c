import Glibc
import Synchronization

/// What a counter is kept under: a route and the backend that answered, or neither.
struct MetricSeries: Hashable, Sendable {
    var route: String
    /// Empty where no backend answered.
    var backend: String

    static let unmatched = MetricSeries(route: "", backend: "")
    /// All that found no number of their own.
    static let others = MetricSeries(route: "(others)", backend: "")
}

/// Numbers the series of the tables in use; what is beyond the last number shares those of ``MetricSeries/others``. A number is free again
/// when no table uses its series any more.
final class SeriesRegistry: Sendable {
    static let capacity = 1 << 16

    private struct Entry {
        var number: Int
        /// Tables.
        var users: Int
    }

    private struct State {
        var entries: [MetricSeries: Entry] = [
            .unmatched: Entry(number: 0, users: 1), .others: Entry(number: 1, users: 1),
        ]
        var made = 2
        var free: [Int] = []
    }

    private let capacity: Int
    private let state = Mutex(State())
    private let onFree: @Sendable (Int) -> Void

    /// - Parameter onFree: clears what is kept under a number, before another series gets it.
    init(capacity: Int = SeriesRegistry.capacity, onFree: @escaping @Sendable (Int) -> Void = { _ in }) {
        self.capacity = capacity
        self.onFree = onFree
    }

    /// In the order of their numbers.
    var all: [(number: Int, series: MetricSeries)] {
        state.withLock { $0.entries.map { ($1.number, $0) } }.sorted { $0.0 < $1.0 }
    }

    fileprivate func take(_ series: MetricSeries) -> Int? {
        state.withLock { state in
            if let entry = state.entries[series] {
                state.entries[series]?.users += 1
                return entry.number
            }
            guard let number = state.free.popLast() ?? (state.made < capacity ? state.made : nil) else { return nil }
            state.made = max(state.made, number + 1)
            state.entries[series] = Entry(number: number, users: 1)
            return number
        }
    }

    fileprivate func give(_ all: some Sequence<MetricSeries>) {
        state.withLock { state in
            for series in all {
                guard let entry = state.entries[series] else { continue }
                state.entries[series]?.users -= 1
                guard entry.users == 1 else { continue }
                state.entries[series] = nil
                onFree(entry.number)
                state.free.append(entry.number)
            }
        }
    }
}

/// The numbers that one table uses; they are its own until it goes.
final class SeriesLease: @unchecked Sendable {
    // Safe to share: numbers are asked for only while the table is being made, by one thread.

    private let registry: SeriesRegistry
    private var numbers: [MetricSeries: Int] = [:]

    init(_ registry: SeriesRegistry) { self.registry = registry }

    deinit { registry.give(numbers.keys) }

    func number(of series: MetricSeries) -> Int {
        if let number = numbers[series] { return number }
        guard let number = registry.take(series) else { return 1 }
        numbers[series] = number
        return number
    }
}

/// The counters of one worker: written by its thread alone, read by anybody.
final class WorkerMetrics: @unchecked Sendable {
    // Safe to share: every word is an atomic; the memory lives as long as the object.

    /// Upper bounds of the latency histogram in microseconds; one more bucket takes the rest.
    static let bounds: [UInt64] = [
        500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
        10_000_000,
    ]
    /// Answers by class; the first counts exchanges that the client gave up.
    static let classes = 6
    static let buckets = 15
    /// Classes, buckets, sum of microseconds, counters.
    static let wordsPerSeries = classes + buckets + 1 + counters
    /// See ``Counter``.
    static let counters = 7

    /// What is counted per series beyond answers and their duration.
    enum Counter: Int, CaseIterable {
        case requestBytes, responseBytes, started, ended, retries, retriesOverBudget, connectFailures

        /// Its place among the words of a series.
        var word: Int { WorkerMetrics.classes + WorkerMetrics.buckets + 1 + rawValue }
    }

    enum Gauge: Int, CaseIterable {
        case clients, inFlight, idleUpstreams, bufferBytes, held, pending
        case accepted, receiveCalls, sendCalls, connects, retries, upstreamFailures, copiesDropped, generation, loops
        case handshakes, handshakeFailures, resumptions
    }

    private let series: UnsafeMutableRawPointer
    private let gauges: UnsafeMutableRawPointer
    let writer: Writer

    init() {
        // calloc leaves untouched pages to the kernel: only series in use cost memory.
        guard let series = calloc(SeriesRegistry.capacity * Self.wordsPerSeries, 8),
            let gauges = calloc(Gauge.allCases.count, 8)
        else { preconditionFailure("The metrics of a worker must fit into memory.") }
        self.series = series
        self.gauges = gauges
        writer = Writer(
            series: series.assumingMemoryBound(to: Atomic<UInt64>.self),
            gauges: gauges.assumingMemoryBound(to: Atomic<UInt64>.self)
        )
    }

    deinit {
        free(series)
        free(gauges)
    }

    func words(ofSeries number: Int) -> [UInt64] {
        let base = writer.series + number * Self.wordsPerSeries
        return (0..<Self.wordsPerSeries).map { base[$0].load(ordering: .relaxed) }
    }

    /// Only for series that no table uses: their worker writes nothing there.
    func clear(series number: Int) {
        let base = writer.series + number * Self.wordsPerSeries
        for index in 0..<Self.wordsPerSeries { base[index].store(0, ordering: .relaxed) }
    }

    func value(of gauge: Gauge) -> UInt64 { writer.gauges[gauge.rawValue].load(ordering: .relaxed) }

    /// The worker's side; only its own thread may call it, so that adding needs no read-modify-write.
    struct Writer: BitwiseCopyable {
        fileprivate let series: UnsafeMutablePointer<Atomic<UInt64>>
        fileprivate let gauges: UnsafeMutablePointer<Atomic<UInt64>>

        /// A backend was chosen for an exchange.
        @inline(__always) func started(series number: UInt32) { add(.started, series: number) }

        @inline(__always) func add(_ counter: Counter, series number: UInt32, _ value: UInt64 = 1) {
            add(value, series + (Int(number) * WorkerMetrics.wordsPerSeries + counter.word))
        }

        /// - Parameter status: zero for an exchange that did not come to its end.
        @inline(__always)
        func record(series number: UInt32, status: UInt16, microseconds: UInt64) {
            let base = series + Int(number) * WorkerMetrics.wordsPerSeries
            add(1, base + Swift.min(Int(status) / 100, WorkerMetrics.classes - 1))
            add(1, base + WorkerMetrics.classes + Self.bucket(of: microseconds))
            add(microseconds, base + WorkerMetrics.classes + WorkerMetrics.buckets)
        }

        @inline(__always) func set(_ gauge: Gauge, _ value: UInt64) {
            gauges[gauge.rawValue].store(value, ordering: .relaxed)
        }

        @inline(__always) func add(_ gauge: Gauge, _ value: UInt64 = 1) { add(value, gauges + gauge.rawValue) }

        @inline(__always) private func add(_ value: UInt64, _ word: UnsafeMutablePointer<Atomic<UInt64>>) {
            word.pointee.store(word.pointee.load(ordering: .relaxed) &+ value, ordering: .relaxed)
        }

        @inline(__always)
        private static func bucket(of microseconds: UInt64) -> Int {
            switch microseconds {
            case ...500: 0
            case ...1000: 1
            case ...2500: 2
            case ...5000: 3
            case ...10_000: 4
            case ...25_000: 5
            case ...50_000: 6
            case ...100_000: 7
            case ...250_000: 8
            case ...500_000: 9
            case ...1_000_000: 10
            case ...2_500_000: 11
            case ...5_000_000: 12
            case ...10_000_000: 13
            default: 14
            }
        }
    }
}
