import CLinux
import Glibc
import Synchronization

/// All workers of a gateway, seen from the control side. Thread-safe.
final class DataPlane: Sendable {
    private let members: [Member]
    let accessLog: AccessLog?
    private let registry: SeriesRegistry
    private let backendRegistry: BackendRegistry
    private let ports: Ports
    let ticketKeys = TicketKeys()
    private let policyRegistry = PolicyRegistry()
    private let state: Mutex<State>

    private struct Member: Sendable {
        let mailbox: WorkerMailbox
        let metrics: WorkerMetrics
    }

    /// What the gateway listens on whatever the table says.
    struct Ports: Hashable, Sendable {
        /// A numeric address; also for the listeners of tables that name none.
        var host: String
        /// For plain HTTP; `nil` for none, zero for a free one.
        var plain: Int?
        var tls: Int?
    }

    private struct State {
        var table: CompiledTable
        var listeners = ListenerRegistry()
        var groups: [ListenAddress: ListeningGroup] = [:]
        var nextGroup: UInt32 = 0
        var problems: [String] = []
        var unavailablePorts: Set<Int> = []
        var threads: [UInt64] = []
        /// Between ``listen(inheriting:)`` and ``stop(within:handingOver:)``.
        var isListening = false
    }

    /// Starts one thread per worker; nothing is accepted before ``listen(inheriting:)``.
    init(
        ports: Ports,
        workers: Int,
        configuration: DataPathConfiguration,
        table: RouteTable = RouteTable(),
        accessLog settings: AccessLogSettings? = nil
    ) throws {
        self.ports = ports
        accessLog = try settings.map { try AccessLog($0, workers: max(1, workers)) }
        backendRegistry = BackendRegistry(workers: max(1, workers))
        var configuration = configuration
        configuration.workers = max(1, workers)
        members = try (0..<max(1, workers)).map { _ in
            Member(mailbox: try WorkerMailbox(), metrics: WorkerMetrics())
        }
        let members = members
        registry = SeriesRegistry { number in
            for member in members { member.metrics.clear(series: number) }
        }
        var listeners = ListenerRegistry()
        let compiled = CompiledTable(
            table,
            generation: 1,
            listeners: listeners.compile(table.listeners),
            policies: policyRegistry,
            backends: backendRegistry.compile(table.backends, now: clinux_monotonic() / 1_000_000),
            series: SeriesLease(registry)
        )
        state = Mutex(State(table: compiled, listeners: listeners, problems: listeners.problems))
        let entry = TLSEntry(keys: ticketKeys)
        for (number, member) in members.enumerated() {
            let worker = try Worker(
                number: number,
                configuration: configuration,
                mailbox: member.mailbox,
                metrics: member.metrics.writer,
                entry: entry,
                table: compiled,
                accessLog: accessLog?.writer(worker: number)
            )
            let thread = try WorkerThread.start(worker, name: "gateway-\(number)")
            state.withLock { $0.threads.append(thread) }
        }
    }

    /// Workers write metrics that go with the plane, so none may outlive it.
    deinit { stop(within: 0) }

    /// Serves plain HTTP on one port at once.
    convenience init(
        host: String,
        port: Int,
        workers: Int,
        configuration: DataPathConfiguration,
        table: RouteTable = RouteTable(),
        accessLog settings: AccessLogSettings? = nil
    ) throws {
        try self.init(
            ports: Ports(host: host, plain: port, tls: nil),
            workers: workers,
            configuration: configuration,
            table: table,
            accessLog: settings
        )
        do {
            try listen()
        } catch {
            stop(within: 0)
            throw error
        }
    }

    // MARK: - Listening

    /// The gateway's own port for plain HTTP, or for TLS where it has no other; zero when it has neither.
    var port: Int { port(isTLS: false) ?? port(isTLS: true) ?? 0 }
    var tlsPort: Int? { port(isTLS: true) }

    private func port(isTLS: Bool) -> Int? {
        state.withLock { state in state.groups.values.first { $0.isOwn && $0.address.isTLS == isTLS }?.port }
    }

