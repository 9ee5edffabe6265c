import Synchronization

/// What one worker needs to choose among the endpoints of a backend. Memory for as many candidates as there are endpoints.
struct BalanceState: BitwiseCopyable {
    /// Endpoints that may be chosen: those that checks and outlier detection leave, or all of them in a panic.
    fileprivate(set) var candidates: UnsafeMutablePointer<UInt32>?
    fileprivate(set) var count = 0
    /// The sum of the weights up to each candidate.
    fileprivate var sums: UnsafeMutablePointer<UInt32>?
    fileprivate var isUniform = true
    /// Milliseconds; some candidate has less than its full weight until then.
    fileprivate var rampUntil: UInt64 = 0
    fileprivate var cursor: UInt32 = 0
    /// The record's version that the candidates were taken at.
    fileprivate var version = UInt64.max
    fileprivate var places: FlatArray<UInt32>?

    init() {}

    init(capacity: Int, places: FlatArray<UInt32>?) {
        candidates = .allocate(capacity: max(1, capacity))
        sums = .allocate(capacity: max(1, capacity))
        self.places = places
    }

    mutating func free() {
        candidates?.deallocate()
        sums?.deallocate()
        self = BalanceState()
    }

    fileprivate var total: UInt32 { count == 0 ? 0 : sums![count - 1] }
}

/// How the weight of an endpoint grows after it appeared or came back.
struct SlowStartRamp: BitwiseCopyable {
    static let full: UInt64 = 1000

    /// Milliseconds; zero for no ramp.
    var window: UInt64
    /// Percent of the weight at the start.
    var minimum: UInt64

    /// Thousandths of the weight: linear in time from the minimum to the whole.
    func factor(since start: UInt64, now: UInt64) -> UInt64 {
        guard window > 0, now < start + window else { return Self.full }
        let age = now > start ? now - start : 0
        return max(minimum * 10, age * Self.full / window)
    }
}

/// What became of choosing an endpoint.
enum EndpointChoice: Equatable {
    case endpoint(UInt32)
    /// All that could serve have as many connections as they may have.
    case full
    /// None can be reached, or there is none.
    case none
}

extension Topology {
    /// What a request brings along to be balanced by.
    struct Preference: BitwiseCopyable {
        var random: UInt64
        /// Zero for requests without a key.
        var hash: UInt64 = 0
        /// The endpoint that has just failed; chosen only when there is no other.
        var avoided = Connection.none
    }

    func choose(backend number: UInt32, now: UInt64, _ preference: Preference) -> EndpointChoice {
        let backend = backends[number]
        guard backend.pointee.isCurrent, backend.pointee.count > 0 else { return .none }
        if backend.pointee.balance.version != version(of: backend) { refreshCandidates(of: number, now: now) }
        let first = pick(backend, now, preference)
        if isUsable(first, now, backend.pointee.row), first != preference.avoided { return .endpoint(first) }
        return search(backend, now, preference)
    }

    /// Looks at all candidates in turn, from a random one on.
    private func search(
        _ backend: UnsafeMutablePointer<BackendState>,
        _ now: UInt64,
        _ preference: Preference
    ) -> EndpointChoice {
        let balance = backend.pointee.balance
        let start = Int(truncatingIfNeeded: preference.random >> 33) % balance.count
        var isFull = false
        for offset in 0..<balance.count {
            let candidate = balance.candidates![(start + offset) % balance.count]
            if candidate == preference.avoided { continue }
            if isUsable(candidate, now, backend.pointee.row) { return .endpoint(candidate) }
            if isReachable(candidate, now) { isFull = true }
        }
        // Rather the one that has just failed than none at all.
        if preference.avoided != Connection.none, isMember(preference.avoided, of: balance) {
            if isUsable(preference.avoided, now, backend.pointee.row) { return .endpoint(preference.avoided) }
            if isReachable(preference.avoided, now) { isFull = true }
        }
        return isFull ? .full : .none
    }

