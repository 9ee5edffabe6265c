import CLinux
import FlowControl
import Glibc

/// One event loop on one thread: accepts clients, matches requests, speaks to endpoints.
///
/// Nothing here is shared with other workers. A request in steady state costs four socket calls, no allocation and no reference
/// counting: connections are plain structs in a slab, heads are byte ranges, buffers come from free lists.
struct Worker: ~Copyable {
    static let receiveSize = 64 * 1024
    /// Room before received bytes, for the size line of a chunk.
    static let headroom = 32
    static let scratchSize = 256 * 1024
    /// Tokens from here on, by their lower half, are no connection's: the wake-up, and above it the listening sockets.
    private static let wakeupToken: UInt64 = 0xFFFF_0000

    let number: Int
    let configuration: DataPathConfiguration
    let mailbox: WorkerMailbox
    let metrics: WorkerMetrics.Writer
    let epoll: Int32
    private var sockets: [ListeningSocket] = []
    private let entry: TLSEntry
    let desk: UnsafeMutablePointer<TLSDesk>
    private let events: UnsafeMutablePointer<clinux_event>

    var slab: ConnectionSlab
    var timers: TimerWheel
    var buffers = BufferPool()
    var topology: Topology
    var tickets: [DrainTicket] = []
    var hasTickets = false

    /// What was just received; shared by all connections, valid until the next receive.
    let received: UnsafeMutablePointer<UInt8>
    /// Where heads for clients are written.
    let scratch: UnsafeMutablePointer<UInt8>
    let fields: UnsafeMutablePointer<HeaderField>

    /// Milliseconds and nanoseconds of the monotonic clock, read once per turn of the loop.
    var now: UInt64
    var nanoseconds: UInt64
    private var randomState: UInt64

    private var queue: RevisitQueue
    var firstHeld = Connection.none
    var heldCount = 0
    var pacing: PacingQueue
    /// Where the tickets of keyed rate limits stand while a request is decided.
    let rateTickets: UnsafeMutablePointer<KeyedRateLimiter.Ticket>
    var pendingCount = 0
    let accessLog: AccessLogWriter?
    var clientCount = 0
    var inFlightCount = 0
    var copyCount = 0
    var idleUpstreamCount = 0
    var isStopping = false
    private var stopAt: UInt64 = 0
    private var isAccepting = true
    private var acceptAgainAt: UInt64 = 0

    init(
        number: Int,
        configuration: DataPathConfiguration,
        mailbox: WorkerMailbox,
        metrics: WorkerMetrics.Writer,
        entry: TLSEntry,
        table: CompiledTable,
        accessLog: AccessLogWriter? = nil
    ) throws {
        self.number = number
        self.configuration = configuration
        self.mailbox = mailbox
        self.metrics = metrics
        self.entry = entry
        self.accessLog = accessLog
        epoll = clinux_epoll_create()
        guard epoll >= 0 else { throw GatewayError("cannot make an epoll instance", errno: -epoll) }
        nanoseconds = clinux_monotonic()
        now = nanoseconds / 1_000_000
        slab = ConnectionSlab(capacity: configuration.maximumClients * 2)
        timers = TimerWheel(now: now)
        queue = RevisitQueue()
        events = .allocate(capacity: 256)
        received = .allocate(capacity: Self.headroom + Self.receiveSize + Self.headroom)
        scratch = .allocate(capacity: Self.scratchSize)
        fields = .allocate(capacity: FieldParser.maximumFields)
        pacing = PacingQueue(capacity: configuration.maximumPaced)
        // A rule has its own policies, and counts for those that others relate to it.
        rateTickets = .allocate(capacity: 2 * TrafficPolicy.maximumPerRule)
        randomState = clinux_random() | 1
        desk = TLSDesk.make(entry: entry, listeners: table.listeners.view, metrics: metrics)
        topology = Topology(worker: number, workers: configuration.workers)
        topology.adopt(table)
        metrics.set(.generation, UInt64(table.generation))
        _ = clinux_epoll_add_listener(epoll, mailbox.wakeup, Self.wakeupToken)
    }

