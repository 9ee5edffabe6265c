/// Answers that a route itself gives: redirects, fixed texts and preflights. The policies of the rule hold for them as for everything else.
extension Worker {
    mutating func answerForRule(
        _ client: ConnectionPointer,
        _ head: RequestHead,
        _ bytes: ByteSpan,
        _ match: RouteMatch,
        _ key: RequestKey,
        _ view: TableView,
        isInput: Bool
    ) {
        guard admit(client, match, key, view) else {
            keepRest(client, head, bytes, used: head.length, isInput: isInput)
            return respondRefused(client, view, expectsContinue: head.expectsContinue)
        }
        // A client that waits for 100 Continue may never send its body.
        if head.expectsContinue, !client.pointee.exchange.body.isComplete { client.pointee.closesAfterResponse = true }
        let rule = view.rules[match.rule]
        var writer = HeadWriter(scratch, capacity: Self.scratchSize)
        if client.pointee.exchange.ownAnswer == .preflight {
            CrossOriginRequest(key, view.crossOrigins.rules[Int(rule.crossOrigin)], view).writePreflight(to: &writer)
        } else {
            RuleAnswer(
                request: head,
                head: ByteSpan(bytes.base, head.length),
                match: match,
                view: view,
                rule: rule,
                isTLS: client.pointee.door.isTLS
            ).writeHead(to: &writer)
        }
        finishLocalHead(client, &writer)
        keepRest(client, head, bytes, used: head.length, isInput: isInput)
        guard client.pointee.exchange.admission.turn > 0 else { return deliver(&writer, of: rule, view, to: client) }
        // What the answer is made of is gone when the turn comes.
        _ = buffers.append(writer.bytes, to: &client.pointee.request)
        pace(client)
    }

    /// Sends the answer whose head was laid out when the request came: its turn is now.
    mutating func answerForRule(_ client: ConnectionPointer, _ rule: TableView.RuleRow, _ view: TableView) {
        var writer = HeadWriter(scratch, capacity: Self.scratchSize)
        writer.append(client.pointee.request.bytes)
        deliver(&writer, of: rule, view, to: client)
    }

    /// Notes what a request of a page of another origin gets, while its head is at hand.
    mutating func noteOrigin(_ client: ConnectionPointer, _ match: RouteMatch, _ key: RequestKey, _ view: TableView) {
        let number = view.rules[match.rule].crossOrigin
        guard number != TableView.RuleRow.none else { return }
        let request = CrossOriginRequest(key, view.crossOrigins.rules[Int(number)], view)
        var writer = HeadWriter(scratch, capacity: Self.scratchSize)
        request.writePermission(to: &writer)
        if writer.count > 0 { _ = buffers.append(writer.bytes, to: &client.pointee.added) }
        if request.isPreflight { client.pointee.exchange.ownAnswer = .preflight }
    }

    private mutating func deliver(
        _ writer: inout HeadWriter,
        of rule: TableView.RuleRow,
        _ view: TableView,
        to client: ConnectionPointer
    ) {
        let isPreflight = client.pointee.exchange.ownAnswer == .preflight
        let body = client.pointee.exchange.isHead || isPreflight ? .empty : view.text(rule.ownBody)
        writer.append(body)
        client.pointee.exchange.status = isPreflight ? 204 : rule.ownStatus
        client.pointee.exchange.responseBytes = UInt64(body.count)
        guard send(writer.bytes, toClient: client) else { return }
        responseFinished(client)
    }
}

extension TableView.RuleRow {
    /// Zero for rules that send requests on.
    var ownStatus: UInt16 { redirect.status != 0 ? redirect.status : response.status }

    /// Redirects have none, and 204 and 304 have no content (RFC 9110 §15.3.5, §15.4.5).
    var ownBody: ByteRange { ownAnswerHasContent ? response.body : ByteRange() }

    var ownAnswerHasContent: Bool { redirect.status == 0 && response.status != 204 && response.status != 304 }
}

/// Writes the answer of a rule that answers itself.
struct RuleAnswer: BitwiseCopyable {
    let request: RequestHead
    let head: ByteSpan
    let match: RouteMatch
    let view: TableView
    let rule: TableView.RuleRow
    let isTLS: Bool

    /// Everything up to the fields that concern the connection.
    func writeHead(to writer: inout HeadWriter) {
        writer.append("HTTP/1.1 ")
        writer.append(decimal: UInt64(rule.ownStatus))
        writer.append(" ")
        if rule.redirect.status != 0 { writeRedirect(to: &writer) } else { writeResponse(to: &writer) }
    }

    // MARK: - Private

    private func writeResponse(to writer: inout HeadWriter) {
        writer.append(view.text(rule.response.reason))
        writer.append("\r\n")
        // Also for HEAD, which is told how long the answer to GET would be.
        if rule.ownAnswerHasContent {
            writer.append("Content-Type: ")
            writer.append(view.text(rule.response.contentType))
            writer.append("\r\nContent-Length: ")
            writer.append(decimal: UInt64(rule.response.body.count))
            writer.append("\r\n")
        }
        for index in rule.responseChanges.indices where view.changes[index].kind != .remove {
            let change = view.changes[index]
            writer.append(name: view.text(change.name), value: view.text(change.value))
        }
    }

    /// RFC 9110 §15.4; the location is absolute, as Gateway API asks.
    private func writeRedirect(to writer: inout HeadWriter) {
        writer.append(LocalResponse.reason(Int(rule.ownStatus)))
        writer.append("\r\nContent-Length: 0\r\nProxy-Status: sampan; details=\"redirected by the route\"")
        writer.append("\r\nLocation: ")
        LocationWriter(request: request, head: head, match: match, view: view, redirect: rule.redirect, isTLS: isTLS)
            .write(to: &writer)
        writer.append("\r\n")
    }
}

/// Writes the target of a redirect.
struct LocationWriter: BitwiseCopyable {
    let request: RequestHead
    let head: ByteSpan
    let match: RouteMatch
    let view: TableView
    let redirect: TableView.RedirectRow
    /// Of the request; its scheme is kept where the rule names none.
    let isTLS: Bool

    func write(to writer: inout HeadWriter) {
        if redirect.scheme.isEmpty {
            writer.append(isTLS ? "https" : "http")
        } else {
            writer.append(view.text(redirect.scheme))
        }
        writer.append("://")
        writer.append(redirect.host.isEmpty ? head.slice(request.host) : view.text(redirect.host))
        writePort(to: &writer)
        PathWriter(path: head.slice(request.path), prefixLength: match.prefixLength, view: view)
            .write(redirect.path, to: &writer)
        if request.hasQuery {
            writer.append("?")
            writer.append(head.slice(request.query))
        }
    }

    /// Gateway API: the port given; else the scheme's own when a scheme is given; else the one of the request.
    private func writePort(to writer: inout HeadWriter) {
        if redirect.port != 0 {
            let isUsual = redirect.port == (isHTTPS ? 443 : 80)
            guard !isUsual else { return }
            writer.append(":")
            writer.append(decimal: UInt64(redirect.port))
        } else if redirect.scheme.isEmpty {
            let start = Int(request.host.start + request.host.count)
            let end = Int(request.authority.start + request.authority.count)
            if end > start, head[start] == ASCII.colon { writer.append(ByteSpan(head.base + start, end - start)) }
        }
    }

    private var isHTTPS: Bool {
        redirect.scheme.isEmpty ? isTLS : view.text(redirect.scheme).equalsIgnoringCase("https")
    }
}
