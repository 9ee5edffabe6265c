import CLinux
import FlowControl

/// Whether, and when, a request may pass: the policies of its rule.
///
/// In two steps. On arrival: rates and related traffic, which may make the request wait. When its turn has come, at once for most: what
/// counts requests in flight, and the breaker last. A request that one policy refuses gives back what others have counted for it, so that
/// each limit counts exactly what passes; turns of limits that make requests wait are left unused.
extension Worker {
    /// Asks all policies, but those of the turn only if the request need not wait for it.
    /// - Returns: `false` when the request is refused; see ``Admission/refusedBy``.
    mutating func admit(_ client: ConnectionPointer, _ match: RouteMatch, _ key: RequestKey, _ view: TableView) -> Bool
    {
        let rows = view.rules[match.rule].policies
        guard rows.all.count > 0 else { return true }
        let reader = PolicyKeyReader(view: view, request: key, client: client.pointee.address)
        // The turn of the loop may have begun a while ago; rates need the time as it is.
        let time = clinux_monotonic()
        guard admitArrival(client, rows.forArrival, reader, time) else { return false }
        guard rows.forTurn.count > 0 else { return true }
        noteKeys(client, rows.forTurn, reader)
        if client.pointee.exchange.admission.turn > 0 { return true }
        guard admitTurn(client, view, rows.forTurn, time) else {
            giveBack(client, rows.forArrival, view, admitted: time)
            return false
        }
        return true
    }

    // MARK: - On arrival

    private func admitArrival(
        _ client: ConnectionPointer,
        _ rows: RowRange,
        _ reader: PolicyKeyReader,
        _ time: UInt64
    ) -> Bool {
        let first = rows.indices.lowerBound
        var longest: UInt64 = 0
        var waitingRow: Int?
        for index in rows.indices {
            let row = reader.view.policies.base + index
            let verdict: Verdict
            switch row.pointee.mechanism {
            case .meter(let meter, let word):
                meter.note(word, now: time)
                continue
            case .related(let meter, let word): verdict = meter.admit(word, now: time)
            case .rate(let limiter, let word): verdict = limiter.admit(word, now: time)
            case .warmUp(let limiter, let words): verdict = limiter.admit(words, now: time)
            case .keyedRate(let limiter):
                let ticket = limiter.admit(reader.hash(row.pointee.key), now: time)
                rateTickets[index - first] = ticket
                verdict = ticket.verdict
            default: continue
            }
            switch verdict {
            case .pass: count(.passed, row)
            case .wait where row.pointee.isDryRun: count(.wouldQueue, row)
            case .wait(let time):
                if time > longest { (longest, waitingRow) = (time, index) }
                count(.queued, row)
            case .refuse where row.pointee.isDryRun: count(.wouldRefuse, row)
            case .refuse(let delay):
                refuse(client, index, delay, row)
                giveBack(client, rows, reader.view, admitted: time)
                return false
            }
            if !verdict.isRefusal { client.pointee.exchange.admission.consumed |= 1 << UInt32(index - first) }
        }
        guard longest > 0 else { return true }
        client.pointee.exchange.admission.turn = time + longest
        guard pacing.isFull else { return true }
        let slowest = waitingRow ?? first
        refuse(client, slowest, longest, reader.view.policies.base + slowest)
        giveBack(client, rows, reader.view, admitted: time)
        return false
    }

    /// Rates count what passes: what they let pass before another policy refused it is theirs again.
    private func giveBack(_ client: ConnectionPointer, _ rows: RowRange, _ view: TableView, admitted: UInt64) {
        let consumed = client.pointee.exchange.admission.consumed
        let first = rows.indices.lowerBound
        let now = clinux_monotonic()
        for index in rows.indices where consumed >> UInt32(index - first) & 1 == 1 {
            let row = view.policies.base + index
            switch row.pointee.mechanism {
            case .rate(let limiter, let word): limiter.giveBack(word, admitted: admitted, now: now)
            case .warmUp(let limiter, let words): limiter.giveBack(words, admitted: admitted, now: now)
            case .keyedRate(let limiter): limiter.giveBack(rateTickets[index - first])
            default: break
            }
        }
    }

    // MARK: - Waiting

