import CLinux
import FlowControl
import Glibc

/// Sending a request once more, when an attempt has failed and a second one can do no harm.
///
/// All ways lead through ``takeRetry(_:_:)``: nothing of an answer has gone to the client, everything sent is still at hand, the method is
/// idempotent (or nothing was sent, or the policy takes the risk), and the backend's budget has a retry left.
extension Worker {
    /// The endpoint closed without an answer.
    ///
    /// A kept connection may have been closed by its endpoint before the request arrived: that is no failure of the endpoint, so once per
    /// request it costs no retry, where the request cannot do anything twice (RFC 9110 §9.2.2).
    mutating func retryOrFail(_ upstream: ConnectionPointer, _ response: LocalResponse) {
        let client = slab[upstream.pointee.peer]
        let wasReused = upstream.pointee.isReused
        if !wasReused { noteFailure(of: upstream, client, .resets) }
        dropUpstream(upstream)
        metrics.add(.upstreamFailures)
        if client.pointee.exchange.hasResponseHead { return closeClient(client) }
        if wasReused, forgivesDeadConnection(client) {
            client.pointee.exchange.hasMetDeadConnection = true
            return sendAgain(client, waits: false)
        }
        guard takeRetry(client, .reset) else { return respond(client, response) }
        sendAgain(client)
    }

    /// The endpoint could not be reached, so nothing was sent. It is left out for a while; the time doubles with each failure in a row.
    mutating func endpointUnreachable(_ client: ConnectionPointer, _ endpoint: UInt32, _ error: Int32) {
        metrics.add(.upstreamFailures)
        metrics.add(.connectFailures, series: client.pointee.exchange.series)
        guard !Self.isOwnShortage(error) else { return hold(client) }
        client.pointee.exchange.error = Self.proxyError(ofConnecting: error)
        let state = topology.endpoints[endpoint]
        if state.pointee.isUsed {
            state.pointee.ejectedUntil = now + configuration.ejectionTime << UInt64(min(state.pointee.failures, 4))
            if state.pointee.failures < 255 { state.pointee.failures += 1 }
            noteOutcome(endpoint, status: 0, .connectFailures)
        }
        guard retryRow(client).isStandard else {
            guard takeRetry(client, .connectFailure) else { return respondUnreachable(client) }
            return sendAgain(client)
        }
        if client.pointee.exchange.holdUntil == 0 {
            client.pointee.exchange.holdUntil = now + configuration.holdTimeout
        }
        guard now < client.pointee.exchange.holdUntil else { return respondUnreachable(client) }
        dispatchRequest(client)
    }

    /// This side has no descriptor, port or memory for a connection now, which says nothing of the endpoint.
    private static func isOwnShortage(_ error: Int32) -> Bool {
        [EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL, EAGAIN].contains(error)
    }

    /// Says why no endpoint has the request: the last one that was tried did not let us in, or there was none.
    mutating func respondUnreachable(_ client: ConnectionPointer) {
        switch client.pointee.exchange.error {
        case .connectionRefused: respond(client, .connectionRefused)
        case .connectionTimeout: respond(client, .connectionTimeout)
        case .destinationUnroutable: respond(client, .unroutable)
        default: respond(client, .noEndpoint)
        }
    }

    private static func proxyError(ofConnecting error: Int32) -> ProxyError {
        switch error {
        case ETIMEDOUT: .connectionTimeout
        case EHOSTUNREACH, ENETUNREACH, EACCES, EPERM: .destinationUnroutable
        default: .connectionRefused
        }
    }

    /// The time for an attempt is over. Once the answer has begun, it can only be cut off.
    mutating func attemptTimedOut(_ upstream: ConnectionPointer) {
        let client = slab[upstream.pointee.peer]
        guard !client.pointee.exchange.hasResponseHead else {
            client.pointee.exchange.error = .httpResponseTimeout
            return closeClient(client)
        }
        noteFailure(of: upstream, client, .timeouts)
        guard takeRetry(client, .perTryTimeout) else { return exchangeTimedOut(client) }
        dropUpstream(upstream)
        sendAgain(client)
    }

    /// Sends the request once more instead of passing an answer on, where the policy says so of its status.
    /// - Parameter rest: what came behind the answer's head.
    mutating func retriesStatus(
        _ upstream: ConnectionPointer,
        _ client: ConnectionPointer,
        _ response: ResponseHead,
        _ rest: ByteSpan
    ) -> Bool {
        guard retryRow(client).statuses.contains(response.status), takeRetry(client, .statusCodes) else { return false }
        upstream.pointee.response = response.body
        upstream.pointee.keepsAlive = response.wantsKeepAlive
        let taken = try? upstream.pointee.response.consume(rest)
        if upstream.pointee.response.isComplete, taken == rest.count {
            releaseUpstream(upstream, client)
        } else {
            dropUpstream(upstream)
        }
        sendAgain(client)
        return true
    }

