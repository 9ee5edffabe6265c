import FlowControl
import Glibc
import Synchronization

/// What the workers share of one policy: the words that its mechanism works on, and its counters.
final class PolicyState: @unchecked Sendable {
    // Safe to share: every word is an atomic, or belongs to a mechanism that says how it is shared; the memory lives as long as the object.

    enum Count: Int, CaseIterable {
        case passed
        /// Refused by a limit: rate, concurrency, related traffic.
        case limited
        /// Had to wait for their turn.
        case queued
        /// Refused to protect the backend: breaker, overload.
        case shed
        /// Would have been refused or would have had to wait, but for the dry run.
        case wouldRefuse, wouldQueue
    }

    /// Each worker counts in a cache line of its own; further workers share them, and their counts are then approximate.
    static let stripes = 64
    static let wordsPerStripe = 8

    /// The policy as it was when the state was made.
    let policy: TrafficPolicy
    let words: SharedWord
    let counters: SharedWord

    init(_ policy: TrafficPolicy) {
        self.policy = policy
        words = Self.allocate(policy.kind.words)
        counters = Self.allocate(Self.stripes * Self.wordsPerStripe)
        if case .loadShedding(let shedding) = policy.kind { LoadShedder.prepare(shedding, words: words) }
    }

    deinit {
        free(words)
        free(counters)
    }

    /// Pages that are never touched cost nothing.
    private static func allocate(_ count: Int) -> SharedWord {
        var memory: UnsafeMutableRawPointer?
        guard posix_memalign(&memory, 64, count * 8) == 0, let memory else {
            preconditionFailure("The state of a policy must fit into memory.")
        }
        memset(memory, 0, count * 8)
        return memory.assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    func value(of count: Count) -> UInt64 {
        (0..<Self.stripes).reduce(0) {
            $0 &+ counters[$1 * Self.wordsPerStripe + count.rawValue].load(ordering: .relaxed)
        }
    }

    /// Only the worker that the stripe belongs to may call this, so that counting needs no exchange.
    @inline(__always)
    static func add(_ count: Count, _ counters: SharedWord, worker: Int) {
        let word = counters + ((worker % stripes) * wordsPerStripe + count.rawValue)
        word.pointee.store(word.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    }
}

extension TrafficPolicy.Kind {
    /// For the metrics.
    var name: String {
        switch self {
        case .rateLimit: "rate_limit"
        case .concurrency: "concurrency"
        case .related: "related"
        case .circuitBreaker: "circuit_breaker"
        case .loadShedding: "load_shedding"
        }
    }

    var words: Int {
        switch self {
        case .rateLimit(let limit) where limit.key != .none: KeyedRateLimiter.words(limit)
        case .rateLimit: WarmUpLimiter.words
        case .concurrency(let limit) where limit.key != .none: KeyedConcurrencyLimiter.words(limit)
        case .concurrency, .related: 1
        case .circuitBreaker: CircuitBreakerState.words
        case .loadShedding: LoadShedder.words
        }
    }

    /// Policies of one name go on with each other's state as long as this is the same: what the state means must not change with it.
    fileprivate var identity: [Int] {
        switch self {
        case .rateLimit(let limit): [0, words, limit.key == .none ? 0 : 1, limit.warmUp?.time ?? 0]
        case .concurrency(let limit): [1, words, limit.key == .none ? 0 : 1]
        case .related: [2]
        case .circuitBreaker(let breaker): [3, breaker.window, breaker.slowThreshold, breaker.slowRatio == nil ? 0 : 1]
        case .loadShedding(let shedding):
            [
                4, shedding.classes.count, shedding.initialCap, shedding.minimumCap, shedding.maximumCap,
                shedding.deadline, shedding.adaptsCap ? 1 : 0,
            ]
        }
    }
}

/// The states of all policies in use, by name, so that they outlive the tables that name them.
final class PolicyRegistry: Sendable {
    private struct Key: Hashable {
        var name: String
        var identity: [Int]
    }

    private let states = Mutex<[Key: PolicyState]>([:])

    /// The states of the policies of a table; those that it does not name are forgotten, once no older table uses them.
    func states(for policies: some Sequence<TrafficPolicy>) -> [TrafficPolicy: PolicyState] {
        states.withLock { states in
            var next: [Key: PolicyState] = [:]
            var found: [TrafficPolicy: PolicyState] = [:]
            for policy in policies where found[policy] == nil {
                let key = Key(name: policy.name, identity: policy.kind.identity)
                let state = next[key] ?? states[key] ?? PolicyState(policy)
                next[key] = state
                found[policy] = state
            }
            states = next
            return found
        }
    }

    /// In the order of their names.
    var all: [PolicyState] {
        states.withLock { states in
            states.values.sorted { ($0.policy.name, $0.policy.kind.name) < ($1.policy.name, $1.policy.kind.name) }
        }
    }
}
