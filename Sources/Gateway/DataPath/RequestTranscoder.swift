import CLinux

/// Writes a request's head for the endpoint.
struct RequestTranscoder: BitwiseCopyable {
    let request: RequestHead
    let head: ByteSpan
    let fields: UnsafePointer<HeaderField>
    let view: TableView
    let rule: TableView.RuleRow
    let match: RouteMatch
    let client: clinux_address
    let isTLS: Bool
    /// Two random words for a request that brings no id.
    let requestID: (UInt64, UInt64)
    let forwarding: DataPathConfiguration.ForwardedFields

    /// More bytes than the head that is written can need.
    var sizeBound: Int {
        var size = head.count + 512 + Int(rule.rewriteHost.count) + Int(rule.rewritePath.value.count)
        size += Int(request.authority.count) * 3
        for index in rule.requestChanges.indices {
            size += Int(view.changes[index].name.count) + Int(view.changes[index].value.count) + 4
        }
        return size
    }

    func write(to writer: inout HeadWriter) {
        writeRequestLine(to: &writer)
        writer.append(name: span("Host"), value: host)
        var keepsRequestID = false
        let copy = FieldCopy(
            head: head,
            fields: fields,
            count: request.fieldCount,
            view: view,
            changes: rule.requestChanges,
            nominates: request.options.nominates
        )
        copy.write(to: &writer) { kind in
            switch kind {
            case .host, .forwardedFor, .forwardedHost, .forwardedProto, .forwarded: return false
            case .requestID:
                keepsRequestID = true
                return true
            default: return !kind.isHopByHop
            }
        }
        writeForwarded(to: &writer)
        if !keepsRequestID { writeRequestID(to: &writer) }
        writeConnection(to: &writer)
        copy.writeChanges(to: &writer)
        writer.append("\r\n")
    }

    // MARK: - Private

    private func span(_ text: StaticString) -> ByteSpan { ByteSpan(text.utf8Start, text.utf8CodeUnitCount) }

    private var host: ByteSpan {
        rule.rewriteHost.isEmpty ? head.slice(request.authority) : view.text(rule.rewriteHost)
    }

    private func writeRequestLine(to writer: inout HeadWriter) {
        writer.append(head.slice(request.method))
        writer.append(" ")
        PathWriter(path: head.slice(request.path), prefixLength: match.prefixLength, view: view)
            .write(rule.rewritePath, to: &writer)
        if request.hasQuery {
            writer.append("?")
            writer.append(head.slice(request.query))
        }
        writer.append(" HTTP/1.1\r\n")
    }

    private func writeForwarded(to writer: inout HeadWriter) {
        if forwarding == .xForwarded || forwarding == .both { writeXForwarded(to: &writer) }
        if forwarding == .forwarded || forwarding == .both { writeRFC7239(to: &writer) }
    }

    /// The client's own address is added to what proxies before us said; scheme and host are ours to say.
    private func writeXForwarded(to writer: inout HeadWriter) {
        writer.append("X-Forwarded-For: ")
        writeEarlier(.forwardedFor, to: &writer)
        writeClient(to: &writer)
        writer.append(isTLS ? "\r\nX-Forwarded-Proto: https\r\n" : "\r\nX-Forwarded-Proto: http\r\n")
        if !request.authority.isEmpty {
            writer.append(name: span("X-Forwarded-Host"), value: head.slice(request.authority))
        }
    }

    /// RFC 7239 §4: one element for each proxy, ours last; IPv6 addresses stand in brackets and quotes.
    private func writeRFC7239(to writer: inout HeadWriter) {
        writer.append("Forwarded: ")
        writeEarlier(.forwarded, to: &writer)
        writer.append(client.family == 6 ? "for=\"[" : "for=")
        writeClient(to: &writer)
        if client.family == 6 { writer.append("]\"") }
        writer.append(isTLS ? ";proto=https" : ";proto=http")
        if !request.authority.isEmpty {
            writer.append(";host=\"")
            writer.append(head.slice(request.authority))
            writer.append("\"")
        }
        writer.append("\r\n")
    }

    private func writeEarlier(_ kind: HeaderField.Kind, to writer: inout HeadWriter) {
        for index in 0..<request.fieldCount where fields[index].kind == kind {
            guard !fields[index].value.isEmpty else { continue }
            writer.append(head.slice(fields[index].value))
            writer.append(", ")
        }
    }

    private func writeClient(to writer: inout HeadWriter) {
        var address = client
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { text in
            let count = Int(clinux_format_address(&address, text.baseAddress))
            writer.append(ByteSpan(text.baseAddress!, count))
        }
    }

    private func writeRequestID(to writer: inout HeadWriter) {
        writer.append("X-Request-Id: ")
        writer.append(hexadecimal: requestID.0, digits: 16)
        writer.append(hexadecimal: requestID.1, digits: 16)
        writer.append("\r\n")
    }

    private func writeConnection(to writer: inout HeadWriter) {
        if request.body.kind == .chunked { writer.append("Transfer-Encoding: chunked\r\n") }
        guard request.wantsUpgrade else { return }
        writer.append("Connection: upgrade\r\n")
        for index in 0..<request.fieldCount where fields[index].kind == .upgrade {
            writer.append(name: span("Upgrade"), value: head.slice(fields[index].value))
        }
    }
}

/// Writes a path as a rewrite or redirect changes it.
struct PathWriter: BitwiseCopyable {
    let path: ByteSpan
    let prefixLength: Int
    let view: TableView

    func write(_ change: TableView.PathChangeRow, to writer: inout HeadWriter) {
        switch change.kind {
        case .none:
            writer.append(path)
            if path.count == 0 { writer.append("/") }
        case .full: writer.append(view.text(change.value))
        case .prefix:
            let rest = path.dropFirst(prefixLength)
            writer.append(view.text(change.value))
            if rest.count == 0, change.value.isEmpty { writer.append("/") }
            if rest.count > 0, rest[0] != ASCII.slash { writer.append("/") }
            writer.append(rest)
        }
    }
}
