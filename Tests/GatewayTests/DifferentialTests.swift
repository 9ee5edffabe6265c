import Testing

@testable import Gateway

/// The parser against real servers: what we accept they must read alike, what they all refuse we must refuse.
@Suite(.serialized) struct DifferentialTests {
    /// The same requests in every run.
    private static let seed: UInt64 = 0x5361_6D70_616E
    private static let generated = 2000

    @Test func readsRequestsAsRealServersDo() async throws {
        var generator = RequestGenerator(seed: Self.seed)
        var requests = SmugglingCorpus.all.map(\.bytes)
        requests += (0..<Self.generated).map { _ in generator.next() }
        let cases = requests.map { Case(bytes: $0, reading: Reading($0)) }
        let complete = cases.filter { if case .message = $0.reading { true } else { false } }
        #expect(complete.count > 1000, "too few of the generated requests are sound to compare anything")
        let unfinished = cases.filter { if case .head = $0.reading { true } else { false } }

        var refusals = [Set<RealServer>](repeating: [], count: complete.count)
        for server in RealServer.allCases {
            try await server.run { backend in
                try await onThread { try Self.expectNoAnswers(unfinished, by: backend) }
                let refused = try await onThread { try complete.map { try Self.isRefused($0, by: backend) } }
                for (index, isRefused) in refused.enumerated() where isRefused { refusals[index].insert(server) }
            }
        }
        for (entry, servers) in zip(complete, refusals) where servers.isSuperset(of: [.nginx, .haproxy]) {
            #expect(entry.isException, "nginx and HAProxy refuse what we accept: \(entry.text)")
        }
    }

    // MARK: - Private

    private static let sentinel = "GET /sentinel HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    private static func expectNoAnswers(_ cases: [Case], by backend: RealServer.Running) throws {
        for entry in cases {
            let client = try RawConnection(port: backend.port)
            try client.send(entry.bytes)
            client.shutdownSending()
            let answers = client.readAnswers()
            #expect(answers.allSatisfy { $0.status >= 400 }, "\(backend.server) sees an end of \(entry.text)")
        }
    }

    /// Whether the server refuses the request. If it does not, it must see the request that we see, ending where we see its end: the one
    /// that follows there must be answered too, unless the connection ends with the first.
    private static func isRefused(_ entry: Case, by backend: RealServer.Running) throws -> Bool {
        guard case .message(let message) = entry.reading else { return false }
        let client = try RawConnection(port: backend.port)
        try client.send(Array(entry.bytes[..<message.length]) + (message.isKept ? Array(sentinel.utf8) : []))
        if !message.isKept { client.shutdownSending() }
        let answers = client.readAnswers(toHead: message.method == "HEAD")
        guard let first = answers.first else { return true }
        if first.status == 200, let seen = first["X-Seen"] {
            let isAlike = message.targets.contains {
                seen == "\(message.method) \($0)" || seen.hasPrefix("\(message.method) \($0) HTTP/")
            }
            #expect(isAlike, "\(backend.server) reads \(seen) in \(entry.text)")
        }
        if answers.count == 1, first.status >= 400 { return true }
        if answers.count == 1, !message.isKept || first["Connection"]?.lowercased() == "close" { return false }
        #expect(
            answers.count == 2 && answers.last?["X-Seen"]?.hasPrefix("GET /sentinel") == true,
            "\(backend.server) sees another end of \(entry.text): \(answers.map(\.fields))"
        )
        return false
    }
}

extension RawConnection {
    /// The final answers until the connection ends or nothing comes any more.
    func readAnswers(toHead: Bool = false) -> [Message] {
        var answers: [Message] = []
        while let answer = try? readMessage(isResponse: true, toHead: toHead && answers.isEmpty) {
            if answer.status >= 200 { answers.append(answer) }
        }
        return answers
    }
}

private struct Case: Sendable {
    let bytes: [UInt8]
    let reading: Reading

    var text: String { String(decoding: bytes.prefix(400), as: UTF8.self).debugDescription }

