import CLinux
import Glibc

/// The endpoint's side: connections, the pool, sending requests, trying again.
extension Worker {
    mutating func upstreamReady(_ upstream: ConnectionPointer) {
        switch upstream.pointee.phase {
        case .connecting: finishConnect(upstream)
        case .idle:
            // An endpoint has nothing to say between requests: its end, or bytes that nobody asked for.
            if upstream.pointee.isReadable { closeIdle(upstream) }
        case .active: activeReady(upstream)
        case .tunnel: pumpTunnel(slab[upstream.pointee.peer])
        case .handshake, .head, .held, .paced, .pending, .waiting, .copying, .exchange, .flushing, .discarding,
            .lingering:
            break
        }
    }

    private mutating func activeReady(_ upstream: ConnectionPointer) {
        let token = ConnectionSlab.token(upstream)
        let client = slab[upstream.pointee.peer]
        if upstream.pointee.isWritable, !client.pointee.request.isEmpty || !client.pointee.exchange.body.isComplete {
            flushRequest(client, upstream)
            guard slab.find(token: token) != nil, upstream.pointee.phase == .active else { return }
        }
        if upstream.pointee.isReadable { readResponse(upstream) }
    }

    // MARK: - Connecting

    mutating func connect(_ client: ConnectionPointer, _ endpoint: UInt32) {
        var pending: Int32 = 0
        metrics.add(.connects)
        let descriptor = clinux_connect(&topology.endpoints[endpoint].pointee.address, &pending)
        guard descriptor >= 0 else { return endpointUnreachable(client, endpoint, -descriptor) }
        guard let upstream = slab.take(.upstream, descriptor: descriptor) else {
            _ = clinux_close(descriptor)
            return respond(client, .noConnection)
        }
        topology.endpoints[endpoint].pointee.connections += 1
        upstream.pointee.endpoint = endpoint
        attach(upstream, to: client, endpoint)
        guard clinux_epoll_add_connection(epoll, descriptor, ConnectionSlab.token(upstream)) == 0 else {
            dropUpstream(upstream)
            return respond(client, .noConnection)
        }
        if pending != 0 {
            upstream.pointee.phase = .connecting
            upstream.pointee.isWritable = false
            let limit = UInt64(row(of: endpoint).connectTimeout)
            timers.set(upstream, deadline: now + (limit == 0 ? configuration.connectTimeout : limit), in: slab)
        } else {
            connected(upstream)
        }
    }

    private mutating func finishConnect(_ upstream: ConnectionPointer) {
        guard upstream.pointee.isWritable || upstream.pointee.hasFailed else { return }
        let error = clinux_socket_error(upstream.pointee.descriptor)
        if error == 0, !upstream.pointee.hasFailed { return connected(upstream) }
        connectFailed(upstream, error)
    }

    /// The policy of the backend that an endpoint belongs to.
    private func row(of endpoint: UInt32) -> BackendRow {
        topology.backends[topology.endpoints[endpoint].pointee.backend].pointee.row
    }

    private mutating func connected(_ upstream: ConnectionPointer) {
        upstream.pointee.phase = .active
        topology.endpoints[upstream.pointee.endpoint].pointee.failures = 0
        let client = slab[upstream.pointee.peer]
        armBackendTimeout(upstream, client)
        flushRequest(client, upstream)
    }

    /// Nothing was sent, so any other endpoint may have the request.
    private mutating func connectFailed(_ upstream: ConnectionPointer, _ error: Int32) {
        let client = slab[upstream.pointee.peer]
        let endpoint = upstream.pointee.endpoint
        dropUpstream(upstream)
        endpointUnreachable(client, endpoint, error)
    }

    private mutating func armBackendTimeout(_ upstream: ConnectionPointer, _ client: ConnectionPointer) {
        let exchange = client.pointee.exchange
        guard let view = topology.tables[exchange.table].pointee.view else { return }
        let rule = view.rules[Int(exchange.rule)]
        let answer = UInt64(rule.retry.perTryTimeout)
        let limit = UInt64(rule.backendTimeout)
        let time = answer == 0 || limit == 0 ? max(answer, limit) : min(answer, limit)
        timers.set(upstream, deadline: time == 0 ? 0 : now + time, in: slab)
    }

    /// The answer has begun: from now on only the limit for its end holds.
    func disarmTry(_ upstream: ConnectionPointer, _ client: ConnectionPointer) {
        let exchange = client.pointee.exchange
        guard let view = topology.tables[exchange.table].pointee.view else { return }
        let rule = view.rules[Int(exchange.rule)]
        guard rule.retry.perTryTimeout != 0 else { return }
        let limit = UInt64(rule.backendTimeout)
        timers.set(upstream, deadline: limit == 0 ? 0 : exchange.attemptAt + limit, in: slab)
    }

