/// The part of a log line that a request's head tells.
struct LoggedHead: BitwiseCopyable {
    let head: RequestHead
    let bytes: ByteSpan
    let fields: UnsafePointer<HeaderField>
    /// Of the bytes of one value.
    let limit: Int
    let requestID: (UInt64, UInt64)

    /// Members of a JSON object, each with a comma before it.
    func writeJSON(to writer: inout HeadWriter) {
        write("method", bytes.slice(head.method), to: &writer)
        write("host", bytes.slice(head.authority), to: &writer)
        writer.append(",\"target\":\"")
        writeTarget(to: &writer)
        writer.append(head.isHTTP10 ? "\",\"protocol\":\"HTTP/1.0\"" : "\",\"protocol\":\"HTTP/1.1\"")
        write("userAgent", value(of: .userAgent), to: &writer)
        write("referer", value(of: .referer), to: &writer)
        writer.append(",\"requestId\":\"")
        writeRequestID(to: &writer)
        writer.append("\"")
    }

    /// Of the combined format, what stands in the first quotes.
    func writeRequestLine(to writer: inout HeadWriter) {
        writer.append(json: bytes.slice(head.method), limit: limit)
        writer.append(" ")
        writeTarget(to: &writer)
        writer.append(head.isHTTP10 ? " HTTP/1.0" : " HTTP/1.1")
    }

    /// Of the combined format, what stands behind the counters.
    func writeFields(to writer: inout HeadWriter) {
        writeQuoted(value(of: .referer), to: &writer)
        writeQuoted(value(of: .userAgent), to: &writer)
        writer.append(" \"")
        writer.append(json: bytes.slice(head.authority), limit: limit)
        writer.append("\" \"")
        writeRequestID(to: &writer)
        writer.append("\"")
    }

    // MARK: - Private

    private func writeQuoted(_ value: ByteSpan, to writer: inout HeadWriter) {
        writer.append(" \"")
        if value.count == 0 { writer.append("-") } else { writer.append(json: value, limit: limit) }
        writer.append("\"")
    }

    private func write(_ name: StaticString, _ value: ByteSpan, to writer: inout HeadWriter) {
        writer.append(",\"")
        writer.append(name)
        writer.append("\":\"")
        writer.append(json: value, limit: limit)
        writer.append("\"")
    }

    private func writeTarget(to writer: inout HeadWriter) {
        writer.append(json: bytes.slice(head.path), limit: limit)
        guard head.hasQuery else { return }
        writer.append("?")
        writer.append(json: bytes.slice(head.query), limit: limit)
    }

    private func writeRequestID(to writer: inout HeadWriter) {
        let given = value(of: .requestID)
        guard given.count == 0 else { return writer.append(json: given, limit: limit) }
        writer.append(hexadecimal: requestID.0, digits: 16)
        writer.append(hexadecimal: requestID.1, digits: 16)
    }

    /// Of the first field of its kind; empty where there is none.
    private func value(of kind: HeaderField.Kind) -> ByteSpan {
        for index in 0..<head.fieldCount where fields[index].kind == kind { return bytes.slice(fields[index].value) }
        return .empty
    }
}