    private var own: [ListenAddress] {
        [ports.plain.map { ListenAddress(host: ports.host, port: $0, isTLS: false) }]
            .compactMap(\.self)
            + [ports.tls.map { ListenAddress(host: ports.host, port: $0, isTLS: true) }].compactMap(\.self)
    }

    /// Begins to accept. The gateway's own ports must open; those of a table's listeners may fail, which ``problems`` tell.
    /// - Parameter inherited: sockets that a predecessor gave; those that nothing asks for are closed.
    func listen(inheriting inherited: [ListenAddress: [Int32]] = [:]) throws {
        try state.withLock { state in
            state.isListening = true
            for address in own { try open(address, isOwn: true, inherited: inherited[address] ?? [], &state) }
            listen(&state, inherited)
            for (address, descriptors) in inherited where state.groups[address] == nil {
                for descriptor in descriptors { _ = clinux_close(descriptor) }
            }
        }
    }

    private func open(
        _ address: ListenAddress,
        isOwn: Bool,
        inherited: [Int32],
        _ state: inout State
    ) throws {
        let group = try ListeningGroup(
            address,
            number: state.nextGroup,
            isOwn: isOwn,
            workers: members.count,
            inherited: inherited
        )
        state.nextGroup = (state.nextGroup + 1) % 0xFFF0
        state.groups[address] = group
        for (index, descriptor) in group.descriptors.enumerated() {
            let socket = ListeningSocket(descriptor: descriptor, number: group.number, door: group.door)
            members[index % members.count].mailbox.send(.listen(socket))
        }
    }

    /// Opens what the table's listeners need and closes what none needs any more.
    private func listen(_ state: inout State, _ inherited: [ListenAddress: [Int32]] = [:]) {
        let wanted = Set(state.table.source.listeners.compactMap { listenAddress($0, state) })
        for (address, group) in state.groups where !group.isOwn && !wanted.contains(address) {
            state.groups[address] = nil
            for member in members { member.mailbox.send(.unlisten(group.number)) }
        }
        state.unavailablePorts = []
        for address in wanted where state.groups[address] == nil {
            do {
                try open(address, isOwn: false, inherited: inherited[address] ?? [], &state)
            } catch {
                state.unavailablePorts.insert(address.port)
                state.problems.append("\(error)")
            }
        }
    }

    /// The socket that a listener needs beside the gateway's own.
    private func listenAddress(_ listener: RouteTable.Listener, _ state: State) -> ListenAddress? {
        let host = listener.address.isEmpty ? ports.host : listener.address
        let isTLS = listener.tls != nil
        let isOwn = state.groups.values.contains { group in
            group.isOwn && group.port == listener.port && group.address.isTLS == isTLS
        }
        guard listener.port != 0, !isOwn else { return nil }
        return ListenAddress(host: host, port: listener.port, isTLS: isTLS)
    }

    /// What the last table asks for and cannot have: certificates that cannot be used, ports that are taken.
    var problems: [String] { state.withLock(\.problems) }

    /// The ports that are listened on, in order, and whether they are for TLS.
    var listeningPorts: [(Int, isTLS: Bool)] {
        state.withLock { $0.groups.values.map { ($0.port, $0.address.isTLS) } }.sorted { $0.0 < $1.0 }
    }

    var unavailablePorts: Set<Int> { state.withLock(\.unavailablePorts) }

    /// Every listening socket, for a successor. Valid until ``stop(within:handingOver:)``.
    var listening: [(ListenAddress, [Int32])] {
        state.withLock { state in
            state.isListening ? state.groups.values.map { ($0.address, $0.descriptors) } : []
        }
    }

    // MARK: - Tables

    var table: RouteTable { state.withLock(\.table.source) }

