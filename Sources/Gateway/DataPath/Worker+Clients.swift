import CLinux
import Glibc

/// The client's side: heads in, answers out, the end of connections.
extension Worker {
    mutating func clientReady(_ client: ConnectionPointer) {
        if client.pointee.hasFailed { return closeClient(client) }
        if client.pointee.isWritable, !client.pointee.output.isEmpty {
            guard flushOutput(client) else { return }
        }
        readClient(client)
    }

    mutating func readClient(_ client: ConnectionPointer) {
        switch client.pointee.phase {
        case .handshake: continueHandshake(client)
        case .head: readHead(client)
        case .exchange: pumpRequestBody(client)
        case .tunnel: pumpTunnel(client)
        case .discarding: discardBody(client)
        case .lingering: discardInput(client)
        case .pending: pendingReady(client)
        // Read on when the phase changes.
        case .held, .paced, .waiting, .copying, .flushing, .connecting, .active, .idle: break
        }
    }

    /// Receives into `target`; zero is the end of the stream, negative an error. A short count means that the socket is empty.
    @inline(__always)
    mutating func receive(
        _ connection: ConnectionPointer,
        into target: UnsafeMutablePointer<UInt8>,
        size: Int
    ) -> Int {
        if let session = connection.pointee.session { return open(connection, session, into: target, size: size) }
        metrics.add(.receiveCalls)
        let count = Int(clinux_receive(connection.pointee.descriptor, target, size))
        if count < size, !connection.pointee.peerEnded, !connection.pointee.hasFailed {
            connection.pointee.isReadable = false
        }
        return count
    }

    // MARK: - Heads

    /// Reads one request. Further ones in the same bytes wait in `input` until this one is answered.
    private mutating func readHead(_ client: ConnectionPointer) {
        if !client.pointee.input.isEmpty, Int(client.pointee.scanned) < client.pointee.input.count {
            if takeHead(client, client.pointee.input.bytes, isInput: true) { return }
        }
        guard client.pointee.isReadable else { return }
        if client.pointee.input.isEmpty {
            let count = receive(client, into: received, size: Self.receiveSize)
            guard count > 0 else { return clientEnded(client, count) }
            _ = takeHead(client, ByteSpan(received, count), isInput: false)
        } else {
            guard buffers.reserve(4096, in: &client.pointee.input) else { return refuse(client, .headTooLarge) }
            let count = receive(client, into: client.pointee.input.tail, size: client.pointee.input.room)
            guard count > 0 else { return clientEnded(client, count) }
            client.pointee.input.end += Int32(count)
            _ = takeHead(client, client.pointee.input.bytes, isInput: true)
        }
    }

    /// - Returns: `false` when more bytes are needed. Otherwise they held a whole head, or one that was refused: the client may be closed.
    private mutating func takeHead(_ client: ConnectionPointer, _ bytes: ByteSpan, isInput: Bool) -> Bool {
        var bytes = bytes
        // RFC 9112 §2.2: empty lines before a request line are tolerated.
        if bytes.count >= 2, bytes[0] == ASCII.cr, bytes[1] == ASCII.lf {
            if isInput { client.pointee.input.start += 2 }
            bytes = bytes.dropFirst(2)
            client.pointee.scanned = 0
            if isInput, bytes.count == 0 { buffers.release(&client.pointee.input) }
        }
        guard let length = FieldParser.headLength(of: bytes, from: Int(client.pointee.scanned)) else {
            return !keepPartialHead(client, bytes, isInput: isInput)
        }
        guard length <= FieldParser.maximumHead else {
            refuse(client, .headTooLarge)
            return true
        }
        do {
            let head = try RequestHead.parse(ByteSpan(bytes.base, length), into: fields)
            client.pointee.scanned = 0
            client.pointee.headSince = 0
            startExchange(client, head, bytes, isInput: isInput)
        } catch {
            refuse(client, error)
        }
        return true
    }

    /// - Returns: `false` when what has come is refused.
    private mutating func keepPartialHead(_ client: ConnectionPointer, _ bytes: ByteSpan, isInput: Bool) -> Bool {
        if let fault = Self.fault(ofPartialHead: bytes) {
            refuse(client, fault)
            return false
        }
        guard isInput || buffers.bytesHeld < configuration.maximumBuffered else {
            respond(client, .noMemory, closing: true)
            return false
        }
        if client.pointee.isReadable { enqueue(client) }
        if bytes.count == 0 { return true }
        if !isInput { _ = buffers.append(bytes, to: &client.pointee.input) }
        client.pointee.scanned = Int32(bytes.count)
        if client.pointee.headSince == 0 {
            client.pointee.headSince = now
            timers.set(client, deadline: now + configuration.headTimeout, in: slab)
        }
        return true
    }

