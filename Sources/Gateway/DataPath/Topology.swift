import CLinux

/// What one worker knows of an endpoint. Survives changes of the table, so that connections to it are kept.
struct EndpointState: BitwiseCopyable {
    var address = clinux_address()
    var isUsed = false
    /// The table in force does not name it: it gets no new requests.
    var isRetired = false
    var inFlight: Int32 = 0
    /// Open connections, idle ones included.
    var connections: Int32 = 0
    var idleCount: Int32 = 0
    var firstIdle = Connection.none
    /// Milliseconds; the endpoint could not be reached and is left out until then.
    var ejectedUntil: UInt64 = 0
    var failures: UInt8 = 0
}

/// What one worker knows of a backend: its endpoints in the table in force.
struct BackendState: BitwiseCopyable {
    var isUsed = false
    var isCurrent = false
    var users: Int32 = 0
    var endpoints: UnsafeMutablePointer<UInt32>?
    var count = 0
}

/// A table as one worker uses it.
struct AdoptedTable: BitwiseCopyable {
    var isUsed = false
    var users: Int32 = 0
    var view: TableView?
    /// The worker's number for each backend of the table.
    var backends: UnsafeMutablePointer<UInt32>?
    var table: Unmanaged<CompiledTable>?
}

/// The tables, backends and endpoints of one worker. Everything that requests read is behind plain pointers; dictionaries serve only
/// the change from one table to the next.
struct Topology: ~Copyable {
    private(set) var endpoints = StateSlab<EndpointState>(EndpointState())
    private(set) var backends = StateSlab<BackendState>(BackendState())
    private(set) var tables = StateSlab<AdoptedTable>(AdoptedTable())
    private(set) var current = Connection.none

    private var endpointNumbers: [AddressKey: UInt32] = [:]
    private var backendNumbers: [String: UInt32] = [:]

    private struct AddressKey: Hashable {
        let high: UInt64
        let low: UInt64
        let port: UInt16
        let family: UInt16

        init(_ address: clinux_address) {
            high = address.high
            low = address.low
            port = address.port
            family = address.family
        }
    }

    init() {}

    deinit {
        for index in 0..<tables.count where tables[UInt32(index)].pointee.isUsed {
            tables[UInt32(index)].pointee.table?.release()
            tables[UInt32(index)].pointee.backends?.deallocate()
        }
        for index in 0..<backends.count { backends[UInt32(index)].pointee.endpoints?.deallocate() }
    }

    // MARK: - Change of table

    /// Makes `table` the one that new requests are matched in. Endpoints that it does not name are retired.
    mutating func adopt(_ table: CompiledTable) {
        for index in 0..<endpoints.count { endpoints[UInt32(index)].pointee.isRetired = true }
        for index in 0..<backends.count { backends[UInt32(index)].pointee.isCurrent = false }
        let source = table.source.backends
        let numbers = UnsafeMutablePointer<UInt32>.allocate(capacity: max(1, source.count))
        for (index, backend) in source.enumerated() { numbers[index] = adopt(backend) }
        let old = current
        current = tables.take()
        tables[current].pointee = AdoptedTable(
            isUsed: true,
            users: 0,
            view: table.view,
            backends: numbers,
            table: Unmanaged.passRetained(table)
        )
        if old != Connection.none { freeTableIfUnused(old) }
        freeUnusedBackends()
    }

    private mutating func adopt(_ backend: RouteTable.Backend) -> UInt32 {
        let number = backendNumbers[backend.name] ?? backends.take()
        backendNumbers[backend.name] = number
        let state = backends[number]
        state.pointee.endpoints?.deallocate()
        state.pointee.isUsed = true
        state.pointee.isCurrent = true
        let list = backend.endpoints.compactMap { adopt($0) }
        state.pointee.count = list.count
        state.pointee.endpoints = .allocate(capacity: max(1, list.count))
        state.pointee.endpoints?.initialize(from: list, count: list.count)
        return number
    }

    private mutating func adopt(_ endpoint: RouteTable.Endpoint) -> UInt32? {
        var address = clinux_address()
        guard let port = UInt16(exactly: endpoint.port),
            clinux_parse_address(endpoint.address, port, &address) == 0
        else { return nil }
        let number = endpointNumbers[AddressKey(address)] ?? endpoints.take()
        endpointNumbers[AddressKey(address)] = number
        let state = endpoints[number]
        if !state.pointee.isUsed { state.pointee = EndpointState(address: address, isUsed: true) }
        state.pointee.isRetired = false
        return number
    }

