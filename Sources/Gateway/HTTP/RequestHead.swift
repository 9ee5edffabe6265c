/// A request's head as positions in the bytes it was read from (RFC 9112).
struct RequestHead: BitwiseCopyable {
    /// Bytes of the head, its empty line included.
    var length = 0
    var method = ByteRange()
    var path = ByteRange()
    /// Without `?`; see ``hasQuery``.
    var query = ByteRange()
    var hasQuery = false
    /// Host and port as the client gave them.
    var authority = ByteRange()
    var host = ByteRange()
    var isHTTP10 = false
    var fieldCount = 0
    var body = BodyReader()
    var options = ConnectionOptions()
    var hasUpgrade = false
    /// Asks for HTTP/2 in the clear. It is not granted: a tunnel of requests would pass by every route and policy.
    var asksForHTTP2 = false
    var expectsContinue = false
    var methodClass = MethodClass.other

    enum MethodClass: UInt8 {
        case get, head, idempotent, connect, other

        /// RFC 9110 §9.2.2
        var isIdempotent: Bool { self == .get || self == .head || self == .idempotent }

        static func of(_ method: ByteSpan) -> MethodClass {
            func isEqual(_ word: StaticString) -> Bool {
                method.equals(ByteSpan(word.utf8Start, word.utf8CodeUnitCount))
            }
            switch method.count {
            case 3:
                if isEqual("GET") { return .get }
                return isEqual("PUT") ? .idempotent : .other
            case 4: return isEqual("HEAD") ? .head : .other
            case 5: return isEqual("TRACE") ? .idempotent : .other
            case 6: return isEqual("DELETE") ? .idempotent : .other
            case 7:
                if isEqual("OPTIONS") { return .idempotent }
                return isEqual("CONNECT") ? .connect : .other
            default: return .other
            }
        }
    }

    var wantsKeepAlive: Bool { isHTTP10 ? options.keepAlive && !options.close : !options.close }
    /// A request for another protocol; one with a body would be ambiguous and is sent on as an ordinary one.
    var wantsUpgrade: Bool {
        !isHTTP10 && options.upgrade && hasUpgrade && !asksForHTTP2 && body.isComplete
    }

    /// Reads a complete head: `head.count` is its length as ``FieldParser/headLength(of:from:)`` found it.
    static func parse(
        _ head: ByteSpan,
        into fields: UnsafeMutablePointer<HeaderField>
    ) throws(HeadFault) -> RequestHead {
        var request = RequestHead()
        request.length = head.count
        let lineEnd = try FieldParser.lineEnd(head, from: 0)
        try request.parseLine(head, end: lineEnd)
        request.fieldCount = try FieldParser.parse(head, from: lineEnd + 2, into: fields)
        try request.interpret(head, fields)
        return request
    }

    // MARK: - Request line

    private mutating func parseLine(_ head: ByteSpan, end: Int) throws(HeadFault) {
        var methodEnd = 0
        while methodEnd < end, ASCII.isToken(head[methodEnd]) { methodEnd += 1 }
        guard methodEnd > 0, methodEnd <= 32, methodEnd < end, head[methodEnd] == ASCII.space else {
            throw .malformedStartLine
        }
        method = FieldParser.range(0, methodEnd)
        methodClass = .of(head.slice(method))
        let targetStart = methodEnd + 1
        var targetEnd = targetStart
        while targetEnd < end, head[targetEnd] > 0x20, head[targetEnd] < 0x7F, head[targetEnd] != UInt8(ascii: "#") {
            targetEnd += 1
        }
        guard targetEnd > targetStart, targetEnd < end, head[targetEnd] == ASCII.space else {
            throw .malformedStartLine
        }
        guard targetEnd - targetStart <= FieldParser.maximumTarget else { throw .targetTooLong }
        try parseVersion(ByteSpan(head.base + targetEnd + 1, end - targetEnd - 1))
        try parseTarget(head, from: targetStart, to: targetEnd)
    }

    private mutating func parseVersion(_ version: ByteSpan) throws(HeadFault) {
        guard version.count == 8, version[5] >= 0x30, version[5] <= 0x39, version[6] == UInt8(ascii: "."),
            ByteSpan(version.base, 5).equals(ByteSpan(StaticString("HTTP/").utf8Start, 5)), ASCII.isDigit(version[7])
        else { throw .malformedStartLine }
        guard version[5] == UInt8(ascii: "1"), version[7] <= UInt8(ascii: "1") else { throw .unsupportedVersion }
        isHTTP10 = version[7] == UInt8(ascii: "0")
    }

