import CLinux
import FlowControl

/// From a request's head to an endpoint: match, rewrite, choose, wait.
extension Worker {
    /// Matches the request whose head starts `bytes` and sends it on its way; keeps what follows the head.
    mutating func startExchange(_ client: ConnectionPointer, _ head: RequestHead, _ bytes: ByteSpan, isInput: Bool) {
        beginExchange(client, head)
        guard buffers.bytesHeld < configuration.maximumBuffered else {
            return respond(client, .noMemory, closing: true)
        }
        let headBytes = ByteSpan(bytes.base, head.length)
        let view = topology.view
        let requestID = (random(), random())
        noteHead(client, head, headBytes, requestID)
        let key = RequestKey(
            host: headBytes.slice(head.host),
            path: headBytes.slice(head.path),
            query: headBytes.slice(head.query),
            method: headBytes.slice(head.method),
            head: headBytes,
            fields: fields,
            fieldCount: head.fieldCount,
            listeners: listenerMask(client, headBytes.slice(head.host), view)
        )
        let match = head.methodClass == .connect ? nil : view.lookup(key)
        if let match {
            take(client, match, key, view)
            noteOrigin(client, match, key, view)
            if client.pointee.exchange.ownAnswer != .none {
                return answerForRule(client, head, bytes, match, key, view, isInput: isInput)
            }
        }
        if configuration.maximumBody > 0, head.body.announcedLength > configuration.maximumBody {
            keepRest(client, head, bytes, used: head.length, isInput: isInput)
            return respond(client, .bodyTooLarge, closing: true)
        }
        if let match {
            guard admit(client, match, key, view) else {
                keepRest(client, head, bytes, used: head.length, isInput: isInput)
                return respondRefused(client, view, expectsContinue: head.expectsContinue)
            }
            guard writeRequest(client, head, headBytes, match, view, requestID) else {
                return refuse(client, .headTooLarge)
            }
        }
        do {
            let used = try takeBodyStart(client, bytes.dropFirst(head.length), isMatched: match != nil)
            keepRest(client, head, bytes, used: head.length + used, isInput: isInput)
        } catch {
            return refuse(client, error)
        }
        if isBodyTooLarge(client) { return respond(client, .bodyTooLarge, closing: true) }
        guard let match else { return respondUnmatched(client, head, key) }
        let copies = makeCopies(client, view.rules[match.rule], view)
        let isComplete = client.pointee.exchange.body.isComplete
        if !isComplete { client.pointee.exchange.firstCopy = copies }
        if client.pointee.exchange.admission.turn > 0 { pace(client) } else { chooseBackend(client) }
        if isComplete { dispatchCopies(copies) }
    }

    /// The listener that the request is for, as its bit: none for a host that has no listener here, or another one than the connection.
    private func listenerMask(_ client: ConnectionPointer, _ host: ByteSpan, _ view: TableView) -> UInt64 {
        guard !view.listeners.isEmpty else { return .max }
        guard let row = view.listeners.find(host, at: client.pointee.door), isDirected(client, row) else { return 0 }
        return row.bit
    }

    private func isDirected(_ client: ConnectionPointer, _ row: ListenerView.Row) -> Bool {
        !client.pointee.door.isTLS || row.number == client.pointee.listener
    }

    private mutating func beginExchange(_ client: ConnectionPointer, _ head: RequestHead) {
        var exchange = Exchange()
        exchange.table = topology.retainTable()
        exchange.series = UInt32(topology.view.unmatchedSeries)
        exchange.rule = Connection.none
        exchange.body = head.body
        exchange.startedAt = nanoseconds
        exchange.isHTTP10 = head.isHTTP10
        exchange.isHead = head.methodClass == .head
        exchange.isIdempotent = head.methodClass.isIdempotent
        exchange.hadBody = !head.body.isComplete
        exchange.wantsUpgrade = head.wantsUpgrade
        client.pointee.exchange = exchange
        client.pointee.phase = .exchange
        client.pointee.closesAfterResponse = !head.wantsKeepAlive
        inFlightCount += 1
    }

