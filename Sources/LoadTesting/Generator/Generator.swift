import CLinux
import Glibc

/// One event loop on one thread that sends its part of the traffic and takes the times.
///
/// Nothing here is shared with other threads but the flag that ends the test. A request in steady state costs one send and one
/// receive, no allocation and no reference counting: it must not take more of the machine than what it measures needs.
struct Generator: ~Copyable {
    static let receiveSize = 64 * 1024
    static let maximumHead = 64 * 1024
    /// Nanoseconds that a user of the closed model waits after a failure, so that a dead target is not stormed.
    private static let pauseAfterFailure: UInt64 = 50_000_000
    private static let second: UInt64 = 1_000_000_000

    let isClosed: Bool
    let timeout: UInt64
    var address: clinux_address
    let epoll: Int32
    private let events: UnsafeMutablePointer<clinux_event>
    let received: UnsafeMutablePointer<UInt8>
    let classes: UnsafeMutablePointer<ClassState>
    let classCount: Int
    /// Of the current second.
    let tallies: UnsafeMutablePointer<Tally>
    var slab: SocketSlab<LoadConnection>
    /// `nil` where the target speaks plain HTTP.
    let client: TLSClient?
    /// Why the first TLS handshake that failed did so.
    var problem: String?
    private let link: GeneratorLink

    /// Nanoseconds of the monotonic clock, read once per turn of the loop.
    var now: UInt64 = 0
    var isOffering = true
    private let start: UInt64
    private let end: UInt64
    private var sealedSeconds = 0
    /// When the last request was offered.
    private var endedAt: UInt64 = 0
    private var retryAt: UInt64 = .max

    /// - Parameters:
    ///   - start: of the test, nanoseconds of the monotonic clock; the same for all threads.
    init(
        plan: LoadPlan,
        schedules: [ArrivalSchedule],
        thread: Int,
        start: UInt64,
        client: TLSClient?,
        link: GeneratorLink
    ) throws {
        self.link = link
        self.client = client
        self.start = start
        end = start + UInt64(plan.duration)
        isClosed = plan.model == .closed
        timeout = UInt64(plan.timeout)
        address = plan.target.address
        epoll = clinux_epoll_create()
        guard epoll >= 0 else { throw LoadError("cannot make an epoll instance", errno: -epoll) }
        events = .allocate(capacity: 256)
        received = .allocate(capacity: Self.receiveSize)
        classCount = plan.classes.count
        classes = .allocate(capacity: classCount)
        tallies = .allocate(capacity: classCount)
        tallies.initialize(repeating: Tally(), count: classCount)
        for (index, description) in plan.classes.enumerated() {
            let state = ClassState(description, plan: plan, schedule: schedules[index], thread: thread)
            (classes + index).initialize(to: state)
        }
        slab = SocketSlab<LoadConnection>(capacity: (0..<classCount).reduce(0) { [classes] in $0 + classes[$1].limit })
    }

    deinit {
        _ = clinux_close(epoll)
        for index in 0..<classCount { classes[index].deallocate() }
        events.deallocate()
        received.deallocate()
        classes.deallocate()
        tallies.deinitialize(count: classCount)
        tallies.deallocate()
    }

    /// Runs until everything that was offered has ended.
    mutating func run() {
        clinux_set_timer_slack(1)
        if client != nil { Self.blockBrokenPipes() }
        prepare()
        while isOffering || !isDrained {
            let count = clinux_epoll_wait(epoll, events, 256, waitTime())
            now = clinux_monotonic()
            for index in 0..<Int(max(0, count)) { dispatch(events[index]) }
            giveUpOverdue()
            offer()
            if now >= start + UInt64(sealedSeconds + 1) * Self.second { sealSeconds() }
        }
        seal(sealedSeconds)
        let offered = endedAt > start ? endedAt - start : 0
        link.finish(processorTime: clinux_thread_time(), offeringTime: offered, problem: problem)
    }

    /// OpenSSL writes without MSG_NOSIGNAL; the signal would end the process.
    private static func blockBrokenPipes() {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
    }

    // MARK: - The loop

    private mutating func prepare() {
        for index in 0..<classCount {
            if isClosed {
                classes[index].readyUsers = classes[index].limit
            } else {
                advance(classes + index)
            }
        }
    }

    private var isDrained: Bool {
        for index in 0..<classCount where !classes[index].busy.isEmpty || classes[index].waiting.count > 0 {
            return false
        }
        return true
    }

    /// Nanoseconds until something must be done without an event.
    private func waitTime() -> Int64 {
        var due = start + UInt64(sealedSeconds + 1) * Self.second
        if isOffering { due = min(due, end) }
        due = min(due, retryAt)
        for index in 0..<classCount {
            let state = classes + index
            due = min(due, state.pointee.nextArrival)
            if !state.pointee.busy.isEmpty { due = min(due, slab[state.pointee.busy.first].pointee.intended + timeout) }
            if let first = state.pointee.waiting.first { due = min(due, first + timeout) }
            if isClosed, state.pointee.readyUsers > 0, isOffering { due = min(due, start) }
        }
        let clock = clinux_monotonic()
        return due > clock ? Int64(due - clock) : 0
    }