    // MARK: - The pool

    func attach(_ upstream: ConnectionPointer, to client: ConnectionPointer, _ endpoint: UInt32) {
        upstream.pointee.peer = client.pointee.index
        client.pointee.peer = upstream.pointee.index
        let state = topology.endpoints[endpoint]
        state.pointee.inFlight += 1
        state.pointee.words?.add(.inFlight, worker: number)
    }

    /// An idle connection that is still good. Where the request could not be sent twice, the socket is asked first: its end may have
    /// arrived without having been seen.
    mutating func takeUsableIdle(_ endpoint: UInt32, for client: ConnectionPointer) -> ConnectionPointer? {
        let exchange = client.pointee.exchange
        while let upstream = popIdle(endpoint: endpoint) {
            let isDead = upstream.pointee.isReadable || upstream.pointee.peerEnded || upstream.pointee.hasFailed
            if isDead || !exchange.isIdempotent && clinux_peek(upstream.pointee.descriptor) != -Int64(EAGAIN) {
                closeUpstream(upstream)
                continue
            }
            armBackendTimeout(upstream, client)
            return upstream
        }
        return nil
    }

    mutating func popIdle(endpoint: UInt32) -> ConnectionPointer? {
        let first = topology.endpoints[endpoint].pointee.firstIdle
        guard first != Connection.none else { return nil }
        let upstream = slab[first]
        unlinkIdle(upstream)
        return upstream
    }

    private mutating func unlinkIdle(_ upstream: ConnectionPointer) {
        let endpoint = topology.endpoints[upstream.pointee.endpoint]
        unlink(upstream, first: &endpoint.pointee.firstIdle)
        endpoint.pointee.idleCount -= 1
        idleUpstreamCount -= 1
        upstream.pointee.phase = .active
    }

    private mutating func pushIdle(_ upstream: ConnectionPointer) {
        let endpoint = topology.endpoints[upstream.pointee.endpoint]
        upstream.pointee.phase = .idle
        upstream.pointee.isReused = true
        upstream.pointee.previous = Connection.none
        upstream.pointee.next = endpoint.pointee.firstIdle
        if endpoint.pointee.firstIdle != Connection.none {
            slab[endpoint.pointee.firstIdle].pointee.previous = upstream.pointee.index
        }
        endpoint.pointee.firstIdle = upstream.pointee.index
        endpoint.pointee.idleCount += 1
        idleUpstreamCount += 1
        let limit = UInt64(row(of: upstream.pointee.endpoint).idleTimeout)
        timers.set(upstream, deadline: now + (limit == 0 ? configuration.upstreamIdleTimeout : limit), in: slab)
        wakePending(upstream.pointee.endpoint)
    }

    private mutating func closeIdle(_ upstream: ConnectionPointer) {
        unlinkIdle(upstream)
        closeUpstream(upstream)
    }

    // MARK: - Letting go

    /// Separates an endpoint's connection from its client; the endpoint has nothing more to do for it.
    private mutating func detach(_ upstream: ConnectionPointer) {
        guard upstream.pointee.peer != Connection.none else { return }
        slab[upstream.pointee.peer].pointee.peer = Connection.none
        upstream.pointee.peer = Connection.none
        topology.endpoints[upstream.pointee.endpoint].pointee.inFlight -= 1
        topology.endpoints[upstream.pointee.endpoint].pointee.words?.add(.inFlight, worker: number, .max)
        if hasTickets { reportDrains() }
    }

    /// Ends the endpoint's part in the middle of an exchange.
    mutating func dropUpstream(_ upstream: ConnectionPointer) {
        detach(upstream)
        closeUpstream(upstream)
    }

    /// Ends the endpoint's part after a complete answer: its connection serves again if both sides are through.
    mutating func releaseUpstream(_ upstream: ConnectionPointer, _ client: ConnectionPointer) {
        let isRequestSent = client.pointee.exchange.body.isComplete && client.pointee.request.isEmpty
        detach(upstream)
        let endpoint = topology.endpoints[upstream.pointee.endpoint].pointee
        let isGood =
            upstream.pointee.keepsAlive && isRequestSent && !upstream.pointee.isReadable
            && !upstream.pointee.peerEnded && !upstream.pointee.hasFailed && !endpoint.isRetired && !isStopping
            && Int(endpoint.idleCount) < configuration.maximumIdlePerEndpoint
        if isGood { pushIdle(upstream) } else { closeUpstream(upstream) }
    }

    /// Closes a connection that belongs to no client and stands in no list.
    mutating func closeUpstream(_ upstream: ConnectionPointer) {
        if upstream.pointee.phase == .idle { unlinkIdle(upstream) }
        buffers.release(&upstream.pointee.input)
        timers.remove(upstream, in: slab)
        _ = clinux_close(upstream.pointee.descriptor)
        let endpoint = upstream.pointee.endpoint
        slab.give(upstream)
        topology.endpoints[endpoint].pointee.connections -= 1
        wakePending(endpoint)
        topology.freeEndpointIfUnused(endpoint)
    }