    /// Makes `table` the one in force. Workers pick it up at once; requests that run finish with the one they began with.
    /// - Returns: its generation.
    @discardableResult
    func publish(_ table: RouteTable) -> Int {
        state.withLock { state in
            let listeners = state.listeners.compile(table.listeners)
            let compiled = CompiledTable(
                table,
                generation: state.table.generation + 1,
                listeners: listeners,
                policies: policyRegistry,
                backends: backendRegistry.compile(table.backends, now: clinux_monotonic() / 1_000_000),
                series: SeriesLease(registry)
            )
            state.table = compiled
            state.problems = state.listeners.problems
            for member in members { member.mailbox.send(.adopt(compiled)) }
            if state.isListening { listen(&state) }
            return compiled.generation
        }
    }

    /// Frees tables that no worker uses any more; to be called now and then.
    func freeRetired() {
        for member in members { member.mailbox.freeHandedBack() }
    }

    /// The generation that every worker has picked up.
    var adoptedGeneration: Int { members.map { Int($0.metrics.value(of: .generation)) }.min() ?? 0 }

    // MARK: - Draining

    /// Waits until every worker has picked up the tables published so far and has nothing in flight to `address`, or until the deadline.
    /// - Returns: the number of requests still in flight; zero means drained.
    func drained(_ address: String, within deadline: Duration) async -> Int {
        var parsed = clinux_address()
        guard clinux_parse_address(address, 0, &parsed) == 0 else { return 0 }
        let ticket = DrainTicket(address: parsed, workers: members.count)
        for member in members { member.mailbox.send(.awaitDrained(ticket)) }
        await withTaskGroup { group in
            group.addTask { await ticket.wait() }
            group.addTask {
                try? await Task.sleep(for: deadline)
                ticket.giveUp()
            }
            await group.next()
            ticket.giveUp()
            group.cancelAll()
        }
        return ticket.inFlight
    }

    // MARK: - Ending

    /// The workers' threads; none after the end.
    var threads: [UInt64] { state.withLock(\.threads) }

    /// Accepts no more, lets running requests finish within the deadline, then ends all threads. Blocks; not for cooperative threads.
    /// - Parameter handingOver: a successor accepts from the same sockets, so that what waits in their queues is left to it.
    func stop(within milliseconds: Int, handingOver: Bool = false) {
        let limit = UInt64(max(0, milliseconds))
        for member in members { member.mailbox.send(handingOver ? .handOver(within: limit) : .stop(within: limit)) }
        let threads = state.withLock { state in
            state.isListening = false
            defer { state.threads = [] }
            return state.threads
        }
        for thread in threads { _ = clinux_thread_join(thread) }
        accessLog?.close()
    }

    // MARK: - Metrics

    var series: [(number: Int, series: MetricSeries)] { registry.all }

    /// The policies of the table in force.
    var policies: [PolicyState] { policyRegistry.all }

    /// The backends of the table in force with what is known of their endpoints.
    var backends: [BackendRecord] { backendRegistry.backends }

    /// The sum over all workers of a series' words; see ``WorkerMetrics``.
    func words(ofSeries number: Int) -> [UInt64] {
        var sum = Array(repeating: UInt64(0), count: WorkerMetrics.wordsPerSeries)
        for member in members {
            for (index, word) in member.metrics.words(ofSeries: number).enumerated() { sum[index] &+= word }
        }
        return sum
    }

    func value(of gauge: WorkerMetrics.Gauge) -> UInt64 { members.reduce(0) { $0 + $1.metrics.value(of: gauge) } }
}

/// Carries a worker to its thread.
private final class WorkerThread {
    private var worker: Worker?

    private init(_ worker: consuming Worker) { self.worker = consume worker }

    static func start(_ worker: consuming Worker, name: String) throws -> UInt64 {
        let carrier = WorkerThread(worker)
        var thread: UInt64 = 0
        let context = Unmanaged.passRetained(carrier)
        let result = clinux_thread_start(
            &thread,
            name,
            { context in
                Unmanaged<WorkerThread>.fromOpaque(context!).takeRetainedValue().run()
            },
            context.toOpaque()
        )
        guard result == 0 else {
            context.release()
            throw GatewayError("cannot start a worker thread", errno: -result)
        }
        return thread
    }

    /// The worker moves out of the object first: a local value needs no exclusivity checks.
    private func run() {
        guard var worker = worker.take() else { return }
        worker.run()
    }
}
