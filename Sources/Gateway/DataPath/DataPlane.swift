import CLinux
import Glibc
import Synchronization

/// All workers of a gateway, seen from the control side. Thread-safe.
final class DataPlane: Sendable {
    let port: Int
    private let members: [Member]
    private let registry = SeriesRegistry()
    private let state: Mutex<State>

    private struct Member: Sendable {
        let mailbox: WorkerMailbox
        let metrics: WorkerMetrics
    }

    private struct State {
        var table: CompiledTable
        var threads: [UInt64] = []
    }

    /// Binds the listening sockets and starts one thread per worker.
    /// - Parameter port: zero takes a free one; see ``port``.
    init(
        host: String,
        port: Int,
        workers: Int,
        configuration: DataPathConfiguration,
        table: RouteTable = RouteTable()
    ) throws {
        let listeners = try Self.listen(host: host, port: port, count: max(1, workers))
        var address = clinux_address()
        _ = clinux_local_address(listeners[0], &address)
        self.port = Int(address.port)
        members = try listeners.map { _ in Member(mailbox: try WorkerMailbox(), metrics: WorkerMetrics()) }
        let registry = registry
        let compiled = CompiledTable(table, generation: 1) { registry.number(of: $0) }
        state = Mutex(State(table: compiled))
        for (number, listener) in listeners.enumerated() {
            let worker = try Worker(
                number: number,
                listener: listener,
                configuration: configuration,
                mailbox: members[number].mailbox,
                metrics: members[number].metrics.writer,
                table: compiled
            )
            let thread = try WorkerThread.start(worker, name: "gateway-\(number)")
            state.withLock { $0.threads.append(thread) }
        }
    }

    private static func listen(host: String, port: Int, count: Int) throws -> [Int32] {
        var address = clinux_address()
        guard let number = UInt16(exactly: port), clinux_parse_address(host, number, &address) == 0 else {
            throw GatewayError("cannot listen on \(host):\(port): give a numeric address and a port up to 65535")
        }
        var listeners: [Int32] = []
        for _ in 0..<count {
            let listener = clinux_listen(&address, 4096)
            guard listener >= 0 else {
                for listener in listeners { _ = clinux_close(listener) }
                throw GatewayError("cannot listen on \(host):\(port)", errno: -listener)
            }
            listeners.append(listener)
            _ = clinux_local_address(listener, &address)  // further sockets share the port that was found
        }
        return listeners
    }

    // MARK: - Tables

    var table: RouteTable { state.withLock(\.table.source) }

    /// Makes `table` the one in force. Workers pick it up at once; requests that run finish with the one they began with.
    /// - Returns: its generation.
    @discardableResult
    func publish(_ table: RouteTable) -> Int {
        state.withLock { state in
            let registry = registry
            let compiled = CompiledTable(table, generation: state.table.generation + 1) { registry.number(of: $0) }
            state.table = compiled
            for member in members { member.mailbox.send(.adopt(compiled)) }
            return compiled.generation
        }
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

    /// Accepts no more, lets running requests finish within the deadline, then ends all threads. Blocks; not for cooperative threads.
    func stop(within milliseconds: Int) {
        for member in members { member.mailbox.send(.stop(within: UInt64(max(0, milliseconds)))) }
        let threads = state.withLock { state in
            defer { state.threads = [] }
            return state.threads
        }
        for thread in threads { _ = clinux_thread_join(thread) }
    }

    // MARK: - Metrics

    var series: [MetricSeries] { registry.names }

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