    private mutating func take(_ client: ConnectionPointer, _ match: RouteMatch, _ key: RequestKey, _ view: TableView) {
        let rule = view.rules[match.rule]
        client.pointee.exchange.rule = UInt32(match.rule)
        client.pointee.exchange.series = rule.series
        if rule.ownStatus != 0 { client.pointee.exchange.ownAnswer = .rule }
        if rule.hashKey.kind != .none {
            let hash = RequestHash(key: rule.hashKey, view: view, request: key)
            client.pointee.exchange.hash = hash.of(client.pointee.address)
        }
        if rule.requestTimeout > 0 { client.pointee.exchange.requestDeadline = now + UInt64(rule.requestTimeout) }
    }

    private mutating func writeRequest(
        _ client: ConnectionPointer,
        _ head: RequestHead,
        _ bytes: ByteSpan,
        _ match: RouteMatch,
        _ view: TableView,
        _ requestID: (UInt64, UInt64)
    ) -> Bool {
        let transcoder = RequestTranscoder(
            request: head,
            head: bytes,
            fields: fields,
            view: view,
            rule: view.rules[match.rule],
            match: match,
            client: client.pointee.address,
            isTLS: client.pointee.door.isTLS,
            requestID: requestID,
            forwarding: configuration.forwarding
        )
        guard buffers.reserve(transcoder.sizeBound, in: &client.pointee.request) else { return false }
        var writer = HeadWriter(client.pointee.request.tail, capacity: client.pointee.request.room)
        transcoder.write(to: &writer)
        client.pointee.request.end += Int32(writer.count)
        client.pointee.exchange.isIntact = true
        return !writer.hasOverflowed
    }

    /// Puts the part of the body that came with the head behind it, so that both leave in one call.
    private mutating func takeBodyStart(
        _ client: ConnectionPointer,
        _ rest: ByteSpan,
        isMatched: Bool
    ) throws(HeadFault) -> Int {
        guard !client.pointee.exchange.body.isComplete, rest.count > 0 else { return 0 }
        let taken = try client.pointee.exchange.body.consume(rest)
        client.pointee.exchange.requestBytes += UInt64(taken)
        if isMatched { _ = buffers.append(ByteSpan(rest.base, taken), to: &client.pointee.request) }
        return taken
    }

    mutating func keepRest(
        _ client: ConnectionPointer,
        _ head: RequestHead,
        _ bytes: ByteSpan,
        used: Int,
        isInput: Bool
    ) {
        if isInput {
            client.pointee.input.start += Int32(used)
            if client.pointee.input.isEmpty { buffers.release(&client.pointee.input) }
        } else if used < bytes.count {
            _ = buffers.append(bytes.dropFirst(used), to: &client.pointee.input)
        }
    }

    // MARK: - Choosing

    mutating func chooseBackend(_ client: ConnectionPointer) {
        let exchange = client.pointee.exchange
        let table = topology.tables[exchange.table].pointee
        guard let view = table.view, let numbers = table.backends else { return respond(client, .wrongReference) }
        let rule = view.rules[Int(exchange.rule)]
        guard rule.totalWeight > 0 else { return respond(client, .wrongReference) }
        var ticket = rule.targets.count == 1 ? 0 : UInt32(truncatingIfNeeded: random() >> 32) % rule.totalWeight
        for index in rule.targets.indices {
            let target = view.targets[index]
            guard ticket >= target.weight else {
                client.pointee.exchange.series = target.series
                client.pointee.exchange.target = UInt32(index)
                guard target.backend != TableView.TargetRow.none else { return respond(client, .wrongReference) }
                metrics.started(series: target.series)
                let backend = numbers[Int(target.backend)]
                client.pointee.exchange.backend = backend
                topology.backends[backend].pointee.users += 1
                topology.backends[backend].pointee.budget.requestStarted(now: now)
                return dispatchRequest(client)
            }
            ticket -= target.weight
        }
    }

