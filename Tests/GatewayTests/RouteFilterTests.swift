import Foundation
import Synchronization
import TestKit
import Testing

@testable import Gateway

/// Rules that answer themselves and rules that copy requests, over real sockets.
@Suite(.serialized) struct RouteFilterTests {
    // MARK: - Answers

    private static func answering(_ response: RouteTable.DirectResponse) -> RouteTable {
        var filters = RouteTable.Filters()
        filters.response = response
        filters.responseHeaders.set = [.init("Retry-After", "60")]
        return RouteTable(rules: [RouteTable.Rule(route: "fixed", filters: filters)])
    }

    @Test func answersByItself() async throws {
        let table = Self.answering(.init(status: 503, contentType: "application/json", body: "{\"a\":1}"))
        try await withDataPlane(table) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                let answer = try client.exchange(get())
                #expect(answer.startLine == "HTTP/1.1 503 Service Unavailable")
                #expect(answer["Content-Type"] == "application/json")
                #expect(answer["Retry-After"] == "60")
                #expect(answer.text == "{\"a\":1}")
                let body = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
                #expect(try client.exchange(body).text == "{\"a\":1}")
                let head = try client.exchange("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", toHead: true)
                #expect(head["Content-Length"] == "7")
                #expect(head.body.isEmpty)
                #expect(try client.exchange(get()).status == 503)
            }
        }
    }

    @Test func answersWithoutContent() async throws {
        try await withDataPlane(Self.answering(.init(status: 204, body: "left out"))) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for _ in 0..<2 {
                    let answer = try client.exchange(get(), toHead: true)
                    #expect(answer.startLine == "HTTP/1.1 204 No Content")
                    #expect(answer["Content-Length"] == nil)
                }
            }
        }
    }

    /// The head stays readable until the answer is written, also when it had to be kept because it came in pieces.
    @Test func redirectsAHeadThatComesInPieces() async throws {
        var filters = RouteTable.Filters()
        filters.redirect = .init(scheme: "https", status: 301)
        let table = RouteTable(rules: [RouteTable.Rule(route: "moved", filters: filters)])
        try await withDataPlane(table) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                try client.send("GET /abc/def?g=h HT")
                usleep(20_000)
                try client.send("TP/1.1\r\nHost: example.test\r\n\r\n")
                let answer = try client.readResponse()
                #expect(answer["Location"] == "https://example.test/abc/def?g=h")
            }
        }
    }

    // MARK: - Other origins

    /// A rule before a backend that says something of its own about other origins.
    private static func withCrossOrigin(
        _ crossOrigin: RouteTable.CrossOrigin,
        _ body: @escaping @Sendable (RawConnection) throws -> Void
    ) async throws {
        let server = try RawServer { connection in
            while let request = try connection.readMessage(isResponse: false) {
                let text = request.startLine
                let own = "Access-Control-Allow-Origin: https://own.example\r\nAccess-Control-Max-Age: 9\r\n"
                try connection.send("HTTP/1.1 200 OK\r\n\(own)Content-Length: \(text.utf8.count)\r\n\r\n\(text)")
            }
        }
        defer { server.stop() }
        var filters = RouteTable.Filters()
        filters.crossOrigin = crossOrigin
        try await withDataPlane(.single([server.port], filters: filters)) { plane in
            try await onThread { try body(try RawConnection(port: plane.port)) }
        }
    }

    private static func preflight(_ origin: String, headers: String = "X-One, X-Two") -> String {
        let asks = "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: \(headers)\r\n"
        return "OPTIONS /a HTTP/1.1\r\nHost: a\r\nOrigin: \(origin)\r\n\(asks)\r\n"
    }

    @Test func answersPreflights() async throws {
        let crossOrigin = RouteTable.CrossOrigin(
            origins: ["https://shop.example", "https://*.shop.example:8443"],
            methods: ["PUT", "DELETE"],
            headers: ["X-One", "X-Two"],
            maximumAge: 60
        )
        try await Self.withCrossOrigin(crossOrigin) { client in
            for origin in ["https://shop.example", "https://a.b.shop.example:8443"] {
                let answer = try client.exchange(Self.preflight(origin))
                #expect(answer.startLine == "HTTP/1.1 204 No Content")
                #expect(answer.values("Access-Control-Allow-Origin") == [origin])
                #expect(answer.values("Access-Control-Allow-Methods") == ["PUT, DELETE"])
                #expect(answer.values("Access-Control-Allow-Headers") == ["X-One, X-Two"])
                #expect(answer.values("Access-Control-Max-Age") == ["60"])
                #expect(answer["Access-Control-Allow-Credentials"] == nil)
            }
            for origin in ["http://shop.example", "https://shop.example:8443", "https://xshop.example:8443", "null"] {
                let answer = try client.exchange(Self.preflight(origin))
                #expect(answer.status == 204)
                #expect(answer["Access-Control-Allow-Origin"] == nil, "\(origin)")
                #expect(answer["Access-Control-Allow-Methods"] == nil)
            }
            // What is no preflight goes to the backend.
            let options = try client.exchange("OPTIONS /b HTTP/1.1\r\nHost: a\r\nOrigin: https://shop.example\r\n\r\n")
            #expect(options.text == "OPTIONS /b HTTP/1.1")
            #expect(options["Access-Control-Allow-Origin"] == "https://shop.example")
        }
    }

    @Test func saysWhoMayReadAnAnswer() async throws {
        let crossOrigin = RouteTable.CrossOrigin(origins: ["https://shop.example:443"], exposedHeaders: ["X-Total"])
        try await Self.withCrossOrigin(crossOrigin) { client in
            let allowed = try client.exchange(get(extra: "Origin: https://shop.example\r\n"))
            #expect(allowed.values("Access-Control-Allow-Origin") == ["https://shop.example"])
            #expect(allowed.values("Access-Control-Expose-Headers") == ["X-Total"])
            for extra in ["Origin: https://other.example\r\n", ""] {
                let other = try client.exchange(get(extra: extra))
                #expect(other.status == 200)
                #expect(other["Access-Control-Allow-Origin"] == nil)
                #expect(other["Access-Control-Max-Age"] == nil)
                #expect(other["Vary"] == "Origin")
            }
        }
    }

    @Test(arguments: [(false, "*", "*", "*"), (true, "https://any.example", "PUT", "X-Asked")])
    func allowsEverything(_ row: (credentials: Bool, origin: String, methods: String, headers: String)) async throws {
        let crossOrigin = RouteTable.CrossOrigin(
            origins: ["*"],
            methods: ["*"],
            headers: ["*"],
            exposedHeaders: ["*"],
            allowsCredentials: row.credentials
        )
        try await Self.withCrossOrigin(crossOrigin) { client in
            let answer = try client.exchange(Self.preflight("https://any.example", headers: "X-Asked"))
            #expect(answer["Access-Control-Allow-Origin"] == row.origin)
            #expect(answer["Access-Control-Allow-Methods"] == row.methods)
            #expect(answer["Access-Control-Allow-Headers"] == row.headers)
            #expect(answer["Access-Control-Allow-Credentials"] == (row.credentials ? "true" : nil))
            let actual = try client.exchange(get(extra: "Origin: https://any.example\r\n"))
            #expect(actual["Access-Control-Allow-Origin"] == row.origin)
            #expect(actual["Access-Control-Expose-Headers"] == (row.credentials ? nil : "*"))
            #expect(actual["Vary"] == (row.credentials ? "Origin" : nil))
        }
    }

    // MARK: - Copies

    private static func mirroring(
        _ port: Int,
        to mirror: Int,
        share: Int = RouteTable.RequestMirror.whole
    ) -> RouteTable {
        var table = RouteTable.single([port])
        table.backends.append(.init(name: "copy", endpoints: [.init(address: "127.0.0.1", port: mirror)]))
        table.rules[0].filters.mirrors = [.init(backend: "copy", share: share)]
        return table
    }

    /// A server that keeps what it is asked and answers with 500.
    private static func recorder(_ requests: Requests) throws -> RawServer {
        try RawServer { connection in
            while let request = try connection.readMessage(isResponse: false) {
                requests.add("\(request.startLine) \(request.text)")
                try connection.send("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno")
            }
        }
    }

    private final class Requests: Sendable {
        private let list = Mutex<[String]>([])
        var all: [String] { list.withLock(\.self) }
        func add(_ request: String) { list.withLock { $0.append(request) } }
    }

    @Test func copiesHeadsAndBodies() async throws {
        let requests = Requests()
        let (server, copy) = (try RawServer.echo(), try Self.recorder(requests))
        try await withDataPlane(Self.mirroring(server.port, to: copy.port)) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                #expect(try client.exchange(get("/a?b=1")).status == 200)
                #expect(
                    try client.exchange("POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody").text
                        .hasSuffix("body")
                )
                // A body that comes in pieces.
                try client.send("POST /d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
                usleep(20_000)
                try client.send("3\r\ndef\r\n0\r\n\r\n")
                #expect(try client.readResponse().status == 200)
            }
            try await eventually { requests.all.count == 3 }
            #expect(
                Set(requests.all) == ["GET /a?b=1 HTTP/1.1 ", "POST /c HTTP/1.1 body", "POST /d HTTP/1.1 abcdef"]
            )
            try await eventually { plane.value(of: .inFlight) == 0 && plane.value(of: .clients) == 0 }
        }
    }

    @Test func neitherWaitsNorFailsWithACopy() async throws {
        let server = try RawServer.echo()
        let stalled = try RawServer { connection in _ = try connection.readToEnd() }
        let closed = try ClosedPort()
        for port in [stalled.port, closed.port] {
            try await withDataPlane(Self.mirroring(server.port, to: port)) { plane in
                try await onThread {
                    let client = try RawConnection(port: plane.port)
                    for _ in 0..<50 { #expect(try client.exchange(get()).status == 200) }
                }
            }
        }
    }

    @Test func copiesAShare() async throws {
        let requests = Requests()
        let (server, copy) = (try RawServer.echo(), try Self.recorder(requests))
        try await withDataPlane(Self.mirroring(server.port, to: copy.port, share: 250_000)) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for _ in 0..<800 { #expect(try client.exchange(get()).status == 200) }
            }
            try await eventually { plane.value(of: .inFlight) == 0 }
        }
        // 200 on average, with a standard deviation of 12.
        #expect((120...280).contains(requests.all.count))
    }

    @Test func leavesLargeBodiesOut() async throws {
        let requests = Requests()
        let (server, copy) = (try RawServer.echo(), try Self.recorder(requests))
        try await withDataPlane(Self.mirroring(server.port, to: copy.port)) { plane in
            try await onThread {
                let body = String(repeating: "x", count: 200_000)
                let client = try RawConnection(port: plane.port)
                let answer = try client.exchange(
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.count)\r\n\r\n\(body)"
                )
                #expect(answer.text.hasSuffix("xxxx"))
                #expect(try client.exchange(get("/small")).status == 200)
            }
            try await eventually { requests.all == ["GET /small HTTP/1.1 "] }
            #expect(plane.value(of: .copiesDropped) == 1)
        }
    }
}
