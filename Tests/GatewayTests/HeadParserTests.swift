import Testing

@testable import Gateway

struct HeadParserTests {
    private static func parse(_ text: String) throws -> (RequestHead, [UInt8]) {
        let bytes = Array(text.utf8)
        let fields = UnsafeMutablePointer<HeaderField>.allocate(capacity: FieldParser.maximumFields)
        defer { fields.deallocate() }
        return try bytes.withUnsafeBufferPointer { buffer in
            let span = ByteSpan(buffer.baseAddress!, buffer.count)
            let length = try #require(FieldParser.headLength(of: span))
            return (try RequestHead.parse(ByteSpan(span.base, length), into: fields), bytes)
        }
    }

    private static func text(_ range: ByteRange, _ bytes: [UInt8]) -> String {
        String(decoding: bytes[Int(range.start)..<Int(range.start + range.count)], as: UTF8.self)
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/", "", "a"),
        (
            "POST /a/b?x=1&y=2 HTTP/1.1\r\nHost: a.b:8080\r\nContent-Length: 3\r\n\r\nabc", "POST", "/a/b", "x=1&y=2",
            "a.b"
        ),
        ("GET http://other.test:1/p?q HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/p", "q", "other.test"),
        ("GET http://other.test HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "", "", "other.test"),
        ("GET HTTPS://other.test/p HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/p", "", "other.test"),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS", "*", "", "a"),
        ("GET /x HTTP/1.0\r\n\r\n", "GET", "/x", "", ""),
        ("GET /? HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET", "/", "", "[::1]"),
        ("GET / HTTP/1.1\r\nHost: final.dot.\r\n\r\n", "GET", "/", "", "final.dot"),
    ])
    func readsRequests(_ row: (text: String, method: String, path: String, query: String, host: String)) throws {
        let (head, bytes) = try Self.parse(row.text)
        #expect(Self.text(head.method, bytes) == row.method)
        #expect(Self.text(head.path, bytes) == row.path)
        #expect(Self.text(head.query, bytes) == row.query)
        #expect(Self.text(head.host, bytes) == row.host)
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\nHost: a\n\n", HeadFault.bareLineFeed),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", .bareLineFeed),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", .malformedStartLine),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", .malformedStartLine),
        ("GET /\r\nHost: a\r\n\r\n", .malformedStartLine),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", .malformedStartLine),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", .malformedStartLine),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", .malformedStartLine),
        ("PUT * HTTP/1.1\r\nHost: a\r\n\r\n", .malformedStartLine),
        ("GET https:// HTTP/1.1\r\nHost: a\r\n\r\n", .malformedStartLine),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", .malformedStartLine),
        ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", .malformedStartLine),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", .unsupportedVersion),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", .malformedStartLine),
        ("GET / HTTP/1.1\r\n\r\n", .malformedHost),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", .malformedHost),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", .malformedHost),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", .malformedHost),
        ("GET / HTTP/1.1\r\nHost: a:80x\r\n\r\n", .malformedHost),
        ("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", .malformedHost),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", .malformedField),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", .malformedField),
        ("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", .malformedField),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", .foldedField),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\t2\r\n\r\n", .foldedField),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\u{0}b\r\n\r\n", .controlCharacter),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", .controlCharacter),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 0123456789\u{1}0123456789\r\n\r\n", .controlCharacter),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 0123456789\u{7f}\r\n\r\n", .controlCharacter),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", .conflictingFraming),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", .repeatedContentLength),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", .repeatedContentLength),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", .malformedContentLength),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", .malformedContentLength),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", .malformedContentLength),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", .malformedContentLength),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", .malformedContentLength),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", .unsupportedTransferCoding),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", .unsupportedTransferCoding),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            .unsupportedTransferCoding
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", .unsupportedTransferCoding),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\u{b}chunked\r\n\r\n", .controlCharacter),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding : chunked\r\n\r\n", .malformedField),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", .conflictingFraming),
    ])
    func refusesWhatIsAmbiguous(_ row: (text: String, fault: HeadFault)) {
        #expect(throws: row.fault) { try Self.parse(row.text) }
    }

    @Test func refusesTooManyFields() {
        let fields = (0..<129).map { "X-\($0): 1\r\n" }.joined()
        #expect(throws: HeadFault.tooManyFields) { try Self.parse("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n") }
    }

    @Test func findsTheEndWhereverTheHeadIsCut() {
        let bytes = Array("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok".utf8)
        let length = bytes.count - 2
        bytes.withUnsafeBufferPointer { buffer in
            for cut in 0...bytes.count {
                let first = FieldParser.headLength(of: ByteSpan(buffer.baseAddress!, cut))
                #expect(first == (cut >= length ? length : nil))
                let whole = FieldParser.headLength(
                    of: ByteSpan(buffer.baseAddress!, bytes.count),
                    from: min(cut, length - 1)
                )
                #expect(whole == length)
            }
        }
    }

    @Test(arguments: [
        ("websocket", true), ("h2c", false), ("H2C", false), ("websocket, h2c", false), ("h2c-not", true),
    ])
    func grantsNoHTTP2InTheClear(_ row: (protocols: String, isGranted: Bool)) throws {
        let fields = "Connection: upgrade, HTTP2-Settings\r\nUpgrade: \(row.protocols)\r\nHTTP2-Settings: A\r\n"
        let (head, _) = try Self.parse("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
        #expect(head.wantsUpgrade == row.isGranted)
    }

    @Test(arguments: [
        ("close", true, false, false, false), ("Keep-Alive, Upgrade", false, true, true, false),
        ("x-secret,close", true, false, false, true), (" , ,", false, false, false, false),
    ])
    func readsConnectionOptions(_ row: (text: String, close: Bool, keepAlive: Bool, upgrade: Bool, nominates: Bool)) {
        var options = ConnectionOptions()
        Array(row.text.utf8).withUnsafeBufferPointer { options.add(ByteSpan($0.baseAddress!, $0.count)) }
        #expect(options.close == row.close)
        #expect(options.keepAlive == row.keepAlive)
        #expect(options.upgrade == row.upgrade)
        #expect(options.nominates == row.nominates)
    }
}

