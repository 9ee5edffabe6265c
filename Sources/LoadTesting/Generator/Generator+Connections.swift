import CLinux
import Glibc

extension Generator {
    // MARK: - Beginning

    mutating func connect(_ state: UnsafeMutablePointer<ClassState>, intended: UInt64, isResending: Bool) {
        var pending: Int32 = 0
        let descriptor = clinux_connect(&address, &pending)
        guard descriptor >= 0 else { return end(state, Self.outcome(connecting: -descriptor), intended: intended) }
        guard let connection = slab.take(descriptor: descriptor) else {
            preconditionFailure("The classes' limits add up to the slab's capacity.")
        }
        connection.pointee.trafficClass = UInt32(state - classes)
        connection.pointee.isResending = isResending
        connection.pointee.state = .connecting
        _ = clinux_epoll_add_connection(epoll, descriptor, SocketSlab<LoadConnection>.token(connection))
        state.pointee.open += 1
        tally(state).pointee.connections &+= 1
        assign(connection, intended: intended)
        if pending == 0 { opened(connection) }
    }

    /// Sends a request over a connection that is open.
    @inline(__always)
    mutating func begin(_ connection: LoadConnectionPointer, intended: UInt64) {
        connection.pointee.isReused = true
        assign(connection, intended: intended)
        begun(connection)
    }

    mutating func connected(_ connection: LoadConnectionPointer) {
        let error = clinux_socket_error(connection.pointee.descriptor)
        guard error == 0 else { return finish(connection, Self.outcome(connecting: error)) }
        opened(connection)
    }

    /// The socket is connected: the request goes out, after a handshake where the target speaks TLS.
    private mutating func opened(_ connection: LoadConnectionPointer) {
        guard let client else { return begun(connection) }
        guard let session = client.makeSession(descriptor: connection.pointee.descriptor) else {
            return finish(connection, .unconnected)
        }
        connection.pointee.session = session
        connection.pointee.state = .handshaking
        handshake(connection)
    }

    mutating func handshake(_ connection: LoadConnectionPointer) {
        guard let session = connection.pointee.session else { return }
        switch TLSSession.handshake(session) {
        case .underway: break
        case .done: begun(connection)
        case .failed:
            if problem == nil { problem = TLSSession.problem(session) }
            finish(connection, .unconnected)
        }
    }

    @inline(__always)
    private func assign(_ connection: LoadConnectionPointer, intended: UInt64) {
        let state = classes + Int(connection.pointee.trafficClass)
        connection.pointee.intended = intended
        connection.pointee.request = state.pointee.takeRequest()
        connection.pointee.sent = 0
        connection.pointee.hasAnswered = false
        connection.pointee.scanner = ResponseScanner(toHead: state.pointee.isHead)
        slab.insert(connection, into: &state.pointee.busy)
    }

    @inline(__always)
    private mutating func begun(_ connection: LoadConnectionPointer) {
        connection.pointee.state = .busy
        send(connection)
    }

    @inline(__always)
    mutating func send(_ connection: LoadConnectionPointer) {
        let request = connection.pointee.request
        let bytes = request.base.unsafelyUnwrapped + connection.pointee.sent
        let left = request.count - connection.pointee.sent
        let count =
            if let session = connection.pointee.session {
                TLSSession.send(session, bytes, left)
            } else {
                clinux_send(connection.pointee.descriptor, bytes, left)
            }
        if count >= 0 {
            connection.pointee.sent += Int(count)
        } else if count != -Int64(EAGAIN), !connection.pointee.isReused || connection.pointee.hasAnswered {
            // The peer may have answered before it closed; its answer is read first.
            receive(connection)
        } else if count != -Int64(EAGAIN) {
            lost(connection)
        }
    }

    // MARK: - Receiving

    mutating func receive(_ connection: LoadConnectionPointer) {
        let generation = connection.pointee.generation
        let tally = tallies + Int(connection.pointee.trafficClass)
        while true {
            let descriptor = connection.pointee.descriptor
            let session = connection.pointee.session
            let isDropping = session == nil && connection.pointee.scanner.remaining >= UInt64(Self.receiveSize)
            let size = isDropping ? Int(min(connection.pointee.scanner.remaining, 1 << 20)) : Self.receiveSize
            let count =
                if let session {
                    TLSSession.receive(session, received, size)
                } else {
                    isDropping ? clinux_discard(descriptor, size) : clinux_receive(descriptor, received, size)
                }
            if count == -Int64(EAGAIN) { return }
            guard count > 0 else { return ended(connection, isReset: count < 0) }
            tally.pointee.receivedBytes &+= UInt64(count)
            connection.pointee.hasAnswered = true
            if isDropping {
                connection.pointee.scanner.skip(UInt64(count))
                if connection.pointee.scanner.state == .complete { completed(connection, hasMore: false) }
            } else {
                take(connection, Int(count))
            }
            guard connection.pointee.generation == generation, connection.pointee.state == .busy,
                connection.pointee.hasAnswered,
                session != nil || Int(count) == size || connection.pointee.peerEnded
            else { return }
        }
    }

    @inline(__always)
    private mutating func take(_ connection: LoadConnectionPointer, _ count: Int) {
        if connection.pointee.pendingCount > 0 { return takeWithPending(connection, count) }
        let used = connection.pointee.scanner.scan(received, count)
        switch connection.pointee.scanner.state {
        case .complete: completed(connection, hasMore: used < count)
        case .malformed: finish(connection, .malformed)
        case .head: keepPending(connection, received + used, count - used)
        default: break
        }
    }

