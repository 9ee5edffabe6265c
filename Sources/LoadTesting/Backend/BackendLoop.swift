import CLinux
import Glibc

/// One event loop on one thread: accepts clients, serves their requests as the settings say.
struct BackendLoop: ~Copyable {
    private static let maximumClients = 65_536
    private static let receiveSize = 64 * 1024
    private static let listenerToken = UInt64.max
    private static let wakeupToken = UInt64.max - 1
    /// Nanoseconds between two publications of the statistics.
    private static let publicationPeriod: UInt64 = 10_000_000

    private let number: Int
    private let listener: Int32
    private let control: BackendControl
    private let epoll: Int32
    private let events: UnsafeMutablePointer<clinux_event>
    private let received: UnsafeMutablePointer<UInt8>
    private var slab = SocketSlab<BackendConnection>(capacity: maximumClients)
    private var service: ServiceQueue
    private var settings: BackendSettings
    private var settingsVersion = -1
    private var answers = PreparedAnswers()
    private var statistics = BackendStatistics()
    private var published = BackendStatistics()
    private var publishAt: UInt64 = 0
    private var now: UInt64

    /// Takes the listening socket over.
    init(number: Int, listener: Int32, control: BackendControl) throws {
        self.number = number
        self.listener = listener
        self.control = control
        settings = control.settings
        epoll = clinux_epoll_create()
        guard epoll >= 0 else { throw LoadError("cannot make an epoll instance", errno: -epoll) }
        events = .allocate(capacity: 256)
        received = .allocate(capacity: Self.receiveSize)
        now = clinux_monotonic()
        service = ServiceQueue(thread: number, threads: control.threads)
        _ = clinux_epoll_add_listener(epoll, listener, Self.listenerToken)
        _ = clinux_epoll_add_listener(epoll, control.wakeup(of: number), Self.wakeupToken)
    }

    deinit {
        _ = clinux_close(epoll)
        _ = clinux_close(listener)
        events.deallocate()
        received.deallocate()
        answers.deallocate()
    }

    /// Runs until told to stop.
    mutating func run() {
        clinux_set_timer_slack(1)
        while !control.isStopped {
            adoptSettings()
            let count = clinux_epoll_wait(epoll, events, 256, waitTime())
            now = clinux_monotonic()
            for index in 0..<Int(max(0, count)) { dispatch(events[index]) }
            while let token = service.popFinished(now: now) { finished(token) }
            publish()
        }
        for index in 0..<slab.count where slab[index].pointee.descriptor >= 0 { close(slab[index]) }
    }

    // MARK: - The loop

    private mutating func adoptSettings() {
        let version = control.currentVersion
        guard version != settingsVersion else { return }
        settingsVersion = version
        settings = control.settings
        now = clinux_monotonic()
        service.adopt(settings, now: now)
        answers.prepare(settings)
    }

    private func waitTime() -> Int64 {
        var due = service.nextDue ?? .max
        if statistics != published { due = min(due, publishAt) }
        guard due != .max else { return -1 }
        let clock = clinux_monotonic()
        return due > clock ? Int64(due - clock) : 0
    }

    private mutating func publish() {
        guard now >= publishAt else { return }
        statistics.inService = service.inService
        statistics.waiting = service.waitingCount
        guard statistics != published else { return }
        control.publish(statistics, of: number)
        published = statistics
        publishAt = now + Self.publicationPeriod
    }

    private mutating func dispatch(_ event: clinux_event) {
        if event.token == Self.listenerToken { return accept() }
        if event.token == Self.wakeupToken { return clinux_eventfd_clear(control.wakeup(of: number)) }
        guard let connection = slab.find(token: event.token) else { return }
        if event.events & UInt32(CLINUX_PEER_CLOSED | CLINUX_FAILED | CLINUX_HUNG_UP) != 0 {
            connection.pointee.peerEnded = true
            connection.pointee.isReadable = true
        }
        if event.events & UInt32(CLINUX_READABLE) != 0 { connection.pointee.isReadable = true }
        if connection.pointee.phase == .writing { flush(connection) }
        serve(connection, generation: UInt32(truncatingIfNeeded: event.token >> 32))
    }