    deinit {
        _ = clinux_close(epoll)
        for socket in sockets { _ = clinux_close(socket.descriptor) }
        TLSDesk.dispose(desk)
        events.deallocate()
        received.deallocate()
        scratch.deallocate()
        fields.deallocate()
        rateTickets.deallocate()
    }

    /// Runs until told to stop.
    mutating func run() {
        clinux_pool_open()
        defer { clinux_pool_close() }
        while !isFinished {
            let count = clinux_epoll_wait(epoll, events, 256, waitTime)
            readClock()
            var isWoken = false
            for index in 0..<Int(max(0, count)) { dispatch(events[index], &isWoken) }
            revisit()
            expireTimers()
            releasePaced()
            if isWoken { for command in mailbox.takeAll() { perform(command) } }
            if !isAccepting { acceptAgainIfPossible() }
            if topology.hasRetired { mailbox.handBack(topology.takeRetired()) }
            publishGauges()
        }
        closeEverything()
    }

    // MARK: - The loop

    private var isFinished: Bool { isStopping && (clientCount == 0 || now >= stopAt) }

    /// Nanoseconds until there is something to do by time; negative when there is nothing.
    private var waitTime: Int64 {
        if !queue.isEmpty { return 0 }
        let tick = timers.wait(now: now)
        var wait = tick < 0 ? Int64.max : Int64(tick) * 1_000_000
        if let due = pacing.nextDue {
            // What this turn has taken already is no time to wait.
            let clock = clinux_monotonic()
            wait = min(wait, due > clock ? Int64(due - clock) : 0)
        }
        if !isAccepting || isStopping { wait = min(wait, 50_000_000) }
        return wait == .max ? -1 : wait
    }

    private mutating func readClock() {
        nanoseconds = clinux_monotonic()
        now = nanoseconds / 1_000_000
    }

    @inline(__always)
    private mutating func dispatch(_ event: clinux_event, _ isWoken: inout Bool) {
        guard event.token & 0xFFFF_FFFF < Self.wakeupToken else {
            if event.token == Self.wakeupToken { isWoken = true } else { acceptClients(event.token) }
            return
        }
        guard let connection = slab.find(token: event.token) else { return }
        if event.events & UInt32(CLINUX_READABLE) != 0 { connection.pointee.isReadable = true }
        if event.events & UInt32(CLINUX_WRITABLE) != 0 { connection.pointee.isWritable = true }
        if event.events & UInt32(CLINUX_PEER_CLOSED) != 0 {
            connection.pointee.peerEnded = true
            connection.pointee.isReadable = true
        }
        if event.events & UInt32(CLINUX_FAILED | CLINUX_HUNG_UP) != 0 {
            connection.pointee.hasFailed = true
            connection.pointee.isReadable = true
            connection.pointee.isWritable = true
        }
        visit(connection)
    }

    @inline(__always)
    private mutating func visit(_ connection: ConnectionPointer) {
        switch connection.pointee.role {
        case .client: clientReady(connection)
        case .upstream: upstreamReady(connection)
        case .free: break
        }
    }

    /// Has a connection looked at again in this turn of the loop, so that no connection keeps the others waiting and nothing recurses.
    func enqueue(_ connection: ConnectionPointer) {
        guard !connection.pointee.isQueued else { return }
        connection.pointee.isQueued = true
        queue.append(ConnectionSlab.token(connection))
    }

    /// Looks at what stood in the queue when it was called; what comes anew waits for the next turn.
    private mutating func revisit() {
        var left = queue.count
        while left > 0, let token = queue.popFirst() {
            left -= 1
            guard let connection = slab.find(token: token) else { continue }
            connection.pointee.isQueued = false
            visit(connection)
        }
    }

    private mutating func expireTimers() {
        while let connection = timers.popExpired(now: now, in: slab) {
            switch connection.pointee.role {
            case .client: clientTimedOut(connection)
            case .upstream: upstreamTimedOut(connection)
            case .free: break
            }
        }
    }

