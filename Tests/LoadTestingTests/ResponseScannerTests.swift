import Testing

@testable import LoadTesting

struct ResponseScannerTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var text: String
        var toHead = false
        var status: UInt16 = 200
        var keepsAlive = true
        var state = ResponseScanner.State.complete
        var testDescription: String { name }
    }

    private static let cases = [
        Case(name: "length", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        Case(name: "no reason", text: "HTTP/1.1 404\r\ncontent-length:0\r\n\r\n", status: 404),
        Case(name: "bare line feeds", text: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
        Case(
            name: "chunks",
            text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n"
        ),
        Case(
            name: "trailers",
            text: "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"
        ),
        Case(
            name: "close",
            text: "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n",
            keepsAlive: false
        ),
        Case(name: "HTTP/1.0", text: "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", keepsAlive: false),
        Case(name: "kept HTTP/1.0", text: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"),
        Case(name: "no content", text: "HTTP/1.1 204 No Content\r\n\r\n", status: 204),
        Case(name: "not modified", text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", status: 304),
        Case(name: "to HEAD", text: "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", toHead: true),
        Case(
            name: "interim",
            text: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
            status: 201
        ),
        Case(name: "until close", text: "HTTP/1.1 200 OK\r\n\r\nand so on", keepsAlive: false, state: .untilClose),
        Case(
            name: "look-alikes",
            text: "HTTP/1.1 200 OK\r\nContent-Lengthy: 7\r\nX-Content-Length: 9\r\nContent-Length: 1\r\n\r\nx"
        ),
        Case(name: "not HTTP", text: "SSH-2.0-OpenSSH_9.2\r\n\r\n", status: 0, state: .malformed),
        Case(name: "bad status", text: "HTTP/1.1 2x0 OK\r\n\r\n", status: 0, state: .malformed),
        Case(name: "bad length", text: "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", state: .malformed),
        Case(
            name: "two lengths",
            text: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            state: .malformed
        ),
        Case(name: "bad chunk", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", state: .malformed),
        Case(name: "unknown coding", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", state: .malformed),
    ]

    @Test(arguments: cases) func readsAnswersThatComeWhole(_ one: Case) {
        var scanner = ResponseScanner(toHead: one.toHead)
        let used = feed(Array(one.text.utf8), to: &scanner)
        check(scanner, one)
        if one.state == .complete { #expect(used == one.text.utf8.count) }
    }

    @Test(arguments: cases, [1, 2, 3, 7]) func readsAnswersThatComeInPieces(_ one: Case, size: Int) {
        var scanner = ResponseScanner(toHead: one.toHead)
        var kept: [UInt8] = []
        for byte in stride(from: 0, to: one.text.utf8.count, by: size) {
            kept += Array(one.text.utf8)[byte..<min(byte + size, one.text.utf8.count)]
            let used = feed(kept, to: &scanner)
            kept.removeFirst(used)
            if scanner.state == .complete || scanner.state == .malformed { break }
        }
        check(scanner, one)
    }

    @Test func leavesWhatComesAfterTheAnswer() {
        var scanner = ResponseScanner(toHead: false)
        let used = feed(Array("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500".utf8), to: &scanner)
        #expect(scanner.state == .complete)
        #expect(used == 40)
    }

    @Test func endsWithTheConnectionOnlyWhereNothingElseSaysTheEnd() {
        var open = ResponseScanner(toHead: false)
        _ = feed(Array("HTTP/1.1 200 OK\r\n\r\nx".utf8), to: &open)
        open.end()
        #expect(open.state == .complete)
        var cut = ResponseScanner(toHead: false)
        _ = feed(Array("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx".utf8), to: &cut)
        cut.end()
        #expect(cut.state == .length)
    }

    private func feed(_ bytes: [UInt8], to scanner: inout ResponseScanner) -> Int {
        bytes.withUnsafeBufferPointer { buffer in
            buffer.baseAddress.map { scanner.scan($0, buffer.count) } ?? 0
        }
    }

    private func check(_ scanner: ResponseScanner, _ one: Case) {
        #expect(scanner.state == one.state)
        guard one.state != .malformed else { return }
        #expect(scanner.status == one.status)
        #expect(scanner.keepsAlive == one.keepsAlive)
    }
}