    /// Requests that RFC 9110 and 9112 allow and that one of the two refuses, whatever stands in them besides.
    var isException: Bool {
        guard case .message(let message) = reading else { return false }
        let isAbsolute = !message.targets[0].hasPrefix("/") && message.targets[0] != "*"
        // nginx takes a tab for a part of the value (RFC 9112 §5: white space around values is spaces and tabs).
        let fields = text.lowercased()
        if ["host", "content-length", "transfer-encoding"].contains(where: { fields.contains("\($0):\\t") }) {
            return true
        }
        // nginx knows no methods but of capitals, and refuses TRACE (RFC 9110 §9.1: any token).
        if !message.method.allSatisfy({ "A"..."Z" ~= $0 || $0 == "-" || $0 == "_" }) || message.method == "TRACE" {
            return true
        }
        // HAProxy wants Host to repeat the target's authority (RFC 9112 §3.2.2: a proxy replaces Host).
        if isAbsolute { return true }
        // HAProxy takes no content with GET, HEAD and DELETE of HTTP/1.0 (RFC 9110 §9.3.1: it has no meaning, but its framing has).
        return message.isHTTP10 && ["GET", "HEAD", "DELETE"].contains(message.method)
    }
}

/// What the gateway's parser makes of the first request in some bytes.
private enum Reading: Sendable {
    case refused
    /// The head is not over.
    case head
    case body
    case message(Message)

    struct Message: Sendable {
        var method: String
        /// As sent, and as a server may show it that left scheme and authority out.
        var targets: [String]
        var length: Int
        var isHTTP10: Bool
        /// The connection goes on with another request: not where it ends, nor where another protocol was asked for.
        var isKept: Bool
    }

    init(_ bytes: [UInt8]) {
        let skipped = bytes.starts(with: [13, 10]) ? 2 : 0
        let fields = UnsafeMutablePointer<HeaderField>.allocate(capacity: FieldParser.maximumFields)
        defer { fields.deallocate() }
        self = bytes.withUnsafeBufferPointer { buffer in
            let whole = ByteSpan(buffer.baseAddress!, buffer.count).dropFirst(skipped)
            guard let length = FieldParser.headLength(of: whole) else { return .head }
            let bytes = ByteSpan(whole.base, length)
            guard length <= FieldParser.maximumHead, let head = try? RequestHead.parse(bytes, into: fields) else {
                return .refused
            }
            // Answered with 405 by the gateway itself.
            guard head.methodClass != .connect else { return .refused }
            var reader = head.body
            guard let used = try? reader.consume(whole.dropFirst(length)) else { return .refused }
            guard reader.isComplete else { return .body }
            return .message(Message(head, bytes, end: skipped + length + used))
        }
    }
}

extension Reading.Message {
    init(_ head: RequestHead, _ bytes: ByteSpan, end: Int) {
        method = bytes.slice(head.method).string
        let line = bytes.string.prefix { $0 != "\r\n" }.split(separator: " ")
        let path = bytes.slice(head.path).string
        let query = head.hasQuery ? "?" + bytes.slice(head.query).string : ""
        targets = [String(line[1]), path + query, (path.isEmpty ? "/" : path) + query]
        length = end
        isHTTP10 = head.isHTTP10
        isKept = head.wantsKeepAlive && !head.hasUpgrade
    }
}

