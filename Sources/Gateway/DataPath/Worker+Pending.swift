/// Requests that wait for a connection, where the policy of their backend limits how many there may be. First come, first served; bounded
/// by ``BackendPolicy/ConnectionLimits/maximumPending`` and in time by ``DataPathConfiguration/holdTimeout``.
extension Worker {
    mutating func waitForConnection(_ client: ConnectionPointer) {
        if client.pointee.exchange.holdUntil == 0 {
            client.pointee.exchange.holdUntil = now + configuration.holdTimeout
        }
        let backend = topology.backends[client.pointee.exchange.backend]
        let limit = client.pointee.exchange.holdUntil
        guard now < limit, backend.pointee.pendingCount < backend.pointee.row.maximumPending else {
            return respond(client, .noConnection)
        }
        client.pointee.phase = .pending
        client.pointee.next = Connection.none
        client.pointee.previous = backend.pointee.lastPending
        if backend.pointee.lastPending == Connection.none {
            backend.pointee.firstPending = client.pointee.index
        } else {
            slab[backend.pointee.lastPending].pointee.next = client.pointee.index
        }
        backend.pointee.lastPending = client.pointee.index
        backend.pointee.pendingCount += 1
        pendingCount += 1
        timers.set(client, deadline: pendingDeadline(client), in: slab)
    }

    private func pendingDeadline(_ client: ConnectionPointer) -> UInt64 {
        let (limit, requestLimit) = (client.pointee.exchange.holdUntil, client.pointee.exchange.requestDeadline)
        return requestLimit == 0 ? limit : min(limit, requestLimit)
    }

    /// A connection of the endpoint became free: the first in the queue is looked at in this turn of the loop.
    func wakePending(_ endpoint: UInt32) {
        let backend = topology.endpoints[endpoint].pointee.backend
        guard backend != Connection.none else { return }
        wakeFirstPending(topology.backends[backend])
    }

    func wakeFirstPending(_ backend: UnsafeMutablePointer<BackendState>) {
        if backend.pointee.firstPending != Connection.none { enqueue(slab[backend.pointee.firstPending]) }
    }

    mutating func pendingReady(_ client: ConnectionPointer) {
        let backend = topology.backends[client.pointee.exchange.backend]
        guard backend.pointee.firstPending == client.pointee.index else { return }
        switch chooseEndpoint(client) {
        case .endpoint(let endpoint):
            removePending(client)
            send(client, to: endpoint)
        case .full: break
        // No connection that becomes free tells when an endpoint can be reached again.
        case .none: timers.set(client, deadline: min(now + 40, pendingDeadline(client)), in: slab)
        }
    }

    mutating func removePending(_ client: ConnectionPointer) {
        let backend = topology.backends[client.pointee.exchange.backend]
        if backend.pointee.lastPending == client.pointee.index {
            backend.pointee.lastPending = client.pointee.previous
        }
        var first = backend.pointee.firstPending
        unlink(client, first: &first)
        backend.pointee.firstPending = first
        backend.pointee.pendingCount -= 1
        pendingCount -= 1
        client.pointee.phase = .exchange
        // It may have been the one that was to be looked at.
        wakeFirstPending(backend)
    }

    mutating func pendingTimedOut(_ client: ConnectionPointer) {
        guard now >= pendingDeadline(client) else {
            timers.set(client, deadline: pendingDeadline(client), in: slab)
            return pendingReady(client)
        }
        removePending(client)
        let limit = client.pointee.exchange.requestDeadline
        respond(client, limit != 0 && now >= limit ? .responseTimeout : .noConnection)
    }
}