    // MARK: - Use

    var view: TableView { tables[current].pointee.view! }

    @inline(__always) func retainTable() -> UInt32 {
        tables[current].pointee.users += 1
        return current
    }

    mutating func releaseTable(_ number: UInt32) {
        tables[number].pointee.users -= 1
        if number != current { freeTableIfUnused(number) }
    }

    mutating func releaseBackend(_ number: UInt32) {
        backends[number].pointee.users -= 1
    }

    /// Two endpoints at random, the one with fewer requests in flight; ejected ones only while no other is left.
    func choose(backend number: UInt32, now: UInt64, random: UInt64) -> UInt32? {
        let backend = backends[number].pointee
        guard backend.isCurrent, backend.count > 0, let list = backend.endpoints else { return nil }
        let first = Int(truncatingIfNeeded: random & 0xFFFF_FFFF) % backend.count
        let second = Int(truncatingIfNeeded: random >> 32) % backend.count
        let (a, b) = (list[first], list[second])
        if isEligible(a, now), isEligible(b, now) {
            return endpoints[a].pointee.inFlight <= endpoints[b].pointee.inFlight ? a : b
        }
        for offset in 0..<backend.count {
            let candidate = list[(first + offset) % backend.count]
            if isEligible(candidate, now) { return candidate }
        }
        return nil
    }

    @inline(__always) private func isEligible(_ number: UInt32, _ now: UInt64) -> Bool {
        endpoints[number].pointee.ejectedUntil <= now
    }

    /// Frees what nobody can use any more. Called when an endpoint's last connection closed.
    mutating func freeEndpointIfUnused(_ number: UInt32) {
        let state = endpoints[number]
        guard state.pointee.isUsed, state.pointee.isRetired, state.pointee.inFlight == 0,
            state.pointee.connections == 0
        else { return }
        endpointNumbers[AddressKey(state.pointee.address)] = nil
        state.pointee = EndpointState()
        endpoints.give(number)
    }

    /// Requests in flight to an address, whatever the port.
    func inFlight(to address: clinux_address) -> Int {
        var sum = 0
        for index in 0..<endpoints.count {
            let state = endpoints[UInt32(index)].pointee
            guard state.isUsed, state.address.low == address.low, state.address.high == address.high else { continue }
            sum += Int(state.inFlight)
        }
        return sum
    }

    // MARK: - Private

    private mutating func freeTableIfUnused(_ number: UInt32) {
        let state = tables[number]
        guard state.pointee.users == 0 else { return }
        state.pointee.table?.release()
        state.pointee.backends?.deallocate()
        state.pointee = AdoptedTable()
        tables.give(number)
    }

    private mutating func freeUnusedBackends() {
        let gone = backendNumbers.filter {
            !backends[$0.value].pointee.isCurrent && backends[$0.value].pointee.users == 0
        }
        for (name, number) in gone {
            backends[number].pointee.endpoints?.deallocate()
            backends[number].pointee = BackendState()
            backends.give(number)
            backendNumbers[name] = nil
        }
    }
}

/// Plain states with stable numbers. Pointers hold until the next `take`.
struct StateSlab<State: BitwiseCopyable>: ~Copyable {
    private var base: UnsafeMutablePointer<State>
    private var capacity = 16
    private(set) var count = 0
    private var free: [UInt32] = []
    private let empty: State

    init(_ empty: State) {
        self.empty = empty
        base = .allocate(capacity: capacity)
    }

    deinit { base.deallocate() }

    @inline(__always)
    subscript(number: UInt32) -> UnsafeMutablePointer<State> {
        precondition(Int(number) < count, "A state's number must be one that was taken.")
        return base + Int(number)
    }

    mutating func take() -> UInt32 {
        if let number = free.popLast() { return number }
        if count == capacity { grow() }
        (base + count).initialize(to: empty)
        count += 1
        return UInt32(count - 1)
    }

    mutating func give(_ number: UInt32) { free.append(number) }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<State>.allocate(capacity: capacity * 2)
        larger.initialize(from: base, count: count)
        base.deallocate()
        base = larger
        capacity *= 2
    }
}