    private mutating func parseTarget(_ head: ByteSpan, from start: Int, to end: Int) throws(HeadFault) {
        guard methodClass != .connect else { return }  // answered with 405 whatever its target is
        var pathStart = start
        if head[start] != ASCII.slash {
            // RFC 9112 §3.2.4: of the server as a whole, which only OPTIONS asks.
            if end - start == 1, head[start] == UInt8(ascii: "*"), head.slice(method).equals("OPTIONS") {
                path = FieldParser.range(start, end)
                return
            }
            pathStart = try parseAbsoluteForm(head, from: start, to: end)
        }
        var pathEnd = pathStart
        while pathEnd < end, head[pathEnd] != UInt8(ascii: "?") { pathEnd += 1 }
        path = FieldParser.range(pathStart, pathEnd)
        if pathEnd < end {
            hasQuery = true
            query = FieldParser.range(pathEnd + 1, end)
        }
    }

    /// `http://host/path` or `https://host/path` (RFC 9112 §3.2.2): its authority counts instead of the Host field. The scheme decides
    /// nothing: which listener the connection came to, the client has chosen.
    private mutating func parseAbsoluteForm(_ head: ByteSpan, from start: Int, to end: Int) throws(HeadFault) -> Int {
        let target = ByteSpan(head.base + start, end - start)
        let length = target.startsIgnoringCase("http://") ? 7 : target.startsIgnoringCase("https://") ? 8 : 0
        guard length > 0, end - start > length else { throw .malformedStartLine }
        var pathStart = start + length
        while pathStart < end, head[pathStart] != ASCII.slash, head[pathStart] != UInt8(ascii: "?") { pathStart += 1 }
        guard pathStart > start + length else { throw .malformedHost }
        authority = FieldParser.range(start + length, pathStart)
        return pathStart
    }

    // MARK: - Fields

    private mutating func interpret(
        _ head: ByteSpan,
        _ fields: UnsafePointer<HeaderField>
    ) throws(HeadFault) {
        var hosts = 0
        var framing = FramingFields()
        let hasAbsoluteTarget = !authority.isEmpty
        for index in 0..<fieldCount {
            let field = fields[index]
            let value = head.slice(field.value)
            switch field.kind {
            case .host:
                hosts += 1
                if !hasAbsoluteTarget { authority = field.value }
            case .connection: options.add(value)
            case .contentLength: try framing.addContentLength(value)
            case .transferEncoding: try framing.addTransferEncoding(value)
            case .upgrade:
                hasUpgrade = true
                if FieldParser.anyMember(of: value, { $0.equalsIgnoringCase("h2c") }) { asksForHTTP2 = true }
            case .expect: expectsContinue = value.equalsIgnoringCase("100-continue")
            default: break
            }
        }
        guard hosts == 1 || hosts == 0 && isHTTP10 else { throw .malformedHost }
        try parseAuthority(head)
        if framing.isChunked, isHTTP10 { throw .conflictingFraming }
        body = try framing.requestBody()
    }

    private mutating func parseAuthority(_ head: ByteSpan) throws(HeadFault) {
        let text = head.slice(authority)
        guard text.count <= 255 + 6 else { throw .malformedHost }
        var hostEnd = text.count
        var index = 0
        if text.count > 0, text[0] == UInt8(ascii: "[") {
            while index < text.count, text[index] != UInt8(ascii: "]") { index += 1 }
            guard index < text.count else { throw .malformedHost }
        }
        while index < text.count {
            if text[index] == ASCII.colon, hostEnd == text.count {
                hostEnd = index
            } else if hostEnd < text.count ? !ASCII.isDigit(text[index]) : !Self.isHostByte(text[index]) {
                throw .malformedHost
            }
            index += 1
        }
        host = ByteRange(start: authority.start, count: UInt32(hostEnd))
        // A final dot names the same host.
        if hostEnd > 1, text[hostEnd - 1] == UInt8(ascii: ".") { host.count -= 1 }
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "]"): true
        default: ASCII.isDigit(byte) || ASCII.lowercased(byte) >= 0x61 && ASCII.lowercased(byte) <= 0x7A
        }
    }
}

/// Collects the fields that say how long a body is (RFC 9112 §6).
struct FramingFields: BitwiseCopyable {
    private(set) var isChunked = false
    private(set) var contentLength: UInt64?

    mutating func addContentLength(_ value: ByteSpan) throws(HeadFault) {
        guard contentLength == nil else { throw .repeatedContentLength }
        contentLength = try FieldParser.contentLength(value)
    }

    mutating func addTransferEncoding(_ value: ByteSpan) throws(HeadFault) {
        guard !isChunked, value.equalsIgnoringCase("chunked") else { throw .unsupportedTransferCoding }
        isChunked = true
    }

    func requestBody() throws(HeadFault) -> BodyReader {
        guard !isChunked || contentLength == nil else { throw .conflictingFraming }
        if isChunked { return BodyReader(.chunked) }
        return contentLength.map { BodyReader(length: $0) } ?? BodyReader()
    }

    func responseBody() throws(HeadFault) -> BodyReader {
        guard !isChunked || contentLength == nil else { throw .conflictingFraming }
        if isChunked { return BodyReader(.chunked) }
        return contentLength.map { BodyReader(length: $0) } ?? BodyReader(.untilClose)
    }
}