/// Makes requests that are sound, nearly sound, and broken in small ways.
private struct RequestGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> [UInt8] {
        var bytes = Array((line() + fields() + body()).utf8)
        if chance(40) { for _ in 0...Int(random() % 2) { mutate(&bytes) } }
        return bytes
    }

    // MARK: - Private

    /// Vigna's splitmix64.
    private mutating func random() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    private mutating func chance(_ percent: UInt64) -> Bool { random() % 100 < percent }

    private mutating func pick<Value>(_ values: [Value]) -> Value { values[Int(random() % UInt64(values.count))] }

    private mutating func line() -> String {
        let method = pick([
            "GET", "GET", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "get", "M-SEARCH",
            "A!#$%&'*+.^_`|~1",
        ])
        let target = pick([
            "/", "/a", "/a/b?c=d", "/?", "//", "/a%20b", "/%00", "/a;b=c", "/..", "/a/../b", "/a?b?c", "/\"<>\\^`{|}",
            "/a=b&c,d:e@f!$'()*+",
            "http://b/c", "http://b", "HTTP://B/?x", "http://b:80/c?d", "http://[::1]/", "*", "/%zz", "/?\u{7e}",
        ])
        let version = pick(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"])
        return "\(chance(5) ? "\r\n" : "")\(method) \(target) \(version)\r\n"
    }

    private mutating func fields() -> String {
        var fields = [
            pick([
                "Host: a", "host:a", "HOST: a.b.test:8080", "Host: [::1]:80", "Host: a.", "Host: a_b", "Host:\t a \t",
                "Host: 127.0.0.1",
            ])
        ]
        for _ in 0..<(random() % 4) {
            fields.append(
                pick([
                    "X: y", "X:", "X: ", "X:\t", "X: a\tb", "x-long: " + String(repeating: "z", count: 300),
                    "Accept: */*;q=0.1, text/html",
                    "Connection: keep-alive", "Connection: close", "Connection: x, y", "Connection:", "TE: trailers",
                    "Expect: 100-continue",
                    "Content_Length: 3", "X-Content-Length: 9", "Cookie: a=\"b\"; c", "X: caf\u{e9}",
                    "!#$%&'*+-.^_`|~: z", "Trailer: X",
                    "Keep-Alive: 5", "Proxy-Connection: close", "Range: bytes=0-", "If-Match: *",
                    "Referer: http://x/#y", "1: 2", "X: :", "X: \"",
                    "Upgrade: foo", "Content-Encoding: gzip", "Content-Type: text/plain",
                ])
            )
        }
        return fields.map { $0 + "\r\n" }.joined()
    }

    private mutating func body() -> String {
        switch random() % 4 {
        case 0:
            let length = Int(random() % 40)
            let digits = pick(["", "", "0", "000"]) + "\(length)"
            return "Content-Length:\(pick([" ", "", "\t", "  "]))\(digits)\r\n\r\n"
                + String(repeating: "x", count: length)
        case 1:
            return "Transfer-Encoding:\(pick([" ", ""]))\(pick(["chunked", "chunked", "Chunked"]))\r\n\r\n" + chunks()
        default: return "\r\n"
        }
    }

    private mutating func chunks() -> String {
        var text = ""
        for _ in 0..<(random() % 3) {
            let size = 1 + Int(random() % 30)
            let digits = pick(["", "", "00"]) + String(size, radix: 16, uppercase: chance(50))
            text +=
                digits + pick(["", "", "", ";", ";a", ";a=b", ";a=\"b;c\"", ";a=b;c=d"]) + "\r\n"
                + String(repeating: "y", count: size) + "\r\n"
        }
        text += pick(["0", "0", "000", "0;a"]) + "\r\n"
        for _ in 0..<(random() % 4 / 2) { text += pick(["X-Sum: 1", "x:", "A: b\tc", "X-Sum:2"]) + "\r\n" }
        return text + "\r\n"
    }

    private mutating func mutate(_ bytes: inout [UInt8]) {
        let odd: [UInt8] = [
            0, 9, 10, 11, 12, 13, 32, 0x7F, 0x80, 0x85, 0xA0, 0xFF, 0x2C, 0x3A, 0x3B, 0x30, 0x2B, 0x2D, 0x22, 0x40,
        ]
        let index = Int(random() % UInt64(bytes.count))
        switch random() % 4 {
        case 0: bytes[index] = pick(odd)
        case 1: bytes.insert(pick(odd), at: index)
        case 2: bytes.remove(at: index)
        default:
            // A line twice, or at another place.
            let lines = bytes.split(separator: 10, omittingEmptySubsequences: false).map { Array($0) }
            var changed = lines
            changed.insert(pick(lines), at: Int(random() % UInt64(lines.count)))
            bytes = Array(changed.joined(separator: [10]))
        }
    }
}