    /// The head came in pieces: scans what was kept and what came together.
    private mutating func takeWithPending(_ connection: LoadConnectionPointer, _ count: Int) {
        let kept = connection.pointee.pendingCount
        let total = kept + count
        let joined = UnsafeMutablePointer<UInt8>.allocate(capacity: total)
        defer { joined.deallocate() }
        joined.initialize(from: connection.pointee.pending.unsafelyUnwrapped, count: kept)
        (joined + kept).initialize(from: received, count: count)
        connection.pointee.pending?.deallocate()
        connection.pointee.pending = nil
        connection.pointee.pendingCount = 0
        let used = connection.pointee.scanner.scan(joined, total)
        switch connection.pointee.scanner.state {
        case .complete: completed(connection, hasMore: used < total)
        case .malformed: finish(connection, .malformed)
        case .head: keepPending(connection, joined + used, total - used)
        default: break
        }
    }

    private mutating func keepPending(_ connection: LoadConnectionPointer, _ bytes: UnsafePointer<UInt8>, _ count: Int)
    {
        guard count > 0 else { return }
        guard count <= Self.maximumHead else { return finish(connection, .malformed) }
        let kept = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
        kept.initialize(from: bytes, count: count)
        connection.pointee.pending = kept
        connection.pointee.pendingCount = count
    }

    /// The peer ended or reset a busy connection.
    private mutating func ended(_ connection: LoadConnectionPointer, isReset: Bool) {
        if !isReset { connection.pointee.scanner.end() }
        connection.pointee.peerEnded = true
        if connection.pointee.scanner.state == .complete {
            completed(connection, hasMore: false)
        } else {
            lost(connection)
        }
    }

    // MARK: - Ending

    @inline(__always)
    private mutating func completed(_ connection: LoadConnectionPointer, hasMore: Bool) {
        let state = classes + Int(connection.pointee.trafficClass)
        let clock = clinux_monotonic()
        let elapsed = clock - connection.pointee.intended
        let outcome = Outcome.of(status: connection.pointee.scanner.status, isLate: elapsed > state.pointee.deadline)
        tally(state).pointee.record(outcome, nanoseconds: elapsed)
        slab.remove(connection, from: &state.pointee.busy)
        let isReusable =
            connection.pointee.scanner.keepsAlive && !state.pointee.opensNewConnections && !hasMore
            && !connection.pointee.peerEnded && connection.pointee.sent == connection.pointee.request.count
        if !isReusable {
            close(connection)
            if isClosed { state.pointee.readyUsers += 1 }
        } else if isClosed, isOffering {
            tally(state).pointee.offered &+= 1
            begin(connection, intended: clock)
        } else if let intended = state.pointee.waiting.popFirst() {
            begin(connection, intended: intended)
        } else {
            connection.pointee.state = .idle
            slab.append(connection, to: &state.pointee.idle)
        }
    }

    /// A busy connection is gone without an answer. A request that may simply have met a kept connection's end is sent once more.
    private mutating func lost(_ connection: LoadConnectionPointer) {
        let state = classes + Int(connection.pointee.trafficClass)
        let isUntouched = connection.pointee.isReused && !connection.pointee.hasAnswered
        guard isUntouched, state.pointee.isIdempotent, !connection.pointee.isResending else {
            return finish(connection, .reset)
        }
        let intended = connection.pointee.intended
        slab.remove(connection, from: &state.pointee.busy)
        close(connection)
        tally(state).pointee.resent &+= 1
        connect(state, intended: intended, isResending: true)
    }

    /// Ends a busy request without an answer, and its connection.
    mutating func finish(_ connection: LoadConnectionPointer, _ outcome: Outcome) {
        let state = classes + Int(connection.pointee.trafficClass)
        slab.remove(connection, from: &state.pointee.busy)
        end(state, outcome, intended: connection.pointee.intended)
        close(connection)
    }

    /// Something happened on an idle connection: it can only be its end.
    mutating func idleReady(_ connection: LoadConnectionPointer) {
        // On a TLS connection it may also be a session ticket (RFC 8446 §4.6.1), which leaves nothing to read.
        let count =
            if let session = connection.pointee.session {
                TLSSession.receive(session, received, Self.receiveSize)
            } else {
                clinux_peek(connection.pointee.descriptor)
            }
        if count == -Int64(EAGAIN), !connection.pointee.peerEnded { return }
        let state = classes + Int(connection.pointee.trafficClass)
        slab.remove(connection, from: &state.pointee.idle)
        close(connection)
        if isClosed { state.pointee.readyUsers += 1 }
    }

    /// The connection must stand in no list.
    private mutating func close(_ connection: LoadConnectionPointer) {
        let state = classes + Int(connection.pointee.trafficClass)
        state.pointee.open -= 1
        if let session = connection.pointee.session { TLSSession.free(session) }
        _ = clinux_close(connection.pointee.descriptor)
        connection.pointee.pending?.deallocate()
        connection.pointee.pending = nil
        connection.pointee.state = .free
        slab.give(connection)
    }

    static func outcome(connecting error: Int32) -> Outcome {
        switch error {
        case ECONNREFUSED: .refused
        case ECONNRESET: .reset
        case ETIMEDOUT: .timedOut
        default: .unconnected
        }
    }
}