    /// xorshift64*, for spreading load and numbering requests; not for secrets.
    mutating func random() -> UInt64 {
        randomState ^= randomState >> 12
        randomState ^= randomState << 25
        randomState ^= randomState >> 27
        return randomState &* 0x2545_F491_4F6C_DD1D
    }

    private func publishGauges() {
        metrics.set(.clients, UInt64(clientCount))
        metrics.set(.inFlight, UInt64(inFlightCount))
        metrics.set(.idleUpstreams, UInt64(idleUpstreamCount))
        metrics.set(.bufferBytes, UInt64(buffers.bytesHeld))
        metrics.set(.held, UInt64(heldCount))
        metrics.set(.pending, UInt64(pendingCount))
        metrics.add(.loops)
    }

    // MARK: - Accepting

    private static func token(_ socket: ListeningSocket) -> UInt64 { wakeupToken + 1 + UInt64(socket.number) }

    private mutating func acceptClients(_ token: UInt64) {
        guard let index = sockets.firstIndex(where: { Self.token($0) == token }) else { return }
        acceptClients(sockets[index], rounds: 64)
    }

    private mutating func acceptClients(_ socket: ListeningSocket, rounds: Int) {
        for _ in 0..<rounds {
            guard clientCount < configuration.maximumClients else { return pauseAccepting(for: 5) }
            var address = clinux_address()
            let descriptor = clinux_accept(socket.descriptor, &address)
            if descriptor == -EAGAIN { return }
            if descriptor == -EMFILE || descriptor == -ENFILE || descriptor == -ENOBUFS || descriptor == -ENOMEM {
                return pauseAccepting(for: 100)
            }
            guard descriptor >= 0 else { continue }  // the client is gone already
            addClient(descriptor, address, socket.door)
        }
    }

    private mutating func addClient(_ descriptor: Int32, _ address: clinux_address, _ door: ListenerView.Door) {
        guard let client = slab.take(.client, descriptor: descriptor) else {
            _ = clinux_close(descriptor)
            return
        }
        guard clinux_epoll_add_connection(epoll, descriptor, ConnectionSlab.token(client)) == 0 else {
            _ = clinux_close(descriptor)
            return slab.give(client)
        }
        client.pointee.address = address
        client.pointee.door = door
        client.pointee.phase = door.isTLS ? .handshake : .head
        clientCount += 1
        metrics.add(.accepted)
        let patience = door.isTLS ? configuration.handshakeTimeout : configuration.idleTimeout
        timers.set(client, deadline: now + patience, in: slab)
    }

    /// The backlog keeps what comes meanwhile; a level-triggered listener would spin.
    private mutating func pauseAccepting(for milliseconds: UInt64) {
        if isAccepting {
            for socket in sockets { _ = clinux_epoll_remove(epoll, socket.descriptor) }
        }
        isAccepting = false
        acceptAgainAt = now + milliseconds
    }

    private mutating func acceptAgainIfPossible() {
        guard now >= acceptAgainAt, clientCount < configuration.maximumClients else { return }
        isAccepting = true
        for socket in sockets { _ = clinux_epoll_add_listener(epoll, socket.descriptor, Self.token(socket)) }
    }

    private mutating func listen(_ socket: ListeningSocket) {
        guard !isStopping else {
            _ = clinux_close(socket.descriptor)
            return
        }
        sockets.append(socket)
        if isAccepting { _ = clinux_epoll_add_listener(epoll, socket.descriptor, Self.token(socket)) }
    }

    /// Closes listening sockets.
    /// - Parameter takesQueued: accepts first what waits in their queues, which would be reset; not for sockets that a successor holds too.
    private mutating func unlisten(takesQueued: Bool, where isMeant: (ListeningSocket) -> Bool) {
        for socket in sockets where isMeant(socket) {
            if takesQueued { acceptClients(socket, rounds: .max) }
            // Closing alone would leave it registered while another process holds it.
            if isAccepting { _ = clinux_epoll_remove(epoll, socket.descriptor) }
            _ = clinux_close(socket.descriptor)
        }
        sockets.removeAll(where: isMeant)
    }

    // MARK: - Commands

