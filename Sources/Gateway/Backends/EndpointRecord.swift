import CLinux
import FlowControl
import Synchronization

/// One endpoint of one backend, as all workers and the control side see it. Lives as long as a table or a connection knows it; the same
/// endpoint keeps its record from table to table.
final class EndpointRecord: @unchecked Sendable {
    // Safe to share: every word is an atomic; the memory lives as long as the object.

    struct Key: Hashable, Sendable {
        var backend: String
        var address: String
        var port: Int
        /// Another pod with the same address starts afresh.
        var uid: String

        init(_ backend: String, _ endpoint: RouteTable.Endpoint) {
            self.backend = backend
            address = endpoint.address
            port = endpoint.port
            uid = endpoint.uid
        }
    }

    let key: Key
    /// `nil` for one that cannot be connected to.
    let address: clinux_address?
    let words: Words
    private let workers: Int

    /// - Parameter now: milliseconds; a slow start begins here.
    init(_ key: Key, workers: Int, now: UInt64) {
        self.key = key
        self.workers = workers
        var address = clinux_address()
        let port = UInt16(exactly: key.port)
        let isUsable = port.map { clinux_parse_address(key.address, $0, &address) == 0 } ?? false
        self.address = isUsable ? address : nil
        let count = Words.shared + workers * Words.perWorker
        words = Words(base: .allocate(capacity: count))
        for index in 0..<count { (words.base + index).initialize(to: Atomic<UInt64>(0)) }
        words.set(.usableSince, now)
    }

    deinit {
        for index in 0..<Words.shared + workers * Words.perWorker { (words.base + index).deinitialize(count: 1) }
        words.base.deallocate()
    }

    /// The sum over all workers.
    func sum(_ word: WorkerWord) -> UInt64 {
        (0..<workers).reduce(0) { $0 &+ words.load(word, worker: $1) }
    }

    var isHealthy: Bool { words.load(.isUnhealthy) == 0 }
    var isEjected: Bool { words.load(.isEjected) != 0 }

    enum SharedWord: Int {
        /// What active checks say: zero, or one for an endpoint that failed them.
        case isUnhealthy
        case isEjected
        /// Milliseconds; when the endpoint appeared or came back.
        case usableSince
        /// Answers of 5xx, and failures of gateways, in a row.
        case errorRun, gatewayFailureRun
        case ejections, checks, failedChecks
        /// Ejections that a dry run only counts.
        case wouldEject
    }

    /// Counted by one worker alone.
    enum WorkerWord: Int {
        case requests, successes, connectFailures, resets, timeouts, inFlight
    }

    /// Atomic words behind a plain pointer.
    struct Words: BitwiseCopyable {
        // Multiples of a cache line, so that workers do not disturb each other.
        fileprivate static let shared = 16
        fileprivate static let perWorker = 8

        fileprivate let base: UnsafeMutablePointer<Atomic<UInt64>>

        @inline(__always) func load(_ word: SharedWord) -> UInt64 { base[word.rawValue].load(ordering: .relaxed) }

        @inline(__always) func set(_ word: SharedWord, _ value: UInt64) {
            base[word.rawValue].store(value, ordering: .relaxed)
        }

        /// - Returns: the new value.
        func increment(_ word: SharedWord) -> UInt64 {
            base[word.rawValue].wrappingAdd(1, ordering: .relaxed).newValue
        }

        @inline(__always) func load(_ word: WorkerWord, worker: Int) -> UInt64 {
            base[Self.shared + worker * Self.perWorker + word.rawValue].load(ordering: .relaxed)
        }

        /// Only the worker's own thread may call it, so that adding needs no read-modify-write.
        @inline(__always) func add(_ word: WorkerWord, worker: Int, _ value: UInt64 = 1) {
            let target = base + (Self.shared + worker * Self.perWorker + word.rawValue)
            target.pointee.store(target.pointee.load(ordering: .relaxed) &+ value, ordering: .relaxed)
        }
    }
}
