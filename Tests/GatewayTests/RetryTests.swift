import FlowControl
import Foundation
import Synchronization
import TestKit
import Testing

@testable import Gateway

/// Requests that are sent once more, and those that must not be.
@Suite(.serialized) struct RetryTests {
    /// Answers every request with a status and counts them.
    private static func server(_ status: Int, _ seen: Counter) throws -> RawServer {
        try RawServer { connection in
            while let request = try connection.readMessage(isResponse: false) {
                seen.add(request.body)
                try connection.send("HTTP/1.1 \(status) Status\r\nContent-Length: 3\r\nX-Backend: \(status)\r\n\r\nabc")
            }
        }
    }

    private final class Counter: Sendable {
        private let bodies = Mutex<[[UInt8]]>([])
        var count: Int { bodies.withLock(\.count) }
        var last: [UInt8]? { bodies.withLock(\.last) }
        func add(_ body: [UInt8]) { bodies.withLock { $0.append(body) } }
    }

    @Test func asksAnotherEndpointAfterA503() async throws {
        let (bad, good) = (Counter(), Counter())
        let servers = (try Self.server(503, bad), try Self.server(200, good))
        let retry = RetryPolicy(retries: 1, baseInterval: 0)
        let policy = BackendPolicy(loadBalancing: .roundRobin, retryBudget: .init(percent: 100))
        try await withDataPlane(.single([servers.0.port, servers.1.port], retry: retry, policy: policy)) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for _ in 0..<40 { #expect(try client.exchange(get()).status == 200) }
            }
            #expect(bad.count > 10)
            #expect(good.count == 40)
            #expect(Int(plane.value(of: .retries)) == bad.count)
            // The bad answers were read to their end, so their connections served again.
            #expect(servers.0.accepted == 1)
        }
    }

    @Test func waitsBeforeItAsksAgain() async throws {
        let seen = Counter()
        let server = try Self.server(503, seen)
        let retry = RetryPolicy(retries: 3, baseInterval: 30, maximumInterval: 40)
        try await withDataPlane(.single([server.port], retry: retry)) { plane in
            let answer = try await onThread { try RawConnection(port: plane.port).exchange(get()) }
            #expect(answer.status == 503)
            #expect(answer["X-Backend"] == "503")
            #expect(seen.count == 4)
            try await eventually { plane.value(of: .inFlight) == 0 }
        }
    }

    @Test func countsButMakesWhatIsBeyondABudgetOnTrial() async throws {
        let seen = Counter()
        let server = try Self.server(503, seen)
        let retry = RetryPolicy(retries: 1, baseInterval: 0)
        let policy = BackendPolicy(retryBudget: .init(percent: 0, minimumPerSecond: 0, dryRun: true))
        try await withDataPlane(.single([server.port], retry: retry, policy: policy)) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for _ in 0..<20 { #expect(try client.exchange(get()).status == 503) }
            }
            #expect(seen.count == 40)
            let words = plane.words(ofSeries: try #require(plane.series.first { !$0.series.backend.isEmpty }).number)
            #expect(words[WorkerMetrics.Counter.retriesOverBudget.word] == 20)
        }
    }

    @Test func cannotMakeAStorm() async throws {
        let seen = Counter()
        let server = try Self.server(503, seen)
        let retry = RetryPolicy(retries: 5, baseInterval: 0)
        let policy = BackendPolicy(retryBudget: .init(percent: 20, minimumPerSecond: 1))
        try await withDataPlane(.single([server.port], retry: retry, policy: policy)) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for _ in 0..<200 { #expect(try client.exchange(get()).status == 503) }
            }
            // A fifth of the requests, and one a second beyond that.
            #expect(seen.count <= 240 + 30)
            #expect(seen.count > 220)
            let words = plane.words(ofSeries: try #require(plane.series.first { !$0.series.backend.isEmpty }).number)
            #expect(words[WorkerMetrics.Counter.retriesOverBudget.word] > 0)
        }
    }

    @Test func leavesAStalledEndpointAfterTheTimeForOneTry() async throws {
        let stalled = try RawServer { connection in
            _ = try connection.readHead()
            _ = try connection.readToEnd()
        }
        let good = Counter()
        let server = try Self.server(200, good)
        let retry = RetryPolicy(retries: 1, conditions: [.perTryTimeout], perTryTimeout: 500, baseInterval: 0)
        let policy = BackendPolicy(loadBalancing: .roundRobin)
        try await withDataPlane(.single([stalled.port, server.port], retry: retry, policy: policy)) { plane in
            try await onThread {
                for _ in 0..<6 {
                    let status = try RawConnection(port: plane.port).exchange(get()).status
                    #expect(status == 200)
                }
            }
            #expect(good.count == 6)
            let posted = try await onThread {
                try (0..<2).map { _ in
                    try RawConnection(port: plane.port)
                        .exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
                }
            }
            // What is not idempotent gets its one try.
            #expect(posted.map(\.status).sorted() == [200, 504])
            #expect(posted.first { $0.status == 504 }?["Proxy-Status"] == "sampan; error=http_response_timeout")
            #expect(try plane.endpoint(port: stalled.port).sum(.timeouts) >= 3)
        }
    }

    @Test(arguments: [true, false]) func sendsAKeptBodyAgain(_ isChunked: Bool) async throws {
        let (bad, good) = (Counter(), Counter())
        let servers = (try Self.server(503, bad), try Self.server(200, good))
        let retry = RetryPolicy(retries: 1, baseInterval: 0, includesNonIdempotent: true)
        let policy = BackendPolicy(loadBalancing: .roundRobin)
        let body = [UInt8]((0..<40_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        try await withDataPlane(.single([servers.0.port, servers.1.port], retry: retry, policy: policy)) { plane in
            for _ in 0..<4 {
                let status = try await onThread {
                    try Self.post(body, isChunked: isChunked, RawConnection(port: plane.port)).status
                }
                #expect(status == 200)
                #expect(good.last == body)
            }
            #expect(bad.count >= 1)
        }
    }

    /// Sends a body in several pieces, so that it comes apart from its head.
    private static func post(
        _ body: [UInt8],
        isChunked: Bool,
        _ client: RawConnection
    ) throws -> RawConnection.Message {
        let framing = isChunked ? "Transfer-Encoding: chunked" : "Content-Length: \(body.count)"
        try client.send("POST / HTTP/1.1\r\nHost: a\r\n\(framing)\r\n\r\n")
        for start in stride(from: 0, to: body.count, by: 10_000) {
            usleep(3000)
            let piece = Array(body[start..<start + 10_000])
            try client.send(isChunked ? Array("2710\r\n".utf8) + piece + [13, 10] : piece)
        }
        if isChunked { try client.send("0\r\n\r\n") }
        return try client.readResponse()
    }

    @Test func doesNotRetryWhatItDidNotKeep() async throws {
        let seen = Counter()
        let server = try Self.server(503, seen)
        let retry = RetryPolicy(retries: 3, baseInterval: 0, includesNonIdempotent: true, maximumReplay: 20_000)
        try await withDataPlane(.single([server.port], retry: retry)) { plane in
            let status = try await onThread {
                try Self.post([UInt8](repeating: 1, count: 40_000), isChunked: false, RawConnection(port: plane.port))
                    .status
            }
            #expect(status == 503)
            #expect(seen.count == 1)
        }
    }

    @Test func retriesResetsOnlyWhereThatIsSafe() async throws {
        let seen = Counter()
        let resetting = try RawServer { connection in
            guard let request = try connection.readMessage(isResponse: false) else { return }
            seen.add(request.body)
            connection.reset()
        }
        try await withDataPlane(.single([resetting.port], retry: RetryPolicy(retries: 2, baseInterval: 0))) { plane in
            let answer = try await onThread { try RawConnection(port: plane.port).exchange(get()) }
            #expect(answer.status == 502)
            #expect(answer["Proxy-Status"] == "sampan; error=connection_terminated")
            #expect(seen.count == 3)
            let posted = try await onThread {
                try RawConnection(port: plane.port).exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
            }
            #expect(posted.status == 502)
            #expect(seen.count == 4)
        }
    }

    @Test func saysWhyNoEndpointWasReached() async throws {
        let closed = try ClosedPort()
        try await withDataPlane(.single([closed.port]), configure: { $0.holdTimeout = 100 }) { plane in
            let answer = try await onThread { try RawConnection(port: plane.port).exchange(get()) }
            #expect(answer.status == 502)
            #expect(answer["Proxy-Status"] == "sampan; error=connection_refused")
            let words = plane.words(ofSeries: try #require(plane.series.first { !$0.series.backend.isEmpty }).number)
            #expect(words[WorkerMetrics.Counter.connectFailures.word] > 0)
        }
        let retry = RetryPolicy(retries: 2, conditions: [.reset])
        try await withDataPlane(.single([closed.port], retry: retry)) { plane in
            let answer = try await onThread { try RawConnection(port: plane.port).exchange(get()) }
            #expect(answer.status == 502)
            #expect(plane.value(of: .connects) == 1)
        }
    }
}