    private mutating func perform(_ command: WorkerMailbox.Command) {
        switch command {
        case .adopt(let table):
            topology.adopt(table)
            closeRetired()
            metrics.set(.generation, UInt64(table.generation))
            dispatchHeld()
        case .awaitDrained(let ticket):
            tickets.append(ticket)
            hasTickets = true
            reportDrains()
        case .listen(let socket): listen(socket)
        case .unlisten(let number): unlisten(takesQueued: true) { $0.number == number }
        case .stop(let milliseconds): stop(within: milliseconds, idleWithin: min(1000, milliseconds), takesQueued: true)
        case .handOver(let milliseconds): stop(within: milliseconds, idleWithin: milliseconds, takesQueued: false)
        }
    }

    /// Accepts no more. Connections that wait for a request get some time to send one; its answer says that it was the last.
    private mutating func stop(within milliseconds: UInt64, idleWithin idle: UInt64, takesQueued: Bool) {
        guard !isStopping else { return }
        isStopping = true
        stopAt = now + milliseconds
        unlisten(takesQueued: takesQueued) { _ in true }
        for index in 0..<slab.count {
            let connection = slab[UInt32(index)]
            guard connection.pointee.role == .client, connection.pointee.phase == .head else { continue }
            timers.set(connection, deadline: now + idle, in: slab)
        }
    }

    /// Closes idle connections to endpoints that the table no longer names.
    private mutating func closeRetired() {
        for index in 0..<topology.endpoints.count {
            let number = UInt32(index)
            guard topology.endpoints[number].pointee.isUsed, topology.endpoints[number].pointee.isRetired else {
                continue
            }
            while let idle = popIdle(endpoint: number) { closeUpstream(idle) }
            topology.freeEndpointIfUnused(number)
        }
    }

    /// Tells those who wait for drained addresses how much is still in flight there.
    mutating func reportDrains() {
        tickets.removeAll { ticket in
            if ticket.isOver { return true }
            let inFlight = topology.inFlight(to: ticket.address)
            ticket.report(worker: number, inFlight: inFlight)
            return inFlight == 0
        }
        hasTickets = !tickets.isEmpty
    }

    private mutating func closeEverything() {
        for index in 0..<slab.count where slab[UInt32(index)].pointee.role == .client {
            closeClient(slab[UInt32(index)])
        }
        for index in 0..<slab.count where slab[UInt32(index)].pointee.role == .upstream {
            closeUpstream(slab[UInt32(index)])
        }
        publishGauges()
    }
}

/// Connections to be looked at again, by token; grows as needed, at most one entry per connection.
struct RevisitQueue: ~Copyable {
    private let state: UnsafeMutablePointer<State>

    private struct State {
        var base: UnsafeMutablePointer<UInt64>
        var capacity = 1024
        var head = 0
        var count = 0
    }

    init() {
        state = .allocate(capacity: 1)
        state.initialize(to: State(base: .allocate(capacity: 1024)))
    }

    deinit {
        state.pointee.base.deallocate()
        state.deallocate()
    }

    var isEmpty: Bool { state.pointee.count == 0 }
    var count: Int { state.pointee.count }

    func append(_ token: UInt64) {
        if state.pointee.count == state.pointee.capacity { grow() }
        state.pointee.base[(state.pointee.head + state.pointee.count) & (state.pointee.capacity - 1)] = token
        state.pointee.count += 1
    }

    func popFirst() -> UInt64? {
        guard state.pointee.count > 0 else { return nil }
        let token = state.pointee.base[state.pointee.head]
        state.pointee.head = (state.pointee.head + 1) & (state.pointee.capacity - 1)
        state.pointee.count -= 1
        return token
    }

    private func grow() {
        let old = state.pointee
        let larger = UnsafeMutablePointer<UInt64>.allocate(capacity: old.capacity * 2)
        for index in 0..<old.count { larger[index] = old.base[(old.head + index) & (old.capacity - 1)] }
        old.base.deallocate()
        state.pointee = State(base: larger, capacity: old.capacity * 2, head: 0, count: old.count)
    }
}