    private func isMember(_ number: UInt32, of balance: BalanceState) -> Bool {
        for index in 0..<balance.count where balance.candidates![index] == number { return true }
        return false
    }

    // MARK: - Eligibility

    @inline(__always) private func isReachable(_ number: UInt32, _ now: UInt64) -> Bool {
        endpoints[number].pointee.ejectedUntil <= now
    }

    @inline(__always) private func isUsable(_ number: UInt32, _ now: UInt64, _ row: BackendRow) -> Bool {
        let endpoint = endpoints[number]
        guard endpoint.pointee.ejectedUntil <= now else { return false }
        return row.maximumConnections == 0 || endpoint.pointee.idleCount > 0
            || endpoint.pointee.connections < Int32(clamping: row.maximumConnections)
    }

    @inline(__always) private func version(of backend: UnsafeMutablePointer<BackendState>) -> UInt64 {
        backend.pointee.version!.pointee.load(ordering: .acquiring)
    }

    /// Takes over what checks and outlier detection say.
    func refreshCandidates(of number: UInt32, now: UInt64) {
        let backend = backends[number]
        backend.pointee.balance.version = version(of: backend)
        backend.pointee.balance.count = 0
        let all = 0..<backend.pointee.count
        for index in all {
            let endpoint = endpoints[backend.pointee.endpoints![index]]
            let words = endpoint.pointee.words!
            endpoint.pointee.isCandidate = words.load(.isUnhealthy) == 0 && words.load(.isEjected) == 0
            if endpoint.pointee.isCandidate { backend.pointee.balance.count += 1 }
        }
        let usable = backend.pointee.balance.count
        if usable == 0 || usable * 100 < backend.pointee.count * Int(backend.pointee.row.panicThreshold) {
            for index in all { endpoints[backend.pointee.endpoints![index]].pointee.isCandidate = true }
        }
        listCandidates(backend)
    }

    private func listCandidates(_ backend: UnsafeMutablePointer<BackendState>) {
        var (count, sum, rampUntil) = (0, UInt32(0), UInt64(0))
        backend.pointee.balance.isUniform = true
        for index in 0..<backend.pointee.count {
            let number = backend.pointee.endpoints![index]
            let endpoint = endpoints[number]
            endpoint.pointee.credit = 0
            guard endpoint.pointee.isCandidate else { continue }
            if endpoint.pointee.weight != endpoints[backend.pointee.endpoints![0]].pointee.weight {
                backend.pointee.balance.isUniform = false
            }
            sum += endpoint.pointee.weight
            backend.pointee.balance.candidates![count] = number
            backend.pointee.balance.sums![count] = sum
            rampUntil = max(rampUntil, endpoint.pointee.words!.load(.usableSince))
            count += 1
        }
        backend.pointee.balance.count = count
        let window = UInt64(backend.pointee.row.slowStartWindow)
        backend.pointee.balance.rampUntil = window == 0 ? 0 : rampUntil + window
    }

    // MARK: - Policies

    @inline(__always)
    private func pick(_ backend: UnsafeMutablePointer<BackendState>, _ now: UInt64, _ preference: Preference) -> UInt32
    {
        switch backend.pointee.row.balancing {
        case .roundRobin: return pickInTurn(backend, now)
        case .leastRequests: return pickOfTwo(backend, now, preference.random)
        case .consistentHash:
            guard preference.hash != 0, let places = backend.pointee.balance.places, places.count > 0 else {
                return pickOfTwo(backend, now, preference.random)
            }
            return pickByHash(backend, places, now, preference)
        }
    }

    /// The smooth weighted round robin that nginx is known for: every candidate gains its weight, the richest is chosen and pays the sum.
    private func pickInTurn(_ backend: UnsafeMutablePointer<BackendState>, _ now: UInt64) -> UInt32 {
        let balance = backend.pointee.balance
        let isRamping = now < balance.rampUntil
        if balance.isUniform, !isRamping {
            let cursor = Int(balance.cursor) % balance.count
            backend.pointee.balance.cursor = UInt32(cursor + 1)
            return balance.candidates![cursor]
        }
        var (best, total) = (balance.candidates![0], Int64(0))
        for index in 0..<balance.count {
            let number = balance.candidates![index]
            let weight = Int64(effectiveWeight(number, backend.pointee.row, now))
            endpoints[number].pointee.credit += weight
            total += weight
            if endpoints[number].pointee.credit > endpoints[best].pointee.credit { best = number }
        }
        endpoints[best].pointee.credit -= total
        return best
    }