    mutating func waitEnded(_ client: ConnectionPointer) {
        let limit = client.pointee.exchange.requestDeadline
        if limit != 0, now >= limit { return respond(client, .responseTimeout) }
        dispatchRequest(client)
    }

    // MARK: - Bodies

    /// Keeps a piece of the body behind what was sent already, so that all of it can be sent again.
    /// - Returns: `false` when the request has grown too large for that, or its rule does not ask for it.
    mutating func keepForReplay(_ bytes: ByteSpan, _ client: ConnectionPointer) -> Bool {
        let limit = Int(retryRow(client).maximumReplay)
        guard Int(client.pointee.request.end) + bytes.count <= limit else { return false }
        let sent = client.pointee.request.start
        client.pointee.request.start = 0
        let hasRoom = buffers.append(bytes, to: &client.pointee.request)
        client.pointee.request.start = sent
        return hasRoom
    }

    /// Sends what of the kept request is not sent yet.
    mutating func sendKept(_ client: ConnectionPointer, _ upstream: ConnectionPointer) {
        guard upstream.pointee.isWritable else { return }
        let bytes = client.pointee.request.bytes
        metrics.add(.sendCalls)
        let count = Int(clinux_send(upstream.pointee.descriptor, bytes.base, bytes.count))
        guard count > 0 || count == -EAGAIN else { return requestRefused(client, upstream) }
        client.pointee.request.start += Int32(max(0, count))
        if count > 0 { client.pointee.exchange.hasSent = true }
        if count < bytes.count { upstream.pointee.isWritable = false }
    }

    // MARK: - Private

    private func retryRow(_ client: ConnectionPointer) -> TableView.RetryRow {
        let exchange = client.pointee.exchange
        guard let view = topology.tables[exchange.table].pointee.view else { return TableView.RetryRow() }
        return view.rules[Int(exchange.rule)].retry
    }

    private func forgivesDeadConnection(_ client: ConnectionPointer) -> Bool {
        let exchange = client.pointee.exchange
        return canSendAgain(exchange) && !exchange.hasMetDeadConnection
            && (!exchange.hasSent || exchange.isIdempotent)
    }

    private func canSendAgain(_ exchange: Exchange) -> Bool {
        exchange.isIntact && !exchange.hasAnswered && exchange.backend != Connection.none
    }

    private mutating func takeRetry(_ client: ConnectionPointer, _ condition: RetryPolicy.Conditions) -> Bool {
        let exchange = client.pointee.exchange
        let row = retryRow(client)
        let retries = row.isStandard ? configuration.maximumAttempts : row.retries
        guard canSendAgain(exchange), row.conditions.contains(condition), exchange.attempts < retries,
            !exchange.hasSent || exchange.isIdempotent || row.includesNonIdempotent
        else { return false }
        let backend = topology.backends[exchange.backend]
        if backend.pointee.budget.takeRetry(now: now) { return true }
        metrics.add(.retriesOverBudget, series: exchange.series)
        return backend.pointee.row.budgetIsDryRun
    }

    private mutating func sendAgain(_ client: ConnectionPointer, waits: Bool = true) {
        metrics.add(.retries)
        metrics.add(.retries, series: client.pointee.exchange.series)
        client.pointee.request.start = 0
        client.pointee.exchange.attempts += 1
        client.pointee.exchange.hasSent = false
        client.pointee.exchange.dropsBody = false
        client.pointee.exchange.needsNewConnection = !waits
        unwatchRate(client)
        let delay = waits ? backOff(client) : 0
        guard delay > 0 else { return dispatchRequest(client) }
        client.pointee.phase = .waiting
        let limit = client.pointee.exchange.requestDeadline
        timers.set(client, deadline: limit == 0 ? now + delay : min(limit, now + delay), in: slab)
    }

    /// Milliseconds, drawn evenly up to a bound that doubles with each retry: full jitter keeps retries from coming in waves.
    private mutating func backOff(_ client: ConnectionPointer) -> UInt64 {
        let row = retryRow(client)
        let doublings = UInt64(min(client.pointee.exchange.attempts, 11) - 1)
        let bound = min(UInt64(row.baseInterval) << doublings, UInt64(row.maximumInterval))
        return bound == 0 ? 0 : random() % (bound + 1)
    }
}