    private static func fault(ofPartialHead bytes: ByteSpan) -> HeadFault? {
        if bytes.count > FieldParser.maximumTarget, memchr(bytes.base, Int32(ASCII.lf), bytes.count) == nil {
            return .targetTooLong
        }
        return bytes.count > FieldParser.maximumHead ? .headTooLarge : nil
    }

    private mutating func clientEnded(_ client: ConnectionPointer, _ count: Int) {
        if count == -EAGAIN {
            client.pointee.isReadable = false
        } else {
            closeClient(client)
        }
    }

    // MARK: - Answers

    /// Sends bytes to a client, or keeps what its socket does not take.
    /// - Returns: `false` when the client is gone and closed.
    mutating func send(_ bytes: ByteSpan, toClient client: ConnectionPointer) -> Bool {
        client.pointee.exchange.hasAnswered = true
        if client.pointee.isCopy { return true }
        guard let session = client.pointee.session else { return transmit(bytes, toClient: client) }
        guard let sealed = seal(bytes, client, session) else {
            closeClient(client)
            return false
        }
        return transmit(sealed, toClient: client)
    }

    /// Sends bytes as they are.
    /// - Returns: `false` when the client is gone and closed.
    mutating func transmit(_ bytes: ByteSpan, toClient client: ConnectionPointer) -> Bool {
        var rest = bytes
        if client.pointee.output.isEmpty, client.pointee.isWritable {
            metrics.add(.sendCalls)
            let count = Int(clinux_send(client.pointee.descriptor, bytes.base, bytes.count))
            if count == bytes.count { return true }
            guard count > 0 || count == -EAGAIN else {
                closeClient(client)
                return false
            }
            rest = bytes.dropFirst(max(0, count))
            client.pointee.isWritable = false
        }
        guard buffers.append(rest, to: &client.pointee.output) else {
            closeClient(client)
            return false
        }
        watchRate(client)
        return true
    }

    /// - Returns: `false` when the client is gone and closed.
    private mutating func flushOutput(_ client: ConnectionPointer) -> Bool {
        let bytes = client.pointee.output.bytes
        metrics.add(.sendCalls)
        let count = Int(clinux_send(client.pointee.descriptor, bytes.base, bytes.count))
        guard count > 0 || count == -EAGAIN else {
            closeClient(client)
            return false
        }
        noteProgress(client)
        if count < bytes.count {
            client.pointee.output.start += Int32(max(0, count))
            client.pointee.isWritable = false
            return true
        }
        unwatchRate(client)
        buffers.release(&client.pointee.output)
        return outputFlushed(client)
    }

    private mutating func outputFlushed(_ client: ConnectionPointer) -> Bool {
        switch client.pointee.phase {
        case .flushing:
            responseDelivered(client)
            return client.pointee.role == .client && client.pointee.phase != .head
        case .exchange, .tunnel:
            // What was held back at the other side goes on.
            if client.pointee.peer != Connection.none { enqueue(slab[client.pointee.peer]) }
        default: break
        }
        return true
    }

    /// The answer is on its way completely: what comes next on this connection?
    mutating func responseFinished(_ client: ConnectionPointer) {
        endExchange(client)
        if client.pointee.isCopy { return closeClient(client) }
        guard client.pointee.output.isEmpty else {
            client.pointee.phase = .flushing
            watchRate(client)
            noteProgress(client)
            return
        }
        responseDelivered(client)
    }

    private mutating func responseDelivered(_ client: ConnectionPointer) {
        if client.pointee.closesAfterResponse || isStopping { return finishConnection(client) }
        guard client.pointee.exchange.body.isComplete else {
            client.pointee.phase = .discarding
            timers.set(client, deadline: now + configuration.lingerTimeout, in: slab)
            return enqueue(client)
        }
        nextRequest(client)
    }

    private mutating func nextRequest(_ client: ConnectionPointer) {
        client.pointee.phase = .head
        timers.set(client, deadline: now + configuration.idleTimeout, in: slab)
        if client.pointee.isReadable || !client.pointee.input.isEmpty { enqueue(client) }
    }