    /// Keeps the request until its turn; the queue has room, as ``admitArrival`` has seen.
    mutating func pace(_ client: ConnectionPointer) {
        let turn = client.pointee.exchange.admission.turn
        guard pacing.push(due: turn, token: ConnectionSlab.token(client)) else { return respond(client, .noEndpoint) }
        client.pointee.phase = .paced
        let limit = client.pointee.exchange.requestDeadline
        timers.set(client, deadline: limit != 0 ? limit : turn / 1_000_000 + configuration.progressTimeout, in: slab)
    }

    /// Sends on the requests whose turn has come.
    mutating func releasePaced() {
        while let token = pacing.popDue(now: nanoseconds) {
            guard let client = slab.find(token: token), client.pointee.phase == .paced else { continue }
            client.pointee.phase = .exchange
            let exchange = client.pointee.exchange
            guard let view = topology.tables[exchange.table].pointee.view else { continue }
            let rule = view.rules[Int(exchange.rule)]
            let rows = rule.policies.forTurn
            guard rows.count == 0 || admitTurn(client, view, rows, clinux_monotonic()) else {
                respondRefused(client, view, expectsContinue: false)
                continue
            }
            if exchange.ownAnswer == .none { chooseBackend(client) } else { answerForRule(client, rule, view) }
        }
    }

    // MARK: - When the turn has come

    /// Keeps what the policies of the turn need to know of the head.
    private mutating func noteKeys(_ client: ConnectionPointer, _ rows: RowRange, _ reader: PolicyKeyReader) {
        for index in rows.indices {
            let row = reader.view.policies.base + index
            switch row.pointee.mechanism {
            case .keyedConcurrency:
                client.pointee.exchange.admission.concurrencyHash = reader.hash(row.pointee.key)
            case .shedding:
                client.pointee.exchange.admission.level = reader.level(row.pointee)
                let hasKey = row.pointee.key.kind != .none
                client.pointee.exchange.admission.draw = hasKey ? reader.hash(row.pointee.key) : random()
            default: break
            }
        }
    }

    private mutating func admitTurn(
        _ client: ConnectionPointer,
        _ view: TableView,
        _ rows: RowRange,
        _ time: UInt64
    ) -> Bool {
        client.pointee.exchange.admission.startedAt = time
        for index in rows.indices {
            let row = view.policies.base + index
            let verdict = admit(client, row, time)
            guard verdict.isRefusal else {
                client.pointee.exchange.admission.holds |= 1 << UInt32(index - rows.indices.lowerBound)
                count(.passed, row)
                continue
            }
            guard !row.pointee.isDryRun else {
                count(.wouldRefuse, row)
                continue
            }
            if case .refuse(let delay) = verdict { refuse(client, index, delay, row) }
            release(client.pointee.exchange, .none)
            client.pointee.exchange.admission.holds = 0
            return false
        }
        return true
    }

    private mutating func admit(
        _ client: ConnectionPointer,
        _ row: UnsafeMutablePointer<TableView.PolicyRow>,
        _ time: UInt64
    ) -> Verdict {
        /// Nobody knows when a request in flight will end; a second is what clients are asked to wait.
        let second: UInt64 = 1_000_000_000
        switch row.pointee.mechanism {
        case .concurrency(let limiter, let word): return limiter.admit(word) ? .pass : .refuse(second)
        case .keyedConcurrency(let limiter):
            guard let ticket = limiter.admit(client.pointee.exchange.admission.concurrencyHash) else {
                return .refuse(second)
            }
            client.pointee.exchange.admission.concurrencyTicket = ticket
            return .pass
        case .shedding(let shedder):
            let admission = client.pointee.exchange.admission
            return shedder.admit(level: Int(admission.level), worker: number, draw: admission.draw, now: time)
        case .breaker(let breaker):
            let index = Int(row.pointee.breaker)
            var ticket = CircuitBreakerState.Ticket()
            let verdict = breaker.admit(now: time, random: random(), ticket: &ticket)
            client.pointee.exchange.admission.breakers[index] = ticket
            return verdict
        default: return .pass
        }
    }

    // MARK: - The answer, and the end

