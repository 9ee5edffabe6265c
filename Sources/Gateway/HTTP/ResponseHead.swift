/// A response's head as positions in the bytes it was read from.
struct ResponseHead: BitwiseCopyable {
    var length = 0
    var status = 0
    var reason = ByteRange()
    var isHTTP10 = false
    var fieldCount = 0
    var options = ConnectionOptions()
    var body = BodyReader()
    var hasContentLength = false

    var wantsKeepAlive: Bool { isHTTP10 ? options.keepAlive && !options.close : !options.close }

    /// - Parameter toHead: the request was HEAD, so no body follows whatever the fields say.
    static func parse(
        _ head: ByteSpan,
        toHead: Bool,
        into fields: UnsafeMutablePointer<HeaderField>
    ) throws(HeadFault) -> ResponseHead {
        var response = ResponseHead()
        response.length = head.count
        let lineEnd = try FieldParser.lineEnd(head, from: 0)
        try response.parseLine(head, end: lineEnd)
        response.fieldCount = try FieldParser.parse(head, from: lineEnd + 2, into: fields)
        try response.interpret(head, fields, toHead: toHead)
        return response
    }

    /// `HTTP/1.1 200 OK`; the reason may be missing together with its space.
    private mutating func parseLine(_ head: ByteSpan, end: Int) throws(HeadFault) {
        guard end >= 12, ByteSpan(head.base, 7).equals(ByteSpan(StaticString("HTTP/1.").utf8Start, 7)),
            head[7] == UInt8(ascii: "0") || head[7] == UInt8(ascii: "1"), head[8] == ASCII.space,
            ASCII.isDigit(head[9]), ASCII.isDigit(head[10]), ASCII.isDigit(head[11]),
            end == 12 || head[12] == ASCII.space
        else { throw .malformedStartLine }
        isHTTP10 = head[7] == UInt8(ascii: "0")
        status = Int(head[9] - 0x30) * 100 + Int(head[10] - 0x30) * 10 + Int(head[11] - 0x30)
        guard status >= 100 else { throw .malformedStartLine }
        reason = FieldParser.range(Swift.min(13, end), end)
        for index in Swift.min(13, end)..<end where head[index] < 0x20 && head[index] != ASCII.tab {
            throw .controlCharacter
        }
    }

    private mutating func interpret(
        _ head: ByteSpan,
        _ fields: UnsafePointer<HeaderField>,
        toHead: Bool
    ) throws(HeadFault) {
        var framing = FramingFields()
        for index in 0..<fieldCount {
            let value = head.slice(fields[index].value)
            switch fields[index].kind {
            case .connection: options.add(value)
            case .contentLength: try framing.addContentLength(value)
            case .transferEncoding: try framing.addTransferEncoding(value)
            default: break
            }
        }
        hasContentLength = framing.contentLength != nil
        let framed = try framing.responseBody()
        body = toHead || status < 200 || status == 204 || status == 304 ? BodyReader() : framed
    }
}