    private mutating func accept() {
        for _ in 0..<256 {
            var peer = clinux_address()
            let descriptor = clinux_accept(listener, &peer)
            guard descriptor >= 0 else { return }
            guard let connection = slab.take(descriptor: descriptor) else {
                _ = clinux_close(descriptor)
                return
            }
            _ = clinux_epoll_add_connection(epoll, descriptor, SocketSlab.token(connection))
            statistics.connections += 1
        }
    }

    private mutating func close(_ connection: BackendConnectionPointer, withReset: Bool = false) {
        let descriptor = connection.pointee.descriptor
        _ = withReset ? clinux_close_with_reset(descriptor) : clinux_close(descriptor)
        connection.pointee.input.clear()
        connection.pointee.output.clear()
        slab.give(connection)
    }

    // MARK: - Reading

    /// Reads and answers while there is something to read and nothing in the way.
    private mutating func serve(_ connection: BackendConnectionPointer, generation: UInt32) {
        while connection.pointee.generation == generation, connection.pointee.phase == .reading,
            connection.pointee.isReadable
        {
            let count = clinux_receive(connection.pointee.descriptor, received, Self.receiveSize)
            if count == -Int64(EAGAIN) {
                connection.pointee.isReadable = false
                return
            }
            guard count > 0 else { return close(connection) }
            if Int(count) < Self.receiveSize, !connection.pointee.peerEnded { connection.pointee.isReadable = false }
            take(connection, Int(count))
        }
    }

    private mutating func take(_ connection: BackendConnectionPointer, _ count: Int) {
        guard connection.pointee.input.count > 0 else { return process(connection, received, count) }
        connection.pointee.input.append(received, count)
        processInput(connection)
    }

    /// Goes on with bytes that were received earlier.
    private mutating func processInput(_ connection: BackendConnectionPointer) {
        var input = connection.pointee.input
        guard input.count > 0 else { return }
        connection.pointee.input = ByteStore()
        process(connection, input.base.unsafelyUnwrapped, input.count)
        input.clear()
    }

    private mutating func process(_ connection: BackendConnectionPointer, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        let generation = connection.pointee.generation
        var offset = 0
        while offset < count, connection.pointee.phase == .reading {
            if connection.pointee.bodyLeft > 0 {
                let taken = min(connection.pointee.bodyLeft, UInt64(count - offset))
                connection.pointee.bodyLeft -= taken
                offset += Int(taken)
            } else {
                switch BackendRequest.scan(bytes + offset, count - offset) {
                case .incomplete: return connection.pointee.input.set(bytes + offset, count - offset)
                case .malformed: return close(connection)
                case .complete(let request):
                    readRoute(connection, bytes + offset, request)
                    offset += request.length
                }
            }
            if connection.pointee.bodyLeft == 0 { arrived(connection) }
            guard connection.pointee.generation == generation else { return }
        }
        if offset < count { connection.pointee.input.set(bytes + offset, count - offset) }
    }

    @inline(__always)
    private mutating func readRoute(
        _ connection: BackendConnectionPointer,
        _ bytes: UnsafePointer<UInt8>,
        _ request: BackendRequest
    ) {
        connection.pointee.bodyLeft = request.bodyLength
        let path = bytes + request.pathStart
        let length = request.pathEnd - request.pathStart
        guard length >= 3, memcmp(path, "/-/", 3) == 0 else {
            connection.pointee.route = BackendRoute(isHead: request.isHead, keepsAlive: request.keepsAlive)
            return
        }
        let text = String(decoding: UnsafeBufferPointer(start: path, count: length), as: UTF8.self)
        connection.pointee.route = BackendRoute(
            special: text,
            isHead: request.isHead,
            keepsAlive: request.keepsAlive
        )
        if connection.pointee.route.action == .settings { changeSettings(connection, text) }
    }

    private mutating func changeSettings(_ connection: BackendConnectionPointer, _ path: String) {
        let query = path.split(separator: "?", maxSplits: 1).dropFirst().first ?? ""
        do {
            try control.apply(String(query))
        } catch {
            connection.pointee.route.action = .malformed
        }
    }

    // MARK: - Serving

    /// A request is complete: it is answered at once, or takes its place.
    @inline(__always)
    private mutating func arrived(_ connection: BackendConnectionPointer) {
        statistics.requests += 1
        connection.pointee.phase = .working
        switch connection.pointee.route.action {
        case .plain, .sized: takePlace(connection)
        case .delay: service.hold(SocketSlab.token(connection), until: now + UInt64(connection.pointee.route.delay))
        case .stall: break
        case .reset: close(connection, withReset: true)
        case .stats, .settings: report(connection)
        case .malformed: answer(connection, status: 400, size: 0)
        }
    }