    /// Gives the request to an endpoint, or holds it until there is one.
    mutating func dispatchRequest(_ client: ConnectionPointer) {
        let backend = topology.backends[client.pointee.exchange.backend]
        guard backend.pointee.firstPending == Connection.none else { return waitForConnection(client) }
        switch chooseEndpoint(client) {
        case .endpoint(let endpoint): send(client, to: endpoint)
        case .full: waitForConnection(client)
        case .none: hold(client)
        }
    }

    mutating func chooseEndpoint(_ client: ConnectionPointer) -> EndpointChoice {
        let exchange = client.pointee.exchange
        let avoided = exchange.attempts > 0 ? exchange.endpoint : Connection.none
        let preference = Topology.Preference(random: random(), hash: exchange.hash, avoided: avoided)
        return topology.choose(backend: exchange.backend, now: now, preference)
    }

    mutating func send(_ client: ConnectionPointer, to endpoint: UInt32) {
        client.pointee.phase = .exchange
        client.pointee.exchange.attemptAt = now
        remember(endpoint, client)
        armExchange(client)
        if !client.pointee.exchange.needsNewConnection, let idle = takeUsableIdle(endpoint, for: client) {
            attach(idle, to: client, endpoint)
            idle.pointee.phase = .active
            return flushRequest(client, idle)
        }
        makeRoom(at: endpoint)
        connect(client, endpoint)
    }

    /// A new connection is wanted where only idle ones may be left: one of them goes.
    private mutating func makeRoom(at endpoint: UInt32) {
        let state = topology.endpoints[endpoint].pointee
        let limit = topology.backends[state.backend].pointee.row.maximumConnections
        guard limit > 0, state.connections >= Int32(clamping: limit), let idle = popIdle(endpoint: endpoint) else {
            return
        }
        closeUpstream(idle)
    }

    private mutating func remember(_ endpoint: UInt32, _ client: ConnectionPointer) {
        let before = client.pointee.exchange.endpoint
        guard before != endpoint else { return }
        topology.retainEndpoint(endpoint)
        if before != Connection.none { topology.releaseEndpoint(before) }
        client.pointee.exchange.endpoint = endpoint
    }

    private mutating func armExchange(_ client: ConnectionPointer) {
        let limit = client.pointee.exchange.requestDeadline
        timers.set(client, deadline: limit != 0 ? limit : now + configuration.progressTimeout, in: slab)
    }

    // MARK: - Holding

    /// A rolling update may leave a moment without endpoints; requests wait it out instead of failing.
    mutating func hold(_ client: ConnectionPointer) {
        if client.pointee.exchange.holdUntil == 0 {
            client.pointee.exchange.holdUntil = now + configuration.holdTimeout
        }
        let limit = client.pointee.exchange.holdUntil
        guard now < limit, heldCount < configuration.maximumHeld else { return respondUnreachable(client) }
        client.pointee.phase = .held
        client.pointee.previous = Connection.none
        client.pointee.next = firstHeld
        if firstHeld != Connection.none { slab[firstHeld].pointee.previous = client.pointee.index }
        firstHeld = client.pointee.index
        heldCount += 1
        timers.set(client, deadline: min(now + 40, limit), in: slab)
    }

    func unlink(_ connection: ConnectionPointer, first: inout UInt32) {
        let (next, previous) = (connection.pointee.next, connection.pointee.previous)
        if previous == Connection.none { first = next } else { slab[previous].pointee.next = next }
        if next != Connection.none { slab[next].pointee.previous = previous }
        connection.pointee.next = Connection.none
        connection.pointee.previous = Connection.none
    }

    mutating func removeHeld(_ client: ConnectionPointer) {
        var first = firstHeld
        unlink(client, first: &first)
        firstHeld = first
        heldCount -= 1
        client.pointee.phase = .exchange
    }

    mutating func heldTimedOut(_ client: ConnectionPointer) {
        removeHeld(client)
        if client.pointee.exchange.requestDeadline != 0, now >= client.pointee.exchange.requestDeadline {
            return respond(client, .responseTimeout)
        }
        dispatchRequest(client)
    }