    @inline(__always)
    private mutating func dispatch(_ event: clinux_event) {
        guard let connection = slab.find(token: event.token) else { return }
        if event.events & UInt32(CLINUX_PEER_CLOSED | CLINUX_FAILED | CLINUX_HUNG_UP) != 0 {
            connection.pointee.peerEnded = true
        }
        let generation = connection.pointee.generation
        switch connection.pointee.state {
        case .connecting: connected(connection)
        case .handshaking: handshake(connection)
        case .idle: return idleReady(connection)
        case .busy where event.events & UInt32(CLINUX_WRITABLE) != 0:
            if connection.pointee.sent < connection.pointee.request.count { send(connection) }
        case .busy: break
        case .free: return
        }
        guard connection.pointee.generation == generation, connection.pointee.state == .busy else { return }
        if connection.pointee.peerEnded || event.events & UInt32(CLINUX_READABLE) != 0 { receive(connection) }
    }

    // MARK: - Offering

    private mutating func offer() {
        if isOffering, link.isStopped || now >= end && (isClosed || isScheduleOver) { stopOffering() }
        for index in 0..<classCount {
            let state = classes + index
            if isClosed { offerUsers(state) } else { offerArrivals(state) }
            while state.pointee.open < state.pointee.limit, let intended = state.pointee.waiting.popFirst() {
                connect(state, intended: intended, isResending: false)
            }
        }
        if now >= retryAt { retryAt = .max }
    }

    @inline(__always)
    private mutating func offerArrivals(_ state: UnsafeMutablePointer<ClassState>) {
        while state.pointee.nextArrival <= now {
            let intended = state.pointee.nextArrival
            advance(state)
            tally(state).pointee.offered &+= 1
            place(state, intended: intended)
        }
    }

    private mutating func offerUsers(_ state: UnsafeMutablePointer<ClassState>) {
        guard isOffering, now >= start else { return }
        if now >= retryAt {
            state.pointee.readyUsers += state.pointee.failedUsers
            state.pointee.failedUsers = 0
        }
        while state.pointee.readyUsers > 0 {
            state.pointee.readyUsers -= 1
            tally(state).pointee.offered &+= 1
            place(state, intended: now)
        }
    }

    /// Gives a request to an idle connection, to a new one, or has it wait.
    @inline(__always)
    private mutating func place(_ state: UnsafeMutablePointer<ClassState>, intended: UInt64) {
        if !state.pointee.idle.isEmpty {
            let connection = slab[state.pointee.idle.last]
            slab.remove(connection, from: &state.pointee.idle)
            begin(connection, intended: intended)
        } else if state.pointee.open < state.pointee.limit {
            connect(state, intended: intended, isResending: false)
        } else if !state.pointee.waiting.append(intended) {
            end(state, .unsent, intended: intended)
        }
    }

    @inline(__always)
    private func advance(_ state: UnsafeMutablePointer<ClassState>) {
        guard let offset = state.pointee.cursor.next() else {
            state.pointee.nextArrival = .max
            return
        }
        state.pointee.nextArrival = start + offset
    }

    private var isScheduleOver: Bool {
        for index in 0..<classCount where classes[index].nextArrival != .max { return false }
        return true
    }

    private mutating func stopOffering() {
        isOffering = false
        endedAt = min(now, end)
        for index in 0..<classCount {
            let state = classes + index
            state.pointee.nextArrival = .max
            guard link.isStopped else { continue }
            // Whoever ends the test early takes back what was not sent yet.
            while state.pointee.waiting.popFirst() != nil { tally(classes + index).pointee.withdrawn &+= 1 }
        }
    }

    /// A user of the closed model whose request failed tries again after a pause.
    func pauseUser(_ state: UnsafeMutablePointer<ClassState>) -> UInt64 {
        state.pointee.failedUsers += 1
        return now + Self.pauseAfterFailure
    }

    // MARK: - Accounts

    @inline(__always)
    func tally(_ state: UnsafeMutablePointer<ClassState>) -> UnsafeMutablePointer<Tally> {
        tallies + (state - classes)
    }

    /// Enters how a request ended.
    @inline(__always)
    mutating func end(_ state: UnsafeMutablePointer<ClassState>, _ outcome: Outcome, intended: UInt64) {
        let elapsed = clinux_monotonic() - intended
        tally(state).pointee.record(outcome, nanoseconds: outcome == .unsent ? max(elapsed, timeout) : elapsed)
        if isClosed, outcome.rawValue >= Outcome.refused.rawValue { retryAt = min(retryAt, pauseUser(state)) }
    }

    private mutating func giveUpOverdue() {
        for index in 0..<classCount {
            let state = classes + index
            while !state.pointee.busy.isEmpty {
                let connection = slab[state.pointee.busy.first]
                guard connection.pointee.intended + timeout <= now else { break }
                finish(connection, .timedOut)
            }
            while let first = state.pointee.waiting.first, first + timeout <= now {
                _ = state.pointee.waiting.popFirst()
                end(state, .unsent, intended: first)
            }
        }
    }

    private mutating func sealSeconds() {
        while now >= start + UInt64(sealedSeconds + 1) * Self.second {
            seal(sealedSeconds)
            sealedSeconds += 1
        }
    }

    /// Passes the accounts of a second on and starts new ones.
    private func seal(_ second: Int) {
        var sealed: [Tally] = []
        for index in 0..<classCount {
            sealed.append(tallies[index])
            tallies[index] = Tally()
        }
        link.send(second: second, tallies: sealed)
    }
}
