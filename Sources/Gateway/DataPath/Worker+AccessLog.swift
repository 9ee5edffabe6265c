import CLinux
import Glibc

/// One line of the access log per request. The part that the head tells is laid out when the head is there, the rest at the end.
extension Worker {
    /// Longer values are cut, so that a line always fits.
    private static let longestValue = 2048

    /// Lays out what the request's head tells.
    mutating func noteHead(
        _ client: ConnectionPointer,
        _ head: RequestHead,
        _ bytes: ByteSpan,
        _ requestID: (UInt64, UInt64)
    ) {
        guard let accessLog else { return }
        var writer = HeadWriter(scratch, capacity: Self.scratchSize)
        let values = LoggedHead(
            head: head,
            bytes: bytes,
            fields: fields,
            limit: Self.longestValue,
            requestID: requestID
        )
        switch accessLog.format {
        case .json: values.writeJSON(to: &writer)
        case .combined:
            values.writeRequestLine(to: &writer)
            client.pointee.exchange.logSplit = UInt16(clamping: writer.count)
            values.writeFields(to: &writer)
        }
        _ = buffers.append(writer.bytes, to: &client.pointee.log)
    }

    /// Notes an exchange that is over.
    mutating func writeLog(_ log: AccessLogWriter, _ client: ConnectionPointer, _ exchange: Exchange) {
        log.date.refresh(monotonic: nanoseconds)
        var writer = HeadWriter(log.line, capacity: AccessLogWriter.longestLine)
        switch log.format {
        case .json: writeJSON(log.date, client, exchange, to: &writer)
        case .combined: writeCombined(log.date, client, exchange, to: &writer)
        }
        writer.append("\n")
        log.ring.append(writer.bytes)
    }

    // MARK: - Formats

    private func writeJSON(
        _ date: LogDate,
        _ client: ConnectionPointer,
        _ exchange: Exchange,
        to writer: inout HeadWriter
    ) {
        writer.append("{\"time\":\"")
        writer.append(date.iso)
        writer.append(".")
        writer.append(decimal: date.milliseconds, digits: 3)
        writer.append("Z\",\"client\":\"")
        writeAddress(client.pointee.address, to: &writer)
        writer.append("\",\"status\":")
        writer.append(decimal: UInt64(exchange.status))
        if exchange.isAborted { writer.append(",\"aborted\":true") }
        writer.append(",\"requestBytes\":")
        writer.append(decimal: exchange.requestBytes)
        writer.append(",\"responseBytes\":")
        writer.append(decimal: exchange.responseBytes)
        writer.append(",\"duration\":")
        writeDuration(exchange, to: &writer)
        writer.append(",\"route\":\"")
        writer.append(json: route(exchange), limit: Self.longestValue)
        writer.append("\",\"backend\":\"")
        writer.append(json: backend(exchange), limit: Self.longestValue)
        writer.append("\",\"endpoint\":\"")
        writeEndpoint(exchange, to: &writer)
        writer.append("\",\"attempts\":")
        writer.append(decimal: attempts(exchange))
        if exchange.error != .none {
            writer.append(",\"error\":\"")
            writer.append(exchange.error.token)
            writer.append("\"")
        }
        if !client.pointee.log.isEmpty { writer.append(client.pointee.log.bytes) }
        writer.append("}")
    }

    private func writeCombined(
        _ date: LogDate,
        _ client: ConnectionPointer,
        _ exchange: Exchange,
        to writer: inout HeadWriter
    ) {
        let (request, fields) = parts(client, exchange)
        writeAddress(client.pointee.address, to: &writer)
        writer.append(" - - [")
        writer.append(date.common)
        writer.append("] \"")
        writer.append(request)
        writer.append("\" ")
        writer.append(decimal: UInt64(exchange.status == 0 ? 499 : exchange.status))
        writer.append(" ")
        writer.append(decimal: exchange.responseBytes)
        writer.append(fields)
        writer.append(" ")
        writeDuration(exchange, to: &writer)
        writer.append(" \"")
        writer.append(json: route(exchange), limit: Self.longestValue)
        writer.append("\" \"")
        writer.append(json: backend(exchange), limit: Self.longestValue)
        writer.append("\" \"")
        writeEndpoint(exchange, to: &writer)
        writer.append("\" ")
        writer.append(decimal: attempts(exchange))
        writer.append(" \"")
        writer.append(exchange.error.token)
        writer.append("\"")
    }

    /// The request line, and the fields behind the counters; a head that was refused has neither.
    private func parts(_ client: ConnectionPointer, _ exchange: Exchange) -> (ByteSpan, ByteSpan) {
        let missing: StaticString = "- \"-\" \"-\" \"\" \"\""
        guard !client.pointee.log.isEmpty else {
            return (ByteSpan(missing.utf8Start, 1), ByteSpan(missing.utf8Start + 1, missing.utf8CodeUnitCount - 1))
        }
        let bytes = client.pointee.log.bytes
        return (ByteSpan(bytes.base, Int(exchange.logSplit)), bytes.dropFirst(Int(exchange.logSplit)))
    }

    // MARK: - Values

    private func attempts(_ exchange: Exchange) -> UInt64 {
        exchange.endpoint == Connection.none ? 0 : UInt64(exchange.attempts) + 1
    }

    private func writeAddress(_ address: clinux_address, to writer: inout HeadWriter) {
        var address = address
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { text in
            let count = Int(clinux_format_address(&address, text.baseAddress))
            writer.append(ByteSpan(text.baseAddress!, count))
        }
    }

    private func writeEndpoint(_ exchange: Exchange, to writer: inout HeadWriter) {
        guard exchange.endpoint != Connection.none else { return }
        let address = topology.endpoints[exchange.endpoint].pointee.address
        if address.family == 6 { writer.append("[") }
        writeAddress(address, to: &writer)
        writer.append(address.family == 6 ? "]:" : ":")
        writer.append(decimal: UInt64(address.port))
    }

    /// Seconds with six digits.
    private func writeDuration(_ exchange: Exchange, to writer: inout HeadWriter) {
        let microseconds = (nanoseconds - exchange.startedAt) / 1000
        writer.append(decimal: microseconds / 1_000_000)
        writer.append(".")
        writer.append(decimal: microseconds % 1_000_000, digits: 6)
    }

    private func route(_ exchange: Exchange) -> ByteSpan {
        guard exchange.rule != Connection.none, let view = topology.tables[exchange.table].pointee.view else {
            return .empty
        }
        return view.text(view.rules[Int(exchange.rule)].route)
    }

    private func backend(_ exchange: Exchange) -> ByteSpan {
        guard exchange.target != Connection.none, let view = topology.tables[exchange.table].pointee.view else {
            return .empty
        }
        return view.text(view.targets[Int(exchange.target)].name)
    }
}
