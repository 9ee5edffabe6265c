import Foundation
import Synchronization
import TestKit
import Testing

@testable import Gateway

/// The data path against small servers that the test writes byte by byte.
@Suite(.serialized) struct DataPathTests {
    // MARK: - Plain exchanges

    @Test func passesRequestsOnAndKeepsConnections() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port])) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for number in 0..<20 {
                    let answer = try client.exchange(get("/p/\(number)?q=1", extra: "Accept: text/plain\r\n"))
                    #expect(answer.status == 200)
                    #expect(answer["X-Backend"] == "echo")
                    #expect(
                        answer.text.hasPrefix("GET /p/\(number)?q=1 HTTP/1.1\nHost: example.test\nAccept: text/plain\n")
                    )
                }
            }
            #expect(server.accepted == 1)
            #expect(plane.value(of: .accepted) == 1)
        }
    }

    @Test func rewritesTheFieldsThatAProxyMust() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port])) { plane in
            let extra = """
                Connection: x-secret, keep-alive\r
                X-Secret: 1\r
                Keep-Alive: 5\r
                TE: trailers\r
                Proxy-Connection: keep-alive\r
                X-Forwarded-For: 10.1.1.1\r
                X-Forwarded-Proto: https\r
                X-Forwarded-Host: evil\r
                Via: kept\r

                """
            let text = try await onThread {
                try RawConnection(port: plane.port).exchange(get("/", extra: extra)).text
            }
            #expect(text.contains("X-Forwarded-For: 10.1.1.1, 127.0.0.1\n"))
            #expect(text.contains("X-Forwarded-Proto: http\n"))
            #expect(text.contains("X-Forwarded-Host: example.test\n"))
            #expect(text.contains("Via: kept\n"))
            #expect(text.firstMatch(of: /X-Request-Id: [0-9a-f]{32}\n/) != nil)
            for gone in ["X-Secret", "Keep-Alive", "TE:", "Proxy-Connection", "evil", "https", "Connection:"] {
                #expect(!text.contains(gone))
            }
        }
    }

    @Test func takesHeadsOneByteAtATime() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port])) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                let request =
                    "POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n"
                for byte in request.utf8 {
                    try client.send([byte])
                    usleep(200)
                }
                let answer = try client.readResponse()
                #expect(answer.status == 200)
                #expect(answer.text.hasSuffix("\n\nabc"))
            }
        }
    }

    @Test func answersPipelinedRequestsInOrder() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port])) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                let posts = (0..<50).map {
                    $0 % 2 == 0
                        ? get("/\($0)") : "POST /\($0) HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
                }
                try client.send(posts.joined())
                for number in 0..<50 {
                    let answer = try client.readResponse()
                    #expect(answer.text.contains(" /\(number) HTTP/1.1\n"))
                    #expect(answer.text.hasSuffix("body") == (number % 2 == 1))
                }
            }
        }
    }

    @Test func passesChunksAndTrailersBothWays() async throws {
        let received = Mutex<[UInt8]>([])
        let server = try RawServer { connection in
            while let request = try connection.readMessage(isResponse: false) {
                received.withLock { $0 = request.rawBody }
                try connection.send(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n4\r\nback\r\n0\r\nSum: 9\r\n\r\n"
                )
            }
        }
        try await withDataPlane(.single([server.port])) { plane in
            let answer = try await onThread {
                try RawConnection(port: plane.port).exchange(
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nCheck: 1\r\n\r\n"
                )
            }
            #expect(answer.text == "back")
            #expect(answer["Trailer"] == "Sum")
            #expect(String(decoding: answer.rawBody, as: UTF8.self).contains("Sum: 9"))
            #expect(String(decoding: received.withLock { $0 }, as: UTF8.self).contains("Check: 1"))
        }
    }

    @Test func answersHeadWithoutBody() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port])) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for _ in 0..<3 {
                    let answer = try client.exchange("HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n", toHead: true)
                    #expect(answer.status == 200)
                    #expect((Int(answer["Content-Length"] ?? "") ?? 0) > 0)
                }
            }
        }
    }

    @Test(arguments: ["204 No Content", "304 Not Modified"])
    func passesAnswersWithoutBody(_ status: String) async throws {
        let server = try RawServer { connection in
            while try connection.readMessage(isResponse: false) != nil {
                try connection.send("HTTP/1.1 \(status)\r\nETag: x\r\n\r\n")
            }
        }
        try await withDataPlane(.single([server.port])) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for _ in 0..<3 {
                    let line = try client.exchange(get()).startLine
                    #expect(line == "HTTP/1.1 \(status)")
                }
            }
        }
        #expect(server.accepted == 1)
    }

    @Test func passesContinueOn() async throws {
        let server = try RawServer { connection in
            guard let head = try connection.readHead() else { return }
            #expect(head["Expect"] == "100-continue")
            try connection.send("HTTP/1.1 100 Continue\r\n\r\n")
            let body = try connection.readExactly(5)
            try connection.send(Array("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".utf8) + body)
        }
        try await withDataPlane(.single([server.port])) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                try client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
                #expect(try client.readResponse().status == 100)
                #expect(try client.exchange("hello").text == "hello")
            }
        }
    }

    @Test func givesAnEarlyAnswerAndCarriesOn() async throws {
        let server = try RawServer { connection in
            while try connection.readHead() != nil {
                try connection.send(
                    "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"
                )
                usleep(20_000)
                return
            }
        }
        try await withDataPlane(.single([server.port]), configure: { $0.lingerTimeout = 60_000 }) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for _ in 0..<3 {
                    try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n")
                    let answer = try client.readResponse()
                    #expect(answer.status == 413)
                    try client.send([UInt8](repeating: 65, count: 300_000))
                }
            }
        }
    }

    // MARK: - HTTP/1.0 and answers that end with the connection

    @Test func serves10Clients() async throws {
        let server = try RawServer { connection in
            while try connection.readMessage(isResponse: false) != nil {
                try connection.send(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
                )
            }
        }
        try await withDataPlane(.single([server.port])) { plane in
            let text = try await onThread {
                let client = try RawConnection(port: plane.port)
                try client.send("GET / HTTP/1.0\r\n\r\n")
                return String(decoding: try client.readToEnd(), as: UTF8.self)
            }
            #expect(text.hasSuffix("\r\n\r\nabcde"))
            #expect(text.contains("Connection: close"))
            #expect(!text.contains("Transfer-Encoding"))
        }
    }

    @Test func keeps10ClientsThatAsk() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port])) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for _ in 0..<2 {
                    let answer = try client.exchange("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                    #expect(answer["Connection"] == "keep-alive")
                }
            }
        }
    }

    @Test func chunksAnswersThatEndWithTheConnection() async throws {
        let server = try RawServer { connection in
            _ = try connection.readHead()
            try connection.send("HTTP/1.0 200 OK\r\n\r\nfirst ")
            usleep(10_000)
            try connection.send("second")
        }
        try await withDataPlane(.single([server.port])) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for _ in 0..<2 {
                    let answer = try client.exchange(get())
                    #expect(answer.text == "first second")
                    #expect(answer["Transfer-Encoding"] == "chunked")
                }
            }
        }
    }

    // MARK: - Refusals

    @Test(arguments: [
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400), ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        ("GET /\(String(repeating: "a", count: 20000)) HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        ("GET /\(String(repeating: "a", count: 20000))", 414),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "a", count: 40000))\r\n\r\n", 431),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    ])
    func refuses(_ row: (request: String, status: Int)) async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port])) { plane in
            let answer = try await onThread { try RawConnection(port: plane.port).exchange(row.request) }
            #expect(answer.status == row.status)
            #expect(answer["Proxy-Status"] != nil)
        }
    }

    @Test func answersWhereNothingIsRouted() async throws {
        try await withDataPlane(RouteTable()) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                let answer = try client.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
                #expect(answer.status == 404)
                #expect(answer["Proxy-Status"] == "sampan; error=destination_not_found")
                #expect(try client.exchange(get()).status == 404)
            }
        }
    }

    @Test func holdsRequestsUntilAnEndpointAppears() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([]), configure: { $0.holdTimeout = 60_000 }) { plane in
            async let answer = onThread { try RawConnection(port: plane.port).exchange(get()).status }
            try await eventually { plane.value(of: .held) == 1 }
            plane.publish(.single([server.port]))
            #expect(try await answer == 200)
        }
    }

    @Test func givesUpHoldingAfterAWhile() async throws {
        try await withDataPlane(.single([]), configure: { $0.holdTimeout = 100 }) { plane in
            let answer = try await onThread { try RawConnection(port: plane.port).exchange(get()) }
            #expect(answer.status == 503)
            #expect(answer["Proxy-Status"] == "sampan; error=destination_unavailable")
        }
    }

    @Test func answers502ForBrokenEndpoints() async throws {
        let server = try RawServer { connection in
            _ = try connection.readHead()
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
        }
        let silent = try RawServer { connection in _ = try connection.readHead() }
        try await withDataPlane(.single([server.port])) { plane in
            let answer = try await onThread { try RawConnection(port: plane.port).exchange(get()) }
            #expect(answer.status == 502)
            #expect(answer["Proxy-Status"] == "sampan; error=http_protocol_error")
            plane.publish(.single([silent.port]))
            try await eventually { plane.adoptedGeneration == 2 }
            let second = try await onThread {
                try RawConnection(port: plane.port).exchange(
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
                )
            }
            #expect(second.status == 502)
            #expect(second["Proxy-Status"] == "sampan; error=connection_terminated")
        }
    }

    @Test func answers504WhenTheRouteSaysSo() async throws {
        let server = try RawServer { connection in
            _ = try connection.readHead()
            usleep(2_000_000)
        }
        let timeouts = [
            RouteTable.Timeouts(request: 80), RouteTable.Timeouts(backendRequest: 80),
        ]
        for timeouts in timeouts {
            try await withDataPlane(.single([server.port], timeouts: timeouts)) { plane in
                let answer = try await onThread { try RawConnection(port: plane.port).exchange(get()) }
                #expect(answer.status == 504)
            }
        }
    }

    @Test func answers408ForSlowHeads() async throws {
        try await withDataPlane(RouteTable(), configure: { $0.headTimeout = 80 }) { plane in
            let answer = try await onThread { try RawConnection(port: plane.port).exchange("GET / HTTP/1.1\r\nHo") }
            #expect(answer.status == 408)
        }
    }

    // MARK: - Filters

    @Test func appliesFilters() async throws {
        let server = try RawServer.echo()
        var filters = RouteTable.Filters()
        filters.requestHeaders = .init(set: [.init("X-Set", "new")], add: [.init("X-Add", "1")], remove: ["X-Gone"])
        filters.responseHeaders = .init(set: [.init("X-Backend", "hidden")], remove: [])
        filters.rewriteHost = "inner.test"
        filters.rewritePath = .prefix("/inner")
        var table = RouteTable.single([server.port], filters: filters)
        table.rules[0].matches = [RouteTable.Match(path: .prefix("/outer"))]
        try await withDataPlane(table) { plane in
            let answer = try await onThread {
                try RawConnection(port: plane.port).exchange(
                    get("/outer/a?b", extra: "X-Set: old\r\nX-Gone: 1\r\nx-gone: 2\r\n")
                )
            }
            #expect(answer.values("X-Backend") == ["hidden"])
            #expect(answer.text.hasPrefix("GET /inner/a?b HTTP/1.1\nHost: inner.test\n"))
            #expect(answer.text.contains("X-Set: new\n"))
            #expect(answer.text.contains("X-Add: 1\n"))
            #expect(!answer.text.contains("old"))
            #expect(!answer.text.lowercased().contains("x-gone"))
            #expect(answer.text.contains("X-Forwarded-Host: example.test\n"))
        }
    }

    @Test(arguments: [
        (RouteTable.Redirect(scheme: "https", status: 301), "https://example.test/old/x?q"),
        (RouteTable.Redirect(host: "new.test", path: .full("/full")), "http://new.test:81/full?q"),
        (RouteTable.Redirect(port: 8443, path: .prefix("/n")), "http://example.test:8443/n/x?q"),
    ])
    func redirects(_ row: (redirect: RouteTable.Redirect, location: String)) async throws {
        var table = RouteTable.single([])
        table.rules[0].matches = [RouteTable.Match(path: .prefix("/old"))]
        table.rules[0].filters.redirect = row.redirect
        try await withDataPlane(table) { plane in
            let answer = try await onThread {
                try RawConnection(port: plane.port).exchange(get("/old/x?q", host: "example.test:81"))
            }
            #expect(answer.status == row.redirect.status)
            #expect(answer["Location"] == row.location)
        }
    }

    @Test func splitsByWeight() async throws {
        let (a, b) = (try RawServer.echo(name: "a"), try RawServer.echo(name: "b"))
        var table = RouteTable.single([a.port])
        table.backends.append(.init(name: "b", endpoints: [.init(address: "127.0.0.1", port: b.port)]))
        table.rules[0].targets = [.init(backend: "default/app:80", weight: 3), .init(backend: "b", weight: 1)]
        try await withDataPlane(table) { plane in
            let names = try await onThread {
                let client = try RawConnection(port: plane.port)
                return try (0..<400).map { _ in try client.exchange(get())["X-Backend"] ?? "" }
            }
            #expect((240...360).contains(names.filter { $0 == "a" }.count))
        }
    }

    // MARK: - Dead connections and endpoints

    @Test func survivesKeptConnectionsThatTheEndpointCloses() async throws {
        let answered = Mutex(0)
        // Answers one request per connection, says nothing of closing, and takes a second one only to drop it.
        let server = try RawServer { connection in
            guard let request = try connection.readMessage(isResponse: false) else { return }
            answered.withLock { $0 += 1 }
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(request.body.count)\r\n\r\n\(request.text)")
            _ = try connection.readHead()
        }
        try await withDataPlane(.single([server.port])) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for number in 0..<10 {
                    let method = ["GET", "PUT", "DELETE"][number % 3]
                    let length = method == "PUT" ? 4 : 0
                    let body = method == "PUT" ? "body" : ""
                    let answer = try client.exchange(
                        "\(method) / HTTP/1.1\r\nHost: a\r\nContent-Length: \(length)\r\n\r\n\(body)"
                    )
                    #expect(answer.status == 200)
                    #expect(answer.text == body)
                }
            }
            #expect(answered.withLock { $0 } == 10)
            #expect(plane.value(of: .retries) >= 5)
        }
    }

    @Test(arguments: ["pay", ""]) func neverRepeatsMethodsThatAreNotIdempotent(body: String) async throws {
        let seen = Mutex(0)
        let server = try RawServer { connection in
            guard try connection.readMessage(isResponse: false) != nil else { return }
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            guard try connection.readMessage(isResponse: false) != nil else { return }
            seen.withLock { $0 += 1 }
        }
        try await withDataPlane(.single([server.port])) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                #expect(try client.exchange(get()).status == 200)
                let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
                let answer = try client.exchange(head + body)
                #expect(answer.status == 502)
            }
            #expect(seen.withLock { $0 } == 1)
        }
    }

    @Test func goesRoundEndpointsThatRefuse() async throws {
        let server = try RawServer.echo()
        let closed = try ClosedPort()
        try await withDataPlane(.single([closed.port, server.port])) { plane in
            try await onThread {
                for _ in 0..<30 {
                    let status = try RawConnection(port: plane.port).exchange(get()).status
                    #expect(status == 200)
                }
            }
            #expect(plane.value(of: .upstreamFailures) < 10)
        }
    }

    // MARK: - Large bodies and slow peers

    @Test func streamsLargeBodiesInBoundedMemory() async throws {
        let size = 64 * 1024 * 1024
        let server = try RawServer { connection in
            guard let head = try connection.readHead() else { return }
            if head.startLine.hasPrefix("PUT") {
                var left = size
                while left > 0 { left -= try connection.receive().count }
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            } else {
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n")
                let piece = [UInt8](repeating: 7, count: 1 << 20)
                for _ in 0..<size >> 20 { try connection.send(piece) }
            }
        }
        try await withDataPlane(.single([server.port])) { plane in
            try await onThread {
                let up = try RawConnection(port: plane.port)
                try up.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n")
                let piece = [UInt8](repeating: 7, count: 1 << 20)
                for _ in 0..<size >> 20 { try up.send(piece) }
                #expect(try up.readResponse().text == "ok")
            }
            try await onThread {
                let down = try RawConnection(port: plane.port)
                try down.send(get())
                _ = try down.readHead()
                var left = size
                while left > 0 {
                    let bytes = try down.receive()
                    if bytes.isEmpty { break }
                    left -= bytes.count
                }
                #expect(left == 0)
            }
            #expect(plane.value(of: .bufferBytes) < 2 << 20)
        }
    }

    @Test func holdsBackForSlowClients() async throws {
        let sent = Mutex(0)
        let server = try RawServer { connection in
            _ = try connection.readHead()
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")
            for _ in 0..<64 {
                try connection.send([UInt8](repeating: 1, count: 1 << 20))
                sent.withLock { $0 += 1 }
            }
        }
        try await withDataPlane(.single([server.port]), configure: { $0.rateWindow = 60_000 }) { plane in
            let client = try RawConnection(port: plane.port, receiveBuffer: 65536)
            try client.send(get(extra: "Connection: close\r\n"))
            try await eventually { plane.value(of: .bufferBytes) > 0 }
            var (before, now) = (-1, 0)
            while before != now {  // until the endpoint stands still
                before = now
                try await Task.sleep(for: .milliseconds(200))
                now = sent.withLock { $0 }
            }
            #expect(now < 40)
            #expect(plane.value(of: .bufferBytes) < 1 << 20)
            let total = try await onThread { try client.readToEnd().count }
            #expect(total > 64 << 20)
        }
    }

    // MARK: - Upgrades

    @Test func tunnelsAfterAnUpgrade() async throws {
        let server = try RawServer { connection in
            guard let head = try connection.readHead() else { return }
            #expect(head["Upgrade"] == "websocket")
            #expect(head["Connection"] == "upgrade")
            try connection.send(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi"
            )
            while true {
                let bytes = try connection.receive()
                if bytes.isEmpty { break }
                try connection.send(bytes)
            }
            try connection.send("bye")
        }
        try await withDataPlane(.single([server.port])) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                try client.send(get(extra: "Connection: Upgrade\r\nUpgrade: websocket\r\n") + "early")
                let answer = try client.readHead()
                #expect(answer?.status == 101)
                #expect(answer?["Upgrade"] == "websocket")
                #expect(String(decoding: try client.readExactly(7), as: UTF8.self) == "hiearly")
                for number in 0..<100 {
                    let text = "frame \(number) " + String(repeating: "x", count: number * 100)
                    try client.send(text)
                    #expect(String(decoding: try client.readExactly(text.utf8.count), as: UTF8.self) == text)
                }
                client.shutdownSending()
                #expect(String(decoding: try client.readToEnd(), as: UTF8.self) == "bye")
            }
            try await eventually { plane.value(of: .clients) == 0 && plane.value(of: .inFlight) == 0 }
        }
    }

    @Test func sendsARefusedUpgradeAsAnOrdinaryAnswer() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port])) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                let extra = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                #expect(try client.exchange(get(extra: extra)).status == 200)
                #expect(try client.exchange(get()).status == 200)
            }
        }
    }

    // MARK: - Cost and robustness

    @Test func costsFourSocketCallsPerRequest() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port])) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for _ in 0..<10 { _ = try client.exchange(get()) }
            }
            try await eventually { plane.value(of: .clients) == 0 }
            let before = plane.value(of: .receiveCalls) + plane.value(of: .sendCalls)
            let bytes = plane.value(of: .bufferBytes)
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for _ in 0..<500 { _ = try client.exchange(get()) }
            }
            try await eventually { plane.value(of: .clients) == 0 }
            let calls = plane.value(of: .receiveCalls) + plane.value(of: .sendCalls) - before
            #expect(Double(calls) / 500 <= 4.1)
            #expect(plane.value(of: .bufferBytes) == bytes)
            #expect(MemoryLayout<Connection>.stride <= 512)
        }
    }

    /// Not that of the pool's thread that made them.
    @Test(.enabled(if: geteuid() == 0)) func workersHaveTheNiceValueOfTheProcess() async throws {
        let process = __priority_which_t(PRIO_PROCESS.rawValue)
        let before = getpriority(process, id_t(getpid()))
        setpriority(process, id_t(getpid()), before + 3)
        defer { setpriority(process, id_t(getpid()), before) }
        try await withDataPlane(.single([1])) { _ in
            try await eventually {
                let threads = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").compactMap(
                    id_t.init
                )
                let workers = threads.filter {
                    (try? String(contentsOfFile: "/proc/self/task/\($0)/comm", encoding: .utf8)) == "gateway-0\n"
                }
                return workers.map { getpriority(process, $0) } == [before + 3]
            }
        }
    }

    @Test func leavesNothingBehindAfterRandomDisconnects() async throws {
        let server = try RawServer { connection in
            while try connection.readMessage(isResponse: false) != nil {
                switch Int.random(in: 0..<6) {
                case 0: return
                case 1: return connection.reset()
                case 2: return try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                case 3:
                    try connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
                default: try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                }
            }
        }
        try await withDataPlane(.single([server.port]), workers: 2) { plane in
            try await withThrowingTaskGroup { group in
                for _ in 0..<4 {
                    group.addTask {
                        try await onThread { for _ in 0..<150 { Self.disturb(plane.port) } }
                    }
                }
                try await group.waitForAll()
            }
            try await eventually { plane.value(of: .clients) == 0 && plane.value(of: .inFlight) == 0 }
            let well = try RawServer.echo()
            plane.publish(.single([well.port]))
            try await eventually { plane.adoptedGeneration == 2 }
            let status = try await onThread { try RawConnection(port: plane.port).exchange(get()).status }
            #expect(status == 200)
        }
    }

    private static func disturb(_ port: Int) {
        guard let client = try? RawConnection(port: port) else { return }
        client.setTimeout(milliseconds: 20)
        let requests = [
            get(), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", get() + get(),
        ]
        let bytes = Array(requests.randomElement()!.utf8)
        try? client.send(Array(bytes.prefix(Int.random(in: 1...bytes.count * 2))))
        if Bool.random() { client.shutdownSending() }
        if Bool.random() { _ = try? client.receive(Int.random(in: 1...100)) }
        if Bool.random() { client.reset() }
    }

    @Test func dropsNothingWhileTablesChange() async throws {
        let servers = try (0..<4).map { try RawServer.echo(name: "s\($0)") }
        try await withDataPlane(.single([servers[0].port]), workers: 2) { plane in
            let load = Load(port: plane.port, clients: 4)
            for number in 1...200 {
                plane.publish(.single([servers[number % 4].port]))
                try await Task.sleep(for: .milliseconds(5))
            }
            try await eventually { load.answers > 200 }
            let result = await load.stop()
            #expect(result.failures == [])
            try await eventually { plane.adoptedGeneration == 201 }
        }
    }

    @Test func finishesWhatRunsWhenStopped() async throws {
        let isHeld = Mutex(true)
        let server = try RawServer { connection in
            _ = try connection.readHead()
            while isHeld.withLock(\.self) { usleep(1000) }
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
        }
        try await withDataPlane(.single([server.port])) { plane in
            let port = plane.port
            async let answer = onThread { try RawConnection(port: port).exchange(get()) }
            try await eventually { plane.value(of: .inFlight) == 1 }
            async let stopped: Void = onThread { plane.stop(within: 10_000) }
            try await eventually { (try? RawConnection(port: port)) == nil }
            isHeld.withLock { $0 = false }
            #expect(try await answer.text == "late")
            #expect(try await answer["Connection"] == "close")
            try await stopped
        }
    }
}