    /// Tries all requests that wait again, after a change of the table.
    mutating func dispatchHeld() {
        var held = firstHeld
        while held != Connection.none {
            let client = slab[held]
            held = client.pointee.next
            removeHeld(client)
            dispatchRequest(client)
        }
        for backend in 0..<topology.backends.count { wakeFirstPending(topology.backends[UInt32(backend)]) }
    }

    // MARK: - Answers of our own

    private mutating func respondUnmatched(_ client: ConnectionPointer, _ head: RequestHead, _ key: RequestKey) {
        guard head.methodClass != .connect else {
            let explanation: StaticString = "This gateway does not open tunnels."
            return respond(client, LocalResponse(status: 405, explanation: explanation, error: .httpRequestDenied))
        }
        // A client that waits for 100 Continue may never send its body.
        if head.expectsContinue, !client.pointee.exchange.body.isComplete { client.pointee.closesAfterResponse = true }
        let row = topology.view.listeners.find(key.host, at: client.pointee.door)
        respond(client, row.map { isDirected(client, $0) } ?? true ? .noRoute : .misdirected)
    }

    /// Answers a request that cannot be understood; the connection cannot be used any further.
    mutating func refuse(_ client: ConnectionPointer, _ fault: HeadFault) {
        respond(client, LocalResponse(fault), closing: true)
    }

    mutating func respond(_ client: ConnectionPointer, _ response: LocalResponse, closing: Bool = false) {
        if client.pointee.exchange.table == Connection.none || client.pointee.phase == .head {
            beginExchange(client, RequestHead())
        }
        client.pointee.exchange.error = response.error
        if closing || response.status == 408 || response.status >= 502 && !client.pointee.exchange.body.isComplete {
            client.pointee.closesAfterResponse = true
        }
        client.pointee.exchange.status = UInt16(response.status)
        var writer = HeadWriter(scratch, capacity: Self.scratchSize)
        writer.append("HTTP/1.1 ")
        writer.append(decimal: UInt64(response.status))
        writer.append(" ")
        writer.append(LocalResponse.reason(response.status))
        writer.append("\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ")
        writer.append(decimal: UInt64(response.explanation.utf8CodeUnitCount + 1))
        writer.append("\r\nProxy-Status: sampan; error=")
        writer.append(response.error.token)
        writer.append("\r\n")
        finishLocalHead(client, &writer)
        if !client.pointee.exchange.isHead {
            writer.append(response.explanation)
            writer.append("\n")
            client.pointee.exchange.responseBytes = UInt64(response.explanation.utf8CodeUnitCount + 1)
        }
        guard send(writer.bytes, toClient: client) else { return }
        responseFinished(client)
    }

    mutating func finishLocalHead(_ client: ConnectionPointer, _ writer: inout HeadWriter) {
        if !client.pointee.added.isEmpty { writer.append(client.pointee.added.bytes) }
        if client.pointee.closesAfterResponse || isStopping {
            writer.append("Connection: close\r\n")
        } else if client.pointee.exchange.isHTTP10 {
            writer.append("Connection: keep-alive\r\n")
        }
        writer.append("\r\n")
    }

    // MARK: - The end

    /// Counts the exchange and lets go of everything it held.
    mutating func endExchange(_ client: ConnectionPointer) {
        dropCopies(client)
        let exchange = client.pointee.exchange
        if exchange.admission.holds != 0 { releaseAdmission(exchange) }
        exchangeEnded(client, exchange)
        if exchange.endpoint != Connection.none { topology.releaseEndpoint(exchange.endpoint) }
        if exchange.backend != Connection.none { topology.releaseBackend(exchange.backend) }
        topology.releaseTable(exchange.table)
        buffers.release(&client.pointee.request)
        buffers.release(&client.pointee.log)
        buffers.release(&client.pointee.added)
        client.pointee.rateCheckAt = 0
        client.pointee.exchange.table = Connection.none
        client.pointee.exchange.backend = Connection.none
        client.pointee.exchange.endpoint = Connection.none
        inFlightCount -= 1
    }

    mutating func exchangeTimedOut(_ client: ConnectionPointer) {
        if client.pointee.peer != Connection.none { dropUpstream(slab[client.pointee.peer]) }
        respond(client, .responseTimeout)
    }
}
