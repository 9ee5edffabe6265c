import CLinux
import FlowControl
import Synchronization

/// What one worker knows of an endpoint of one backend. Survives changes of the table, so that connections to it are kept.
struct EndpointState: BitwiseCopyable {
    var address = clinux_address()
    var isUsed = false
    /// The table in force does not name it: it gets no new requests.
    var isRetired = false
    /// Checks and outlier detection let it be chosen.
    var isCandidate = false
    var inFlight: Int32 = 0
    /// Exchanges that remember it, whether or not they are in flight there.
    var users: Int32 = 0
    /// Open connections, idle ones included.
    var connections: Int32 = 0
    var idleCount: Int32 = 0
    var firstIdle = Connection.none
    /// Milliseconds; the endpoint could not be reached and is left out until then.
    var ejectedUntil: UInt64 = 0
    var failures: UInt8 = 0
    var backend = Connection.none
    var weight: UInt32 = 1
    /// Of the smooth round robin.
    var credit: Int64 = 0
    var record: Unmanaged<EndpointRecord>?
    var words: EndpointRecord.Words?
}

/// What one worker knows of a backend: its endpoints in the table in force.
struct BackendState: BitwiseCopyable {
    var isUsed = false
    var isCurrent = false
    var users: Int32 = 0
    var endpoints: UnsafeMutablePointer<UInt32>?
    var count = 0
    var compiled: Unmanaged<CompiledBackend>?
    /// Of the record, see ``BackendRecord/version``.
    var version: UnsafeMutablePointer<Atomic<UInt64>>?
    var row = BackendRow()
    var budget = RetryBudget(RetryBudget.Policy())
    var balance = BalanceState()
    /// Requests that wait for a connection, in the order they came.
    var firstPending = Connection.none
    var lastPending = Connection.none
    var pendingCount: UInt32 = 0
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
    /// Tables that no request uses any more.
    private var retired: [CompiledTable] = []

    /// The worker's number among all workers.
    let worker: Int
    private let workers: Int
    private var endpointNumbers: [ObjectIdentifier: UInt32] = [:]
    private var backendNumbers: [String: UInt32] = [:]

    init(worker: Int = 0, workers: Int = 1) {
        self.worker = worker
        self.workers = max(1, workers)
    }

    deinit {
        for index in 0..<tables.count where tables[UInt32(index)].pointee.isUsed {
            tables[UInt32(index)].pointee.table?.release()
            tables[UInt32(index)].pointee.backends?.deallocate()
        }
        for index in 0..<backends.count { backends[UInt32(index)].pointee.free() }
        for index in 0..<endpoints.count { endpoints[UInt32(index)].pointee.record?.release() }
    }

    // MARK: - Change of table

    /// Makes `table` the one that new requests are matched in. Endpoints that it does not name are retired.
    mutating func adopt(_ table: CompiledTable) {
        for index in 0..<endpoints.count { endpoints[UInt32(index)].pointee.isRetired = true }
        for index in 0..<backends.count { backends[UInt32(index)].pointee.isCurrent = false }
        let source = table.source.backends
        let numbers = UnsafeMutablePointer<UInt32>.allocate(capacity: max(1, source.count))
        for (index, backend) in source.enumerated() { numbers[index] = adopt(backend, table.backends[index]) }
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

    private mutating func adopt(_ backend: RouteTable.Backend, _ compiled: CompiledBackend) -> UInt32 {
        let number = backendNumbers[backend.name] ?? backends.take()
        backendNumbers[backend.name] = number
        let isNew = !backends[number].pointee.isUsed
        let list = zip(backend.endpoints, compiled.endpoints).compactMap { adopt($0, $1, backend: number) }
        let state = backends[number]
        if isNew || state.pointee.row.budgetPolicy != compiled.row.budgetPolicy {
            state.pointee.budget = RetryBudget(compiled.row.budgetPolicy, share: workers)
        }
        state.pointee.free()
        state.pointee.isUsed = true
        state.pointee.isCurrent = true
        state.pointee.compiled = Unmanaged.passRetained(compiled)
        state.pointee.version = compiled.record.version
        state.pointee.row = share(of: compiled.row)
        state.pointee.count = list.count
        state.pointee.endpoints = .allocate(capacity: max(1, list.count))
        state.pointee.endpoints?.initialize(from: list, count: list.count)
        // Places of the hash table count the endpoints of the table; those with unusable addresses would shift them.
        let isComplete = list.count == backend.endpoints.count
        state.pointee.balance = BalanceState(capacity: list.count, places: isComplete ? compiled.hashTable : nil)
        refreshCandidates(of: number, now: 0)
        return number
    }

    /// The part of a backend's limits that is this worker's own.
    private func share(of row: BackendRow) -> BackendRow {
        func part(_ limit: UInt32) -> UInt32 {
            limit == 0 ? 0 : max(1, (limit + UInt32(workers - 1 - worker)) / UInt32(workers))
        }
        var row = row
        row.maximumConnections = part(row.maximumConnections)
        row.maximumPending = part(row.maximumPending)
        return row
    }

    private mutating func adopt(
        _ endpoint: RouteTable.Endpoint,
        _ record: EndpointRecord,
        backend: UInt32
    ) -> UInt32? {
        guard let address = record.address else { return nil }
        let number = endpointNumbers[ObjectIdentifier(record)] ?? endpoints.take()
        endpointNumbers[ObjectIdentifier(record)] = number
        let state = endpoints[number]
        if !state.pointee.isUsed {
            state.pointee = EndpointState(address: address, isUsed: true)
            state.pointee.record = Unmanaged.passRetained(record)
            state.pointee.words = record.words
        }
        state.pointee.isRetired = false
        state.pointee.backend = backend
        state.pointee.weight = UInt32(clamping: min(1000, max(1, endpoint.weight)))
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

    func retainEndpoint(_ number: UInt32) { endpoints[number].pointee.users += 1 }

    mutating func releaseEndpoint(_ number: UInt32) {
        endpoints[number].pointee.users -= 1
        freeEndpointIfUnused(number)
    }

    /// Frees what nobody can use any more. Called when an endpoint's last connection closed.
    mutating func freeEndpointIfUnused(_ number: UInt32) {
        let state = endpoints[number]
        guard state.pointee.isUsed, state.pointee.isRetired, state.pointee.inFlight == 0,
            state.pointee.connections == 0, state.pointee.users == 0
        else { return }
        if let record = state.pointee.record {
            endpointNumbers[ObjectIdentifier(record.takeUnretainedValue())] = nil
            record.release()
        }
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

    var hasRetired: Bool { !retired.isEmpty }

    mutating func takeRetired() -> [CompiledTable] {
        defer { retired = [] }
        return retired
    }

    private mutating func freeTableIfUnused(_ number: UInt32) {
        let state = tables[number]
        guard state.pointee.users == 0 else { return }
        if let table = state.pointee.table { retired.append(table.takeRetainedValue()) }
        state.pointee.backends?.deallocate()
        state.pointee = AdoptedTable()
        tables.give(number)
    }

    private mutating func freeUnusedBackends() {
        let gone = backendNumbers.filter {
            !backends[$0.value].pointee.isCurrent && backends[$0.value].pointee.users == 0
        }
        for (name, number) in gone {
            backends[number].pointee.free()
            backends[number].pointee = BackendState()
            backends.give(number)
            backendNumbers[name] = nil
        }
    }
}

extension BackendState {
    /// Gives back what the state holds of a table.
    mutating func free() {
        endpoints?.deallocate()
        endpoints = nil
        balance.free()
        compiled?.release()
        compiled = nil
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