    @inline(__always)
    private mutating func takePlace(_ connection: BackendConnectionPointer) {
        switch service.arrive(SocketSlab.token(connection), now: now) {
        case .served: complete(connection)
        case .placed: statistics.mostWaiting = max(statistics.mostWaiting, service.waitingCount)
        case .full:
            statistics.refused += 1
            answer(connection, status: 503, size: 0)
        }
    }

    /// The service of a request is over. Whoever left meanwhile has cost the time all the same.
    private mutating func finished(_ token: UInt64) {
        guard let connection = slab.find(token: token) else { return }
        let generation = connection.pointee.generation
        complete(connection)
        guard connection.pointee.generation == generation, connection.pointee.phase == .reading else { return }
        processInput(connection)
        guard connection.pointee.generation == generation else { return }
        serve(connection, generation: generation)
    }

    @inline(__always)
    private mutating func complete(_ connection: BackendConnectionPointer) {
        if settings.resetShare > 0, service.random() < settings.resetShare { return close(connection, withReset: true) }
        if settings.errorShare > 0, service.random() < settings.errorShare {
            return answer(connection, status: settings.errorStatus, size: 0)
        }
        let route = connection.pointee.route
        if route.action == .plain, route.keepsAlive, !route.isHead, !settings.closes {
            return write(connection, answers.plain.base.unsafelyUnwrapped, answers.plain.count, keepsAlive: true)
        }
        let size = route.action == .plain ? settings.bodySize : route.size
        answer(connection, status: Int(route.status), size: size)
    }

    // MARK: - Writing

    /// Answers with a body of so many bytes.
    private mutating func answer(_ connection: BackendConnectionPointer, status: Int, size: Int) {
        let route = connection.pointee.route
        let isChunked = route.isChunked || route.action == .plain && settings.isChunked
        let keepsAlive = route.keepsAlive && !settings.closes
        var bytes = AnswerWriter.answer(
            status: status,
            size: size,
            isChunked: isChunked && size > 0,
            keepsAlive: keepsAlive,
            isHead: route.isHead
        )
        write(connection, bytes.base.unsafelyUnwrapped, bytes.count, keepsAlive: keepsAlive)
        bytes.clear()
    }

    private mutating func report(_ connection: BackendConnectionPointer) {
        statistics.inService = service.inService
        statistics.waiting = service.waitingCount
        control.publish(statistics, of: number)
        let body =
            connection.pointee.route.action == .stats
            ? AnswerWriter.json(control.statistics) : AnswerWriter.json(control.settings)
        let keepsAlive = connection.pointee.route.keepsAlive
        var bytes = AnswerWriter.json(answer: body, keepsAlive: keepsAlive)
        write(connection, bytes.base.unsafelyUnwrapped, bytes.count, keepsAlive: keepsAlive)
        bytes.clear()
    }

    @inline(__always)
    private mutating func write(
        _ connection: BackendConnectionPointer,
        _ bytes: UnsafePointer<UInt8>,
        _ count: Int,
        keepsAlive: Bool
    ) {
        connection.pointee.route.keepsAlive = keepsAlive
        let sent = clinux_send(connection.pointee.descriptor, bytes, count)
        if sent == Int64(count) { return written(connection) }
        guard sent >= 0 || sent == -Int64(EAGAIN) else { return close(connection) }
        connection.pointee.phase = .writing
        connection.pointee.output.set(bytes + Int(max(0, sent)), count - Int(max(0, sent)))
    }

    private mutating func flush(_ connection: BackendConnectionPointer) {
        let output = connection.pointee.output
        guard let base = output.base else { return }
        let sent = clinux_send(connection.pointee.descriptor, base + output.used, output.count - output.used)
        if sent == -Int64(EAGAIN) { return }
        guard sent >= 0 else { return close(connection) }
        connection.pointee.output.used += Int(sent)
        guard connection.pointee.output.used == output.count else { return flush(connection) }
        connection.pointee.output.clear()
        written(connection)
    }

    @inline(__always)
    private mutating func written(_ connection: BackendConnectionPointer) {
        guard connection.pointee.route.keepsAlive else { return close(connection) }
        connection.pointee.phase = .reading
    }
}