    mutating func upstreamTimedOut(_ upstream: ConnectionPointer) {
        switch upstream.pointee.phase {
        case .connecting: connectFailed(upstream, ETIMEDOUT)
        case .idle: closeIdle(upstream)
        case .active: attemptTimedOut(upstream)
        default: break
        }
    }

    // MARK: - Sending the request

    mutating func flushRequest(_ client: ConnectionPointer, _ upstream: ConnectionPointer) {
        if !client.pointee.request.isEmpty {
            guard upstream.pointee.isWritable else { return }
            let bytes = client.pointee.request.bytes
            metrics.add(.sendCalls)
            let count = Int(clinux_send(upstream.pointee.descriptor, bytes.base, bytes.count))
            guard count > 0 || count == -EAGAIN else { return requestRefused(client, upstream) }
            if count > 0 { client.pointee.exchange.hasSent = true }
            client.pointee.request.start += Int32(max(0, count))
            guard count == bytes.count else {
                upstream.pointee.isWritable = false
                return
            }
            if !client.pointee.exchange.isIntact { buffers.release(&client.pointee.request) }
        }
        pumpRequestBody(client)
    }

    /// The endpoint takes no more bytes. It may have answered before it closed, so what it sent decides.
    mutating func requestRefused(_ client: ConnectionPointer, _ upstream: ConnectionPointer) {
        client.pointee.exchange.dropsBody = true
        if !client.pointee.exchange.isIntact { buffers.release(&client.pointee.request) }
        upstream.pointee.isWritable = false
        upstream.pointee.isReadable = true
        upstream.pointee.hasFailed = true
        enqueue(upstream)
    }

    /// Passes the request's body on as it comes, no faster than the endpoint takes it.
    mutating func pumpRequestBody(_ client: ConnectionPointer) {
        var rounds = 0
        while client.pointee.phase == .exchange, !client.pointee.exchange.body.isComplete,
            client.pointee.peer != Connection.none
        {
            let upstream = slab[client.pointee.peer]
            let drops = client.pointee.exchange.dropsBody
            guard upstream.pointee.phase == .active, drops || client.pointee.request.isEmpty else {
                return unwatchBody(client)
            }
            let token = ConnectionSlab.token(client)
            guard let bytes = nextInput(client) else {
                if slab.find(token: token) != nil { watchRate(client) }
                return
            }
            do {
                let taken = try client.pointee.exchange.body.consume(bytes)
                client.pointee.exchange.requestBytes += UInt64(taken)
                addToCopies(client, ByteSpan(bytes.base, taken))
                if drops { forgetRequest(client) } else { forward(ByteSpan(bytes.base, taken), client, upstream) }
                useInput(client, bytes, taken)
                if isBodyTooLarge(client) { return refuseLargeBody(client) }
                if client.pointee.exchange.body.isComplete { finishCopies(client) }
            } catch {
                return bodyRefused(client, error)
            }
            noteProgress(client)
            if client.pointee.exchange.body.isComplete { unwatchBody(client) }
            rounds += 1
            if rounds == 16 { return enqueue(client) }
        }
    }

    /// A part of the request is gone: it cannot be sent again.
    private mutating func forgetRequest(_ client: ConnectionPointer) {
        guard client.pointee.exchange.isIntact else { return }
        client.pointee.exchange.isIntact = false
        buffers.release(&client.pointee.request)
    }

    private mutating func forward(_ bytes: ByteSpan, _ client: ConnectionPointer, _ upstream: ConnectionPointer) {
        if client.pointee.exchange.isIntact {
            if keepForReplay(bytes, client) { return sendKept(client, upstream) }
            forgetRequest(client)
        }
        client.pointee.exchange.hasSent = true
        var count = 0
        if upstream.pointee.isWritable {
            metrics.add(.sendCalls)
            count = Int(clinux_send(upstream.pointee.descriptor, bytes.base, bytes.count))
            guard count > 0 || count == -EAGAIN else { return requestRefused(client, upstream) }
        }
        guard count < bytes.count else { return }
        upstream.pointee.isWritable = false
        _ = buffers.append(bytes.dropFirst(max(0, count)), to: &client.pointee.request)
    }

    /// A body that turns out malformed must not go on; the endpoint sees it end early.
    private mutating func bodyRefused(_ client: ConnectionPointer, _ fault: HeadFault) {
        dropUpstream(slab[client.pointee.peer])
        if client.pointee.exchange.hasResponseHead { closeClient(client) } else { refuse(client, fault) }
    }
}
