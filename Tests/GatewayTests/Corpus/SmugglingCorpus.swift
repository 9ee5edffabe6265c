/// Bytes of a client that tries to have a back end read two requests where the gateway reads one.
struct Attack: Sendable {
    enum Outcome: Sendable, Equatable {
        /// The gateway answers with this status itself; nothing reaches the back end.
        case refused(Int)
        /// The gateway reads this many requests, and the back end exactly those.
        case passed(Int)
        /// The request never ends; the back end may have seen its start.
        case unfinished
    }

    let name: String
    let bytes: [UInt8]
    let outcome: Outcome

    /// - Parameter text: scalars up to U+00FF, which stand for one byte each.
    init(_ name: String, _ outcome: Outcome, _ text: String) {
        self.name = name
        self.outcome = outcome
        bytes = text.unicodeScalars.map { UInt8($0.value) }
    }
}

/// Attacks by what they play with. The sources of the ideas are RFC 9112 §11.2 and the published work on request smuggling.
enum SmugglingCorpus {
    static let all =
        twoLengths + obfuscatedCodings + lengths + lines + requestLines + hosts + chunkSizes + chunkData + trailers
        + upgrades + connectionOptions + expectations + methods + bounds

    /// What must never be read as a request.
    static let hidden = "GET /smuggled HTTP/1.1\r\nHost: a\r\nX-Gateway: forged\r\n\r\n"

    private static let endOfChunks = "0\r\n\r\n"

    private static func post(_ fields: String, _ body: String = "") -> String {
        "POST /attack HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\r\n\(body)"
    }

    private static func chunked(_ body: String) -> String { post("Transfer-Encoding: chunked", body) }

    /// A body that one reader takes for chunks and the other for as many bytes as the length says.
    private static let disputed = endOfChunks + hidden

    // MARK: - Two lengths

    private static let twoLengths: [Attack] = [
        ("length, then chunked", 400, "Content-Length: \(disputed.utf8.count)\r\nTransfer-Encoding: chunked"),
        ("chunked, then length", 400, "Transfer-Encoding: chunked\r\nContent-Length: \(disputed.utf8.count)"),
        ("short length, then chunked", 400, "Content-Length: 3\r\nTransfer-Encoding: chunked"),
        ("no length, then chunked", 400, "Content-Length: 0\r\nTransfer-Encoding: chunked"),
        ("length and identity", 501, "Content-Length: 5\r\nTransfer-Encoding: identity"),
        ("two lengths", 400, "Content-Length: 5\r\nContent-Length: \(disputed.utf8.count)"),
        ("the same length twice", 400, "Content-Length: 5\r\nContent-Length: 5"),
        ("two lengths, one in small letters", 400, "Content-Length: 5\r\ncontent-length: 0"),
        ("two lengths far apart", 400, "Content-Length: 5\r\nX: 1\r\nY: 2\r\nZ: 3\r\nContent-Length: 0"),
        ("a list of lengths", 400, "Content-Length: 5, 5"),
        ("a list of unlike lengths", 400, "Content-Length: 0, 5"),
    ].map { Attack($0.0, .refused($0.1), post($0.2, disputed)) }

    // MARK: - Transfer-Encoding

