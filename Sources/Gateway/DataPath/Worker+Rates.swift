import CLinux

/// Minimum data rates: while only a client is waited for, it must send or take ``DataPathConfiguration/minimumRate`` bytes per second, seen
/// over windows of ``DataPathConfiguration/rateWindow``. A wait for the endpoint does not count.
extension Worker {
    /// Begins a window, unless one is running in the same direction.
    mutating func watchRate(_ client: ConnectionPointer) {
        let isOutput = !client.pointee.output.isEmpty
        guard configuration.minimumRate > 0, client.pointee.phase == .exchange || client.pointee.phase == .flushing,
            client.pointee.rateCheckAt == 0 || client.pointee.ratesOutput != isOutput
        else { return }
        client.pointee.rateCheckAt = now + configuration.rateWindow
        client.pointee.ratesOutput = isOutput
        client.pointee.rateMark = transferred(client)
        if client.pointee.deadline == 0 || client.pointee.deadline > client.pointee.rateCheckAt {
            timers.set(client, deadline: client.pointee.rateCheckAt, in: slab)
        }
    }

    /// Something else than the client is waited for.
    func unwatchRate(_ client: ConnectionPointer) {
        guard client.pointee.rateCheckAt != 0 else { return }
        client.pointee.rateCheckAt = 0
        guard client.pointee.phase == .exchange else { return }
        let limit = client.pointee.exchange.requestDeadline
        timers.set(client, deadline: limit != 0 ? limit : now + configuration.progressTimeout, in: slab)
    }

    /// No more of the body is waited for now, because it is complete or the endpoint does not take it.
    func unwatchBody(_ client: ConnectionPointer) {
        if !client.pointee.ratesOutput { unwatchRate(client) }
    }

    /// Looks at the rate when a window is over.
    /// - Returns: `true` when the client was fast enough and no other deadline has passed; a new window has begun then.
    mutating func keepsRate(_ client: ConnectionPointer) -> Bool {
        guard client.pointee.rateCheckAt != 0, now >= client.pointee.rateCheckAt else { return false }
        client.pointee.rateCheckAt = 0
        let limit = client.pointee.phase == .exchange ? client.pointee.exchange.requestDeadline : 0
        guard limit == 0 || now < limit else { return false }
        let moved = transferred(client) &- client.pointee.rateMark
        guard moved >= configuration.minimumRate * configuration.rateWindow / 1000, moved < UInt64(Int64.max) else {
            return false
        }
        watchRate(client)
        let check = client.pointee.rateCheckAt
        timers.set(client, deadline: limit == 0 ? check : min(check, limit), in: slab)
        return true
    }

    /// The endpoint has all that came of the request, and the rest is missing.
    func isWaitingForBody(_ client: ConnectionPointer) -> Bool {
        let exchange = client.pointee.exchange
        return !exchange.body.isComplete && !exchange.hasResponseHead && client.pointee.request.isEmpty
            && client.pointee.peer != Connection.none && slab[client.pointee.peer].pointee.phase == .active
    }

    mutating func respondSlowBody(_ client: ConnectionPointer) {
        dropUpstream(slab[client.pointee.peer])
        respond(client, .slowBody)
    }

    // MARK: - Bodies that are too large

    func isBodyTooLarge(_ client: ConnectionPointer) -> Bool {
        configuration.maximumBody > 0 && client.pointee.exchange.requestBytes > configuration.maximumBody
            && client.pointee.phase == .exchange
    }

    mutating func refuseLargeBody(_ client: ConnectionPointer) {
        if client.pointee.peer != Connection.none { dropUpstream(slab[client.pointee.peer]) }
        guard !client.pointee.exchange.hasResponseHead else { return closeClient(client) }
        respond(client, .bodyTooLarge, closing: true)
    }

    // MARK: - Private

    /// Bytes that the client has sent, or that have arrived at it: what the kernel still holds for it does not count.
    private func transferred(_ client: ConnectionPointer) -> UInt64 {
        guard client.pointee.ratesOutput else { return client.pointee.exchange.requestBytes }
        let unsent = UInt64(client.pointee.output.count) + clinux_unsent(client.pointee.descriptor)
        return client.pointee.exchange.responseBytes &- unsent
    }
}