    /// The head of the backend's answer is there. That is what tells how the backend does: a body takes as long as its client takes to
    /// read it.
    func noteAnswer(_ client: ConnectionPointer) {
        let exchange = client.pointee.exchange
        let outcome: CircuitBreakerState.Outcome = exchange.status < 500 ? .good : .error
        let time = clinux_monotonic()
        forEachHold(of: exchange) { row, bit in
            switch row.pointee.mechanism {
            case .shedding(let shedder):
                let load: LoadShedder.Outcome =
                    switch exchange.status {
                    case ..<500: .good
                    case 503, 504: .overload
                    default: .error
                    }
                shedder.answered(worker: number, load, startedAt: exchange.admission.startedAt, now: time)
            case .breaker(let breaker):
                let ticket = exchange.admission.breakers[Int(row.pointee.breaker)]
                breaker.finish(ticket, outcome, startedAt: exchange.admission.startedAt, now: time)
                client.pointee.exchange.admission.holds &= ~bit
            default: break
            }
        }
    }

    /// Gives back what the policies still count for an exchange that ends. One that got no answer is an error of the backend if the gateway
    /// had to say so; else the client gave up, or the rule answered itself, and nobody knows.
    func releaseAdmission(_ exchange: Exchange) {
        let isAsked = exchange.backend != Connection.none
        release(exchange, isAsked && !exchange.hasResponseHead && exchange.status >= 500 ? .error : .none)
    }

    private func release(_ exchange: Exchange, _ outcome: CircuitBreakerState.Outcome) {
        let time = clinux_monotonic()
        let admission = exchange.admission
        forEachHold(of: exchange) { row, _ in
            switch row.pointee.mechanism {
            case .concurrency(let limiter, let word): limiter.release(word)
            case .keyedConcurrency(let limiter): limiter.release(admission.concurrencyTicket)
            case .shedding(let shedder):
                shedder.finish(
                    level: Int(admission.level),
                    worker: number,
                    // It got no answer, or its answer has been noted.
                    outcome == .error ? .overload : .none,
                    startedAt: admission.startedAt,
                    now: time
                )
            case .breaker(let breaker):
                let ticket = admission.breakers[Int(row.pointee.breaker)]
                breaker.finish(ticket, outcome, startedAt: admission.startedAt, now: time)
            default: break
            }
        }
    }

    @inline(__always)
    private func forEachHold(
        of exchange: Exchange,
        _ body: (UnsafeMutablePointer<TableView.PolicyRow>, UInt32) -> Void
    ) {
        guard exchange.admission.holds != 0, let view = topology.tables[exchange.table].pointee.view else { return }
        let rows = view.rules[Int(exchange.rule)].policies.forTurn
        for index in rows.indices {
            let bit: UInt32 = 1 << UInt32(index - rows.indices.lowerBound)
            if exchange.admission.holds & bit != 0 { body(view.policies.base + index, bit) }
        }
    }

    // MARK: - Refusals

    @inline(__always)
    private func count(_ count: PolicyState.Count, _ row: UnsafeMutablePointer<TableView.PolicyRow>) {
        PolicyState.add(count, row.pointee.counters, worker: number)
    }

    private func refuse(
        _ client: ConnectionPointer,
        _ index: Int,
        _ delay: UInt64,
        _ row: UnsafeMutablePointer<TableView.PolicyRow>
    ) {
        count(row.pointee.mechanism.sheds ? .shed : .limited, row)
        client.pointee.exchange.admission.refusedBy = UInt32(index)
        client.pointee.exchange.admission.retryAfter = delay
    }

    /// Answers for the policy that refused the request: 429 for limits (RFC 6585 §4), 503 for what protects the backend, or the fallback.
    mutating func respondRefused(_ client: ConnectionPointer, _ view: TableView, expectsContinue: Bool) {
        let admission = client.pointee.exchange.admission
        // A client that waits for 100 Continue may never send its body.
        if expectsContinue, !client.pointee.exchange.body.isComplete { client.pointee.closesAfterResponse = true }
        let refusal = PolicyRefusal(
            row: view.policies[Int(admission.refusedBy)],
            view: view,
            retryAfter: admission.retryAfter,
            // Clients that were refused together should not come back together.
            jitter: random()
        )
        client.pointee.exchange.status = refusal.status
        client.pointee.exchange.error = refusal.error
        var writer = HeadWriter(scratch, capacity: Self.scratchSize)
        refusal.writeHead(to: &writer)
        finishLocalHead(client, &writer)
        if !client.pointee.exchange.isHead {
            let start = writer.count
            refusal.writeBody(to: &writer)
            client.pointee.exchange.responseBytes = UInt64(writer.count - start)
        }
        guard send(writer.bytes, toClient: client) else { return }
        responseFinished(client)
    }
}