    /// Power of two choices (Mitzenmacher 2001), drawn by weight.
    @inline(__always)
    private func pickOfTwo(_ backend: UnsafeMutablePointer<BackendState>, _ now: UInt64, _ random: UInt64) -> UInt32 {
        var state = random
        let a = draw(backend, now, &state)
        let b = draw(backend, now, &state)
        guard a != b else { return a }
        let (first, second) = (endpoints[a], endpoints[b])
        // The avoided and the full are left to the search; those that cannot be reached lose here.
        if first.pointee.ejectedUntil > now { return b }
        if second.pointee.ejectedUntil > now { return a }
        let left = Int64(first.pointee.inFlight) * Int64(second.pointee.weight)
        let right = Int64(second.pointee.inFlight) * Int64(first.pointee.weight)
        return left <= right ? a : b
    }

    /// A candidate at random by weight. One that has just come is taken only as often as its ramp says, in at most eight draws.
    @inline(__always)
    private func draw(
        _ backend: UnsafeMutablePointer<BackendState>,
        _ now: UInt64,
        _ state: inout UInt64
    ) -> UInt32 {
        let balance = backend.pointee.balance
        var drawn = drawByWeight(balance, &state)
        guard now < balance.rampUntil else { return drawn }
        for _ in 0..<8 {
            let ramp = SlowStartRamp(backend.pointee.row)
            let factor = ramp.factor(since: endpoints[drawn].pointee.words!.load(.usableSince), now: now)
            if factor >= SlowStartRamp.full || Self.next(&state) >> 33 % SlowStartRamp.full < factor { break }
            drawn = drawByWeight(balance, &state)
        }
        return drawn
    }

    @inline(__always)
    private func drawByWeight(_ balance: BalanceState, _ state: inout UInt64) -> UInt32 {
        let random = Self.next(&state) >> 33
        if balance.isUniform { return balance.candidates![Int(random % UInt64(balance.count))] }
        let ticket = UInt32(random % UInt64(balance.total))
        var (low, high) = (0, balance.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if balance.sums![middle] > ticket { high = middle } else { low = middle + 1 }
        }
        return balance.candidates![low]
    }

    /// The endpoint at the hash's place, or at the next place whose endpoint can be used.
    private func pickByHash(
        _ backend: UnsafeMutablePointer<BackendState>,
        _ places: FlatArray<UInt32>,
        _ now: UInt64,
        _ preference: Preference
    ) -> UInt32 {
        var place = Int(preference.hash % UInt64(places.count))
        for _ in 0..<min(places.count, 64) {
            let number = backend.pointee.endpoints![Int(places[place])]
            if endpoints[number].pointee.isCandidate, number != preference.avoided,
                isUsable(number, now, backend.pointee.row)
            {
                return number
            }
            place = place + 1 == places.count ? 0 : place + 1
        }
        return pickOfTwo(backend, now, preference.random)
    }

    /// In thousandths.
    private func effectiveWeight(_ number: UInt32, _ row: BackendRow, _ now: UInt64) -> UInt64 {
        let endpoint = endpoints[number]
        let factor = SlowStartRamp(row).factor(since: endpoint.pointee.words!.load(.usableSince), now: now)
        return UInt64(endpoint.pointee.weight) * factor
    }

    /// Knuth's MMIX generator; only the upper bits are used.
    @inline(__always)
    private static func next(_ state: inout UInt64) -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state
    }
}

extension SlowStartRamp {
    init(_ row: BackendRow) {
        self.init(window: UInt64(row.slowStartWindow), minimum: UInt64(row.slowStartMinimum))
    }
}
