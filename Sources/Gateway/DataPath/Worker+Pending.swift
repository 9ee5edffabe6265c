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
        let requestLimit = client.pointee.exchange.requestDeadline
        timers.set(client, deadline: requestLimit == 0 ? limit : min(limit, requestLimit), in: slab)
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
        guard backend.pointee.firstPending == client.pointee.index,
            case .endpoint(let endpoint) = chooseEndpoint(client)
        else { return }
        removePending(client)
        wakeFirstPending(backend)
        send(client, to: endpoint)
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
    }

    mutating func pendingTimedOut(_ client: ConnectionPointer) {
        removePending(client)
        let limit = client.pointee.exchange.requestDeadline
        respond(client, limit != 0 && now >= limit ? .responseTimeout : .noConnection)
    }
}