    private static let obfuscatedCodings: [Attack] =
        [
            ("space before the colon", 400, "Transfer-Encoding : chunked"),
            ("tab before the colon", 400, "Transfer-Encoding\t: chunked"),
            ("vertical tab before the value", 400, "Transfer-Encoding:\u{b}chunked"),
            ("form feed before the value", 400, "Transfer-Encoding:\u{c}chunked"),
            ("next line before the value", 501, "Transfer-Encoding: \u{85}chunked"),
            ("hard space before the value", 501, "Transfer-Encoding:\u{a0}chunked"),
            ("NUL after the value", 400, "Transfer-Encoding: chunked\u{0}"),
            ("NUL in the name", 400, "Transfer-Encoding\u{0}: chunked"),
            ("CR after the value", 400, "Transfer-Encoding: chunked\r"),
            ("CR before the value", 400, "Transfer-Encoding: \rchunked"),
            ("folded value", 400, "Transfer-Encoding:\r\n chunked"),
            ("folded with a tab", 400, "Transfer-Encoding:\r\n\tchunked"),
            ("folded behind another field", 400, "X: x\r\n Transfer-Encoding: chunked"),
            ("behind a bare LF", 400, "X: x\nTransfer-Encoding: chunked"),
            ("behind a bare CR", 400, "X: x\rTransfer-Encoding: chunked"),
            ("behind LF CR", 400, "X: x\n\rTransfer-Encoding: chunked"),
            ("space in the name", 400, "Transfer Encoding: chunked"),
            ("soft hyphen in the name", 400, "Transfer\u{ad}Encoding: chunked"),
            ("bracket in the name", 400, "Transfer-Encoding[: chunked"),
            ("no colon", 400, "Transfer-Encoding chunked"),
            ("equals sign", 400, "Transfer-Encoding=chunked"),
            ("another coding", 501, "Transfer-Encoding: xchunked"),
            ("quoted", 501, "Transfer-Encoding: \"chunked\""),
            ("in single quotes", 501, "Transfer-Encoding: 'chunked'"),
            ("with a parameter", 501, "Transfer-Encoding: chunked;q=1"),
            ("with a comma behind", 501, "Transfer-Encoding: chunked,"),
            ("with a comma in front", 501, "Transfer-Encoding: ,chunked"),
            ("twice in one value", 501, "Transfer-Encoding: chunked, chunked"),
            ("without a comma between", 501, "Transfer-Encoding: chunked chunked"),
            ("identity behind", 501, "Transfer-Encoding: chunked, identity"),
            ("identity in front", 501, "Transfer-Encoding: identity, chunked"),
            ("gzip in front", 501, "Transfer-Encoding: gzip, chunked"),
            ("identity alone", 501, "Transfer-Encoding: identity"),
            ("empty", 501, "Transfer-Encoding:"),
            ("two fields", 501, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            ("two fields, identity last", 501, "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
            ("two fields, identity first", 501, "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
            ("two fields, nonsense last", 501, "Transfer-Encoding: chunked\r\ntransfer-encoding: cow"),
            ("long s for an s", 501, "Transfer-Encoding: chunked\u{c5}\u{bf}"),
            ("cut short", 501, "Transfer-Encoding: chunke"),
        ].map { Attack("coding: \($0.0)", .refused($0.1), post($0.2, disputed)) }
        + [
            ("another name with its length", "Transfer_Encoding: chunked"),
            ("a prefix", "X-Transfer-Encoding: chunked"),
            ("the old name", "Encoding: chunked"), ("a question mark", "Content-Encoding: chunked"),
        ].map {
            Attack("coding: \($0.0)", .passed(1), post("Content-Length: \(disputed.utf8.count)\r\n\($0.1)", disputed))
        }
        + [
            ("capitals", "TRANSFER-ENCODING: CHUNKED"), ("tab before the value", "Transfer-Encoding:\tchunked"),
            ("space after the value", "Transfer-Encoding: chunked \t "),
        ].map {
            Attack(
                "coding: \($0.0)",
                .passed(1),
                post($0.1, "\(String(hidden.utf8.count, radix: 16))\r\n\(hidden)\r\n0\r\n\r\n")
            )
        }

    // MARK: - Content-Length

    private static let lengths: [Attack] =
        [
            "+5", "-5", "-0", "0x5", "5e0", "5.0", "5,", ",5", "5;", "1_0", "5 5", "\u{d9}\u{a5}", "\u{b2}", "",
            "99999999999999999999",
            "18446744073709551621", "9223372036854775813", "NaN", "five", "5\u{0}", "5\u{b}", "\u{c}5", "5\r", "\r5",
            "\"5\"",
            "(5)", "5\u{85}", "0 ,5",
        ].map { Attack("length: \($0.debugDescription)", .refused(400), post("Content-Length: \($0)", disputed)) }
        + [
            ("space before the colon", "Content-Length : 5"), ("tab before the colon", "Content-Length\t: 5"),
            ("folded", "Content-Length:\r\n 5"), ("continued", "Content-Length: 5\r\n 6"),
            ("NUL in the name", "Content\u{0}-Length: 5"),
            ("CR in the name", "Content-Length\r: 5"), ("behind a bare LF", "X: x\nContent-Length: 5"),
            ("behind a bare CR", "X: x\rContent-Length: 5"), ("first line folded", " Content-Length: 5"),
        ].map { Attack("length: \($0.0)", .refused(400), post($0.1, disputed)) }
        + [
            ("zeros in front", "Content-Length: 000\(disputed.utf8.count)"),
            ("tabs around", "Content-Length:\t \(disputed.utf8.count)\t"),
            ("another name too", "Content-Length: \(disputed.utf8.count)\r\nContent_Length: 0"),
            (
                "another name before",
                "Content_Length: 0\r\nX-Content-Length: 0\r\nContent-Length: \(disputed.utf8.count)"
            ),
        ].map { Attack("length: \($0.0)", .passed(1), post($0.1, disputed)) }
        + [
            Attack("length: 32 bits and more", .unfinished, post("Content-Length: 4294967301", disputed)),
            Attack("length: as large as allowed", .unfinished, post("Content-Length: 999999999999999999", disputed)),
        ]

    // MARK: - Lines

    private static let lines: [Attack] =
        [
            ("only line feeds", "POST /attack HTTP/1.1\nHost: a\nContent-Length: 0\n\n\(hidden)"),
            (
                "a line feed after the first line",
                "POST /attack HTTP/1.1\nHost: a\r\nContent-Length: 0\r\n\r\n\(hidden)"
            ),
            ("a line feed at the end", "POST /attack HTTP/1.1\r\nHost: a\r\nX: y\n\r\n\(hidden)"),
            ("an empty line of one line feed", "POST /attack HTTP/1.1\r\nHost: a\r\nX: y\r\n\n\(hidden)"),
            ("an empty line with a space", "POST /attack HTTP/1.1\r\nHost: a\r\n \r\n\(hidden)"),
            ("an empty line with a CR", "POST /attack HTTP/1.1\r\nHost: a\r\n\r\r\n\(hidden)"),
            ("only carriage returns", "POST /attack HTTP/1.1\rHost: a\r\r\n\r\n\(hidden)"),
            ("a CR in the request line", "POST /attack\rHTTP/1.1\r\nHost: a\r\n\r\n\(hidden)"),
            ("a hidden end in a value", "POST /attack HTTP/1.1\r\nHost: a\r\nX: y\r\r\n\(hidden)"),
            ("a folded first field", "POST /attack HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n\(hidden)"),
            ("a NUL in a value", "POST /attack HTTP/1.1\r\nHost: a\r\nX: \u{0}\r\n\r\n\(hidden)"),
            ("a NUL for a name", "POST /attack HTTP/1.1\r\nHost: a\r\n\u{0}: x\r\n\r\n\(hidden)"),
            ("no name", "POST /attack HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n\(hidden)"),
            ("a request as a field", "POST /attack HTTP/1.1\r\nHost: a\r\nGET /smuggled HTTP/1.1\r\nX: y\r\n\r\n"),
            ("an escape in a value", "POST /attack HTTP/1.1\r\nHost: a\r\nX: \u{1b}[2J\r\n\r\n\(hidden)"),
            ("a delete in a value", "POST /attack HTTP/1.1\r\nHost: a\r\nX: \u{7f}\r\n\r\n\(hidden)"),
            ("a line feed in front", "\nPOST /attack HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("a NUL in front", "\u{0}POST /attack HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("a CR in front", "\rPOST /attack HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("a space in front", " POST /attack HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("a byte order mark in front", "\u{ef}\u{bb}\u{bf}POST /attack HTTP/1.1\r\nHost: a\r\n\r\n"),
        ].map { Attack("lines: \($0.0)", .refused(400), $0.1) }
        + [
            Attack("lines: an empty line in front", .passed(1), "\r\nGET /attack HTTP/1.1\r\nHost: a\r\n\r\n"),
            Attack(
                "lines: bytes beyond ASCII in a value",
                .passed(1),
                post("X: \u{e9}\u{8d}\u{8a}\r\nContent-Length: \(hidden.utf8.count)", hidden)
            ),
        ]

    // MARK: - Request lines

    private static let requestLines: [Attack] =
        [
            ("two spaces", 400, "GET  /attack HTTP/1.1"), ("a tab", 400, "GET\t/attack HTTP/1.1"),
            ("a tab before the version", 400, "GET /attack\tHTTP/1.1"),
            ("a space behind", 400, "GET /attack HTTP/1.1 "),
            ("no version", 400, "GET /attack"), ("a space in the target", 400, "GET /at tack HTTP/1.1"),
            ("two versions", 400, "GET /attack HTTP/1.1 HTTP/1.1"), ("small letters", 400, "GET /attack http/1.1"),
            ("two digits", 400, "GET /attack HTTP/1.10"), ("a zero in front", 400, "GET /attack HTTP/01.1"),
            ("NUL behind the version", 400, "GET /attack HTTP/1.1\u{0}"),
            ("no minor version", 400, "GET /attack HTTP/1"),
            ("another protocol", 400, "GET /attack ICY/1.1"), ("version 2", 505, "GET /attack HTTP/2.0"),
            ("version 0.9 spelled out", 505, "GET /attack HTTP/0.9"), ("version 1.2", 505, "GET /attack HTTP/1.2"),
            ("NUL in the target", 400, "GET /att\u{0}ack HTTP/1.1"),
            ("bytes beyond ASCII", 400, "GET /\u{e9} HTTP/1.1"),
            ("a fragment", 400, "GET /attack#x HTTP/1.1"), ("no slash", 400, "GET attack HTTP/1.1"),
            ("another scheme", 400, "GET ftp://a/attack HTTP/1.1"),
            ("no authority", 400, "GET http:///attack HTTP/1.1"),
            ("user information", 400, "GET http://b@a/attack HTTP/1.1"), ("a backslash", 400, "GET \\attack HTTP/1.1"),
            ("the asterisk with GET", 400, "GET * HTTP/1.1"), ("no target", 400, "GET  HTTP/1.1"),
            ("no method", 400, " /attack HTTP/1.1"), ("a colon in the method", 400, "GET: /attack HTTP/1.1"),
            ("a tunnel", 405, "CONNECT a:80 HTTP/1.1"), ("a tunnel to a path", 405, "CONNECT /attack HTTP/1.1"),
            ("the preface of HTTP/2", 505, "PRI * HTTP/2.0"),
        ].map { Attack("request line: \($0.0)", .refused($0.1), "\($0.2)\r\nHost: a\r\nContent-Length: 0\r\n\r\n") }
        + [
            ("an encoded end of line", "GET /attack%0d%0aX:%20y%0d%0a HTTP/1.1"),
            ("two slashes", "GET //attack HTTP/1.1"), ("https", "GET https://a/attack HTTP/1.1"),
            ("dots", "GET /x/../attack HTTP/1.1"), ("a semicolon", "GET /attack;x=\\..\\ HTTP/1.1"),
            ("another method", "SPACEJUMP /attack HTTP/1.1"),
        ].map { Attack("request line: \($0.0)", .passed(1), "\($0.1)\r\nHost: a\r\n\r\n") }

    // MARK: - Hosts

    private static let hosts: [Attack] =
        [
            ("none", "X: y"), ("two", "Host: a\r\nHost: b"), ("the same twice", "Host: a\r\nhOST: a"),
            ("a list", "Host: a, b"),
            ("a space in it", "Host: a b"), ("a path", "Host: a/smuggled"), ("a tab in it", "Host: a\tb"),
            ("two ports", "Host: a:80:90"),
            ("a port of letters", "Host: a:http"), ("an open bracket", "Host: [::1"), ("user information", "Host: x@a"),
            ("a space before the colon", "Host: a\r\nHost : b"), ("a folded second", "Host: a\r\n Host: b"),
            ("a NUL", "Host: a\u{0}b"),
            ("an absolute address", "Host: http://a/"), ("a query", "Host: a?x"), ("a percent sign", "Host: a%00b"),
            ("a bare LF", "Host: a\nX: y"),
        ].map { Attack("host: \($0.0)", .refused(400), "GET /attack HTTP/1.1\r\n\($0.1)\r\n\r\n") }
        + [
            Attack("host: another than in the target", .passed(1), "GET http://b/attack HTTP/1.1\r\nHost: a\r\n\r\n"),
            Attack("host: none but in the target", .refused(400), "GET http://b/attack HTTP/1.1\r\n\r\n"),
            Attack(
                "host: two beside the target",
                .refused(400),
                "GET http://b/attack HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"
            ),
            Attack(
                "host: forwarded ones",
                .passed(1),
                "GET /attack HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: b\r\nX-Host: c\r\n\r\n"
            ),
        ]

    // MARK: - Chunks

    private static let chunkSizes: [Attack] =
        [
            "0x0\r\n\r\n", " 0\r\n\r\n", "\t0\r\n\r\n", "0 \r\n\r\n", "0\t\r\n\r\n", "+0\r\n\r\n", "-0\r\n\r\n",
            "-1\r\n\r\n", "\r\n0\r\n\r\n",
            "0\n\n", "0\n\r\n", "0\r\r\n\r\n", "0\r\n\n", "0\r\n\r\r", "\n0\r\n\r\n", ";x\r\n\r\n", "0\u{0}\r\n\r\n",
            "\u{b}0\r\n\r\n", "0,\r\n\r\n",
            "0h\r\n\r\n", "g\r\n\r\n", "\"0\"\r\n\r\n", "1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
            "10000000000000000\r\n\r\n",
            "FFFFFFFFFFFFFFFF\r\n\r\n", "00000000000000000000\r\n\r\n", "fffffffffffffffff0\r\n\r\n",
            "5 ;x\r\nhello\r\n0\r\n\r\n",
            "5\u{85}\r\nhello\r\n0\r\n\r\n", "0 0\r\n\r\n", "0.\r\n\r\n", "\u{d9}\u{a0}\r\n\r\n",
        ].map { Attack("chunk size: \($0.prefix(20).debugDescription)", .refused(400), chunked($0 + hidden)) }
        + [
            ("an extension with a line feed", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
            ("an extension with a CR", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
            ("an extension with a NUL", "5;\u{0}\r\nhello\r\n0\r\n\r\n"),
            ("an extension ended by LF", "5;a\nhello\r\n0\r\n\r\n"),
            ("a quoted end of line", "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n"),
            ("a long extension", "5;\(String(repeating: "x", count: 2000))\r\nhello\r\n0\r\n\r\n"),
            ("an empty extension", "5;\r\nhello\r\n0;\r\n\r\n"),
            ("a last chunk's extension with a line feed", "0;\n\r\n\r\n"),
        ].map { Attack("chunk size: \($0.0)", .refused(400), chunked($0.1 + hidden)) }
        + [
            ("an extension", "5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n"),
            ("zeros in front", "000000000005\r\nhello\r\n000\r\n\r\n"),
            ("both cases", "1a\r\n0123456789abcdefghijklmnop\r\n00A\r\n0123456789\r\n0\r\n\r\n"),
        ].map { Attack("chunk size: \($0.0)", .passed(1), chunked($0.1)) }

    private static let chunkData: [Attack] =
        [
            ("no end of line", "5\r\nhello0\r\n\r\n"), ("more than the size", "5\r\nhelloX\r\n0\r\n\r\n"),
            ("less than the size", "6\r\nhello\r\n0\r\n\r\n"),
            ("a line feed behind", "5\r\nhello\n0\r\n\r\n"), ("a CR behind", "5\r\nhello\r0\r\n\r\n"),
            ("CR CR LF behind", "5\r\nhello\r\r\n0\r\n\r\n"),
            ("a line feed before", "5\nhello\r\n0\r\n\r\n"), ("two bytes behind", "2\r\nxx45\r\n0\r\n\r\n"),
            ("a space behind", "5\r\nhello \r\n0\r\n\r\n"),
        ].map { Attack("chunk data: \($0.0)", .refused(400), chunked($0.1 + hidden)) }
        + [
            Attack(
                "chunk data: a request inside",
                .passed(1),
                chunked("\(String(hidden.utf8.count, radix: 16))\r\n\(hidden)\r\n0\r\n\r\n")
            ),
            Attack("chunk data: an end inside", .passed(1), chunked("a\r\n0\r\n\r\n12345\r\n0\r\n\r\n")),
            Attack(
                "chunk data: a request at each end",
                .passed(2),
                chunked("1\r\nx\r\n0\r\n\r\n") + "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
            ),
            Attack("chunk data: no last chunk", .unfinished, chunked("5\r\nhello\r\n")),
            Attack("chunk data: no empty line", .unfinished, chunked("5\r\nhello\r\n0\r\n")),
        ]

    private static let trailers: [Attack] =
        [
            ("a request", "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"), ("a folded line", " x: y\r\n\r\n"),
            ("a space before the colon", "X : y\r\n\r\n"),
            ("a line feed", "X: y\nZ: z\r\n\r\n"), ("a bare CR", "X: y\rZ: z\r\n\r\n"), ("a NUL", "X: \u{0}\r\n\r\n"),
            ("no name", ": y\r\n\r\n"), ("no colon", "X\r\n\r\n"),
            ("an end of line feeds", "X: y\n\n"),
            ("too many", String(repeating: "X: \(String(repeating: "y", count: 100))\r\n", count: 100) + "\r\n"),
            ("a length", "Content-Length: \(hidden.utf8.count)\r\n\r\n"),
            ("a coding", "tRANSFER-eNCODING: chunked\r\n\r\n"),
            ("a host", "X: y\r\nHost: b\r\n\r\n"), ("a tunnel's", "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
        ].map { Attack("trailers: \($0.0)", .refused(400), chunked("1\r\nx\r\n0\r\n\($0.1)\(hidden)")) }
        + [
            ("the mark", "X-Gateway: forged"), ("a name that only begins so", "Content-Length-: 5"),
            ("an ordinary one", "X-Sum: 1"),
        ].map {
            Attack(
                "trailers: \($0.0)",
                .passed(2),
                chunked("1\r\nx\r\n0\r\n\($0.1)\r\n\r\n") + "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
            )
        }

    // MARK: - Connections

    private static let upgrades: [Attack] = [
        (
            "h2c", 1, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
            ""
        ),
        ("h2c without its settings", 1, "Connection: Upgrade\r\nUpgrade: h2c", ""),
        (
            "h2c and its preface", 1, "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 24",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        ),
        ("h2c among others", 1, "Connection: Upgrade\r\nUpgrade: websocket, h2c", ""),
        (
            "a socket that is none", 2, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 7",
            "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
        ),
        (
            "a socket with a body", 1,
            "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: \(hidden.utf8.count)",
            hidden
        ),
        ("TLS", 1, "Connection: Upgrade\r\nUpgrade: TLS/1.0", ""),
    ].map { Attack("upgrade: \($0.0)", .passed($0.1), post($0.2, $0.3)) }

    private static let connectionOptions: [Attack] = [
        "Content-Length", "Transfer-Encoding", "Host", "X-Gateway", "close, Content-Length",
        "keep-alive, Host, X-Forwarded-For", "Content-Length\r\nConnection: Host",
        ",,,content-length,", "TE\r\nTE: trailers, chunked", "Trailer\r\nTrailer: Content-Length",
        "Keep-Alive\r\nKeep-Alive: max=0",
        "keep-alive\r\nProxy-Connection: keep-alive", "Connection", "Expect", "X-Request-Id\r\nX-Request-Id: forged",
    ].map {
        Attack(
            "connection: \($0.debugDescription)",
            .passed(1),
            post("Connection: \($0)\r\nContent-Length: \(hidden.utf8.count)", hidden)
        )
    }

    private static let expectations: [Attack] = [
        ("with its body", "Expect: 100-continue"), ("capitals", "Expect: 100-CONTINUE"),
        ("twice", "Expect: 100-continue\r\nExpect: 100-continue"),
        ("a list", "Expect: 100-continue, x"), ("nonsense", "Expect: y 100-continue"), ("another", "Expect: x"),
        ("empty", "Expect:"),
        ("quoted", "Expect: \"100-continue\""), ("with a parameter", "Expect: 100-continue;q=1"),
        ("200", "Expect: 200-ok"),
    ].flatMap { row in
        [
            Attack("expect: \(row.0)", .passed(1), post("\(row.1)\r\nContent-Length: \(hidden.utf8.count)", hidden)),
            Attack(
                "expect in chunks: \(row.0)",
                .passed(1),
                post(
                    "\(row.1)\r\nTransfer-Encoding: chunked",
                    "\(String(hidden.utf8.count, radix: 16))\r\n\(hidden)\r\n0\r\n\r\n"
                )
            ),
        ]
    }

    private static let methods: [Attack] =
        ["GET", "HEAD", "DELETE", "OPTIONS", "PUT", "PATCH", "PROPFIND", "TRACE"].flatMap { method in
            let chunk = "\(String(hidden.utf8.count, radix: 16))\r\n\(hidden)\r\n0\r\n\r\n"
            return [
                Attack(
                    "\(method) with a body",
                    .passed(1),
                    "\(method) /attack HTTP/1.1\r\nHost: a\r\nContent-Length: \(hidden.utf8.count)\r\n\r\n\(hidden)"
                ),
                Attack(
                    "\(method) with chunks",
                    .passed(1),
                    "\(method) /attack HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\(chunk)"
                ),
            ]
        }
        + [
            Attack(
                "HTTP/1.0 with chunks",
                .refused(400),
                "POST /attack HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n\(disputed)"
            ),
            Attack(
                "HTTP/1.0 with a body",
                .passed(1),
                "POST /attack HTTP/1.0\r\nHost: a\r\nContent-Length: \(hidden.utf8.count)\r\n\r\n\(hidden)"
            ),
            Attack(
                "HTTP/1.0 kept",
                .passed(2),
                "POST /attack HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nxGET /next HTTP/1.1\r\nHost: a\r\n\r\n"
            ),
            Attack("HTTP/1.0 with more behind", .passed(1), "GET /attack HTTP/1.0\r\n\r\n\(hidden)"),
            Attack(
                "more behind the last request",
                .passed(1),
                "GET /attack HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n\(hidden)"
            ),
            Attack(
                "HEAD, then another",
                .passed(2),
                "HEAD /attack HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n"
            ),
        ]

    // MARK: - Bounds

    private static let bounds: [Attack] = [
        Attack("129 fields", .refused(431), post((0..<130).map { "X-\($0): y" }.joined(separator: "\r\n"), hidden)),
        Attack("a head of 40 KiB", .refused(431), post("X: \(String(repeating: "y", count: 40_000))", hidden)),
        Attack(
            "a target of 20 KiB",
            .refused(414),
            "GET /\(String(repeating: "y", count: 20_000)) HTTP/1.1\r\nHost: a\r\n\r\n\(hidden)"
        ),
        Attack(
            "a method of 40 bytes",
            .refused(400),
            "\(String(repeating: "A", count: 40)) / HTTP/1.1\r\nHost: a\r\n\r\n\(hidden)"
        ),
        Attack(
            "a host of 300 bytes",
            .refused(400),
            "GET / HTTP/1.1\r\nHost: \(String(repeating: "a", count: 300))\r\n\r\n\(hidden)"
        ),
    ]
}