    /// Closes after the last answer. Unread bytes would make the kernel reset the connection and could take the answer with it, so they
    /// are read for a while first.
    private mutating func finishConnection(_ client: ConnectionPointer) {
        let isQuiet = client.pointee.exchange.body.isComplete && client.pointee.input.isEmpty
        sayGoodbye(client)
        if isQuiet, !client.pointee.isReadable || client.pointee.peerEnded { return closeClient(client) }
        buffers.release(&client.pointee.input)
        _ = clinux_shutdown_sending(client.pointee.descriptor)
        client.pointee.phase = .lingering
        timers.set(client, deadline: now + configuration.lingerTimeout, in: slab)
        enqueue(client)
    }

    /// Drops the rest of a body whose request is answered already, so that the next request can be found.
    private mutating func discardBody(_ client: ConnectionPointer) {
        var rounds = 0
        while !client.pointee.exchange.body.isComplete {
            guard let bytes = nextInput(client) else { return }
            do {
                let taken = try client.pointee.exchange.body.consume(bytes)
                useInput(client, bytes, taken)
            } catch {
                return closeClient(client)
            }
            rounds += 1
            if rounds == 16, !client.pointee.exchange.body.isComplete { return enqueue(client) }
        }
        nextRequest(client)
    }

    private mutating func discardInput(_ client: ConnectionPointer) {
        var rounds = 0
        while client.pointee.isReadable {
            let count = receive(client, into: received, size: Self.receiveSize)
            if count == -EAGAIN { return client.pointee.isReadable = false }
            guard count > 0 else { return closeClient(client) }
            rounds += 1
            if rounds == 16 { return enqueue(client) }
        }
    }

    /// Bytes that wait in `input`, or newly received ones; `nil` when there are none or the client is closed.
    mutating func nextInput(_ client: ConnectionPointer) -> ByteSpan? {
        if !client.pointee.input.isEmpty { return client.pointee.input.bytes }
        guard client.pointee.isReadable else { return nil }
        let count = receive(client, into: received, size: Self.receiveSize)
        if count > 0 { return ByteSpan(received, count) }
        clientEnded(client, count)
        return nil
    }

    /// Of `bytes`, which ``nextInput(_:)`` gave, the first `taken` are used; the rest stays for later.
    mutating func useInput(_ client: ConnectionPointer, _ bytes: ByteSpan, _ taken: Int) {
        if !client.pointee.input.isEmpty {
            client.pointee.input.start += Int32(taken)
            if client.pointee.input.isEmpty { buffers.release(&client.pointee.input) }
        } else if taken < bytes.count {
            _ = buffers.append(bytes.dropFirst(taken), to: &client.pointee.input)
        }
    }

    // MARK: - Deadlines and ends

    /// Puts the deadline off, where it stands for silence and not for a limit of the route.
    @inline(__always)
    func noteProgress(_ client: ConnectionPointer) {
        switch client.pointee.phase {
        case .exchange where client.pointee.exchange.requestDeadline == 0, .flushing:
            let check = client.pointee.rateCheckAt
            let limit = now + configuration.progressTimeout
            timers.set(client, deadline: check == 0 ? limit : min(check, limit), in: slab)
        case .tunnel: timers.set(client, deadline: now + configuration.tunnelIdleTimeout, in: slab)
        default: break
        }
    }

    mutating func clientTimedOut(_ client: ConnectionPointer) {
        if keepsRate(client) { return }
        switch client.pointee.phase {
        case .head where client.pointee.headSince == 0:
            sayGoodbye(client)
            closeClient(client)
        case .head: respond(client, LocalResponse(status: 408, explanation: "The request's head came too slowly."))
        case .held: heldTimedOut(client)
        case .paced: exchangeTimedOut(client)
        case .pending: pendingTimedOut(client)
        case .waiting: waitEnded(client)
        case .exchange where isWaitingForBody(client): respondSlowBody(client)
        case .exchange where !client.pointee.exchange.hasResponseHead: exchangeTimedOut(client)
        default: closeClient(client)
        }
    }

    /// Closes a client whatever it was doing; an endpoint that worked for it is dropped.
    mutating func closeClient(_ client: ConnectionPointer) {
        if client.pointee.phase == .held { removeHeld(client) }
        if client.pointee.phase == .pending { removePending(client) }
        if client.pointee.peer != Connection.none { dropUpstream(slab[client.pointee.peer]) }
        if client.pointee.exchange.table != Connection.none {
            client.pointee.exchange.isAborted = client.pointee.phase != .tunnel
            endExchange(client)
        }
        buffers.release(&client.pointee.input)
        buffers.release(&client.pointee.output)
        buffers.release(&client.pointee.request)
        timers.remove(client, in: slab)
        endSession(client)
        if client.pointee.isCopy { copyCount -= 1 } else { _ = clinux_close(client.pointee.descriptor) }
        slab.give(client)
        clientCount -= 1
    }
}