struct ChunkScannerTests {
    /// Scans in two pieces cut at `cut`; returns the decoded data and the number of bytes of the body.
    private static func scan(_ bytes: [UInt8], cut: Int) throws -> (data: [UInt8], length: Int, isComplete: Bool) {
        var reader = BodyReader(.chunked)
        var data: [UInt8] = []
        var length = 0
        for piece in [Array(bytes[..<cut]), Array(bytes[cut...])] where !piece.isEmpty && !reader.isComplete {
            var piece = piece
            let progress = try piece.withUnsafeMutableBufferPointer { buffer in
                try reader.decode(buffer.baseAddress!, buffer.count)
            }
            data += piece[..<progress.produced]
            length += progress.consumed
        }
        return (data, length, reader.isComplete)
    }

    @Test(arguments: [
        ("0\r\n\r\n", ""), ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", "abc0123456789"),
        ("1\r\nx\r\n0\r\nTrailer: y\r\nOther: z\r\n\r\n", "x"), ("00a\r\n0123456789\r\n000\r\n\r\n", "0123456789"),
    ])
    func decodesWhereverItIsCut(_ row: (text: String, data: String)) throws {
        let bytes = Array(row.text.utf8)
        for cut in 0...bytes.count {
            let result = try Self.scan(bytes + Array("GET".utf8), cut: cut)
            #expect(String(decoding: result.data, as: UTF8.self) == row.data)
            #expect(result.length == bytes.count)
            #expect(result.isComplete)
        }
    }

    @Test(arguments: [
        "\r\n", "x\r\n", " 5\r\nhello\r\n", "5 \r\nhello\r\n", "5\nhello\r\n", "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloX\r\n",
        "0x5\r\nhello\r\n", "-1\r\n", "1000000000000000\r\n", ";\r\n", "5;a\u{1}\r\nhello\r\n",
        "0\r\nbad trailer: 1\r\n\r\n",
        "0\r\nnocolon\r\n\r\n", "0\r\n X: 1\r\n\r\n", "5\rhello",
        "5;\r\nhello\r\n", "0\r\nContent-Length: 1\r\n\r\n", "0\r\nX: y\r\ntransfer-Encoding: chunked\r\n\r\n",
        "0\r\nHOST: b\r\n\r\n",
    ])
    func refusesMalformedChunks(_ text: String) {
        #expect(throws: HeadFault.malformedChunk) { try Self.scan(Array(text.utf8), cut: 0) }
    }

    @Test func boundsExtensionsAndTrailers() {
        let long = String(repeating: "a", count: 9000)
        #expect(throws: HeadFault.malformedChunk) { try Self.scan(Array("1;\(long)\r\n".utf8), cut: 0) }
        #expect(throws: HeadFault.malformedChunk) { try Self.scan(Array("0\r\nX: \(long)\r\n\r\n".utf8), cut: 0) }
    }
}
