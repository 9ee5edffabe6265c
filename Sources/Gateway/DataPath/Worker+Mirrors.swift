/// Copies of requests for other backends (``RouteTable/RequestMirror``).
///
/// A copy is a client without a socket: it takes the same way to an endpoint as any request, and what comes back for it goes nowhere. The
/// request that it was made of knows it only while its body comes in.
extension Worker {
    /// Copies under way at the same time; more are dropped and counted.
    static var maximumCopies: Int { 256 }

    /// Makes the copies that the rule asks for; `client.request` holds the head and what came of the body.
    /// - Returns: the first of them; the others follow by `next`.
    mutating func makeCopies(_ client: ConnectionPointer, _ rule: TableView.RuleRow, _ view: TableView) -> UInt32 {
        guard !client.pointee.exchange.wantsUpgrade else { return Connection.none }
        var first = Connection.none
        for index in rule.mirrors.indices {
            let mirror = view.mirrors[index]
            guard random() >> 32 % UInt64(RouteTable.RequestMirror.whole) < UInt64(mirror.share) else { continue }
            guard let copy = makeCopy(client, mirror) else {
                metrics.add(.copiesDropped)
                continue
            }
            copy.pointee.next = first
            first = copy.pointee.index
        }
        return first
    }

    private mutating func makeCopy(_ client: ConnectionPointer, _ mirror: TableView.MirrorRow) -> ConnectionPointer? {
        let table = topology.tables[client.pointee.exchange.table].pointee
        guard copyCount < Self.maximumCopies, client.pointee.request.count <= RouteTable.RequestMirror.maximumBytes,
            let numbers = table.backends, let copy = slab.take(.client, descriptor: -1)
        else { return nil }
        let backend = numbers[Int(mirror.backend)]
        var exchange = Exchange()
        exchange.table = topology.retainTable()
        exchange.rule = client.pointee.exchange.rule
        exchange.backend = backend
        exchange.series = mirror.series
        exchange.startedAt = nanoseconds
        exchange.isHead = client.pointee.exchange.isHead
        copy.pointee.exchange = exchange
        copy.pointee.isCopy = true
        copy.pointee.address = client.pointee.address
        copy.pointee.phase = .copying
        topology.backends[backend].pointee.users += 1
        copyCount += 1
        clientCount += 1
        inFlightCount += 1
        _ = buffers.append(client.pointee.request.bytes, to: &copy.pointee.request)
        return copy
    }

    /// Sends complete copies on their way.
    mutating func dispatchCopies(_ first: UInt32) {
        var index = first
        while index != Connection.none {
            let copy = slab[index]
            index = copy.pointee.next
            copy.pointee.next = Connection.none
            metrics.started(series: copy.pointee.exchange.series)
            dispatchRequest(copy)
        }
    }

    /// Adds a piece of the body; gives copies up that grow too large.
    mutating func addToCopies(_ client: ConnectionPointer, _ bytes: ByteSpan) {
        guard let first = firstCopy(client) else { return }
        let isFitting = slab[first].pointee.request.count + bytes.count <= RouteTable.RequestMirror.maximumBytes
        guard isFitting else { return dropCopies(client) }
        var index = first
        while index != Connection.none {
            let copy = slab[index]
            index = copy.pointee.next
            _ = buffers.append(bytes, to: &copy.pointee.request)
        }
    }

    /// The body is complete: from here on the copies are on their own.
    mutating func finishCopies(_ client: ConnectionPointer) {
        guard let first = firstCopy(client) else { return }
        client.pointee.exchange.firstCopy = Connection.none
        dispatchCopies(first)
    }

    /// The request ended before its body did, or is too large.
    mutating func dropCopies(_ client: ConnectionPointer) {
        guard let first = firstCopy(client) else { return }
        client.pointee.exchange.firstCopy = Connection.none
        var index = first
        while index != Connection.none {
            let copy = slab[index]
            index = copy.pointee.next
            copy.pointee.next = Connection.none
            metrics.add(.copiesDropped)
            metrics.started(series: copy.pointee.exchange.series)
            closeClient(copy)
        }
    }

    @inline(__always)
    private func firstCopy(_ client: ConnectionPointer) -> UInt32? {
        let first = client.pointee.exchange.firstCopy
        return first == Connection.none ? nil : first
    }
}
