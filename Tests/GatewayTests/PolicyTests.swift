import FlowControl
import Foundation
import Synchronization
import Testing

@testable import Gateway

/// Traffic policies on the data path, against small servers that the test writes byte by byte.
@Suite(.serialized) struct PolicyTests {
    /// One rule for everything with these policies.
    private static func table(
        _ port: Int,
        _ policies: [TrafficPolicy],
        timeouts: RouteTable.Timeouts = .init()
    ) -> RouteTable {
        var table = RouteTable.single([port], timeouts: timeouts)
        table.rules[0].policies = policies
        return table
    }

    /// The answer to one request on a connection of its own.
    private static func ask(_ port: Int, _ extra: String = "") throws -> RawConnection.Message {
        try RawConnection(port: port).exchange(get(extra: extra))
    }

    private static func count(_ plane: DataPlane, _ name: String, _ count: PolicyState.Count) -> UInt64 {
        plane.policies.first { $0.policy.name == name }?.value(of: count) ?? 0
    }

    /// A server whose answers are held back until the test says so.
    private final class HeldServer: Sendable {
        private let gate = NSCondition()
        private let state = Mutex((arrived: 0, released: 0))
        nonisolated(unsafe) private var server: RawServer?  // set once in `init`, before it is shared

        init() throws {
            server = try RawServer { [self] connection in
                while try connection.readMessage(isResponse: false) != nil {
                    let number = state.withLock { state in
                        state.arrived += 1
                        return state.arrived
                    }
                    gate.lock()
                    while state.withLock({ $0.released < number }) { gate.wait() }
                    gate.unlock()
                    try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                }
            }
        }

        var port: Int { server?.port ?? 0 }
        var arrived: Int { state.withLock(\.arrived) }

        func release(_ count: Int = 1_000_000) {
            gate.lock()
            state.withLock { $0.released += count }
            gate.broadcast()
            gate.unlock()
        }
    }

    // MARK: - Rates

    @Test func limitsARateExactlyOverTwoWorkers() async throws {
        let server = try RawServer.echo()
        let limit = RateLimit(requests: 200, burst: 20)
        try await withDataPlane(
            Self.table(server.port, [TrafficPolicy(name: "shop/rate", .rateLimit(limit))]),
            workers: 2
        ) { plane in
            let port = plane.port
            let start = ContinuousClock.now
            let statuses = try await withThrowingTaskGroup { group in
                for _ in 0..<6 {
                    group.addTask {
                        try await onThread {
                            // A fresh connection now and then, so that both workers get some.
                            var statuses: [Int] = []
                            for _ in 0..<20 {
                                let client = try RawConnection(port: port)
                                for _ in 0..<20 { statuses.append(try client.exchange(get()).status) }
                            }
                            return statuses
                        }
                    }
                }
                return try await group.reduce([], +)
            }
            let elapsed = (ContinuousClock.now - start) / .seconds(1)
            let passed = statuses.count { $0 == 200 }
            #expect(statuses.count == 2400)
            #expect(statuses.allSatisfy { $0 == 200 || $0 == 429 })
            #expect(passed >= 21)
            #expect(Double(passed) <= 200 * elapsed + 21)
            #expect(Self.count(plane, "shop/rate", .passed) == UInt64(passed))
            #expect(Self.count(plane, "shop/rate", .limited) == UInt64(2400 - passed))
        }
    }

    @Test func saysWhenToComeBack() async throws {
        let server = try RawServer.echo()
        let limit = RateLimit(requests: 1, per: 3_600_000, burst: 0)
        try await withDataPlane(
            Self.table(server.port, [TrafficPolicy(name: "shop/hourly", .rateLimit(limit))])
        ) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                #expect(try client.exchange(get()).status == 200)
                let answer = try client.exchange(get())
                #expect(answer.startLine == "HTTP/1.1 429 Too Many Requests")
                let seconds = try #require(Int(answer["Retry-After"] ?? ""))
                #expect((3590...3600).contains(seconds))
                #expect(answer["RateLimit-Policy"] == "\"shop/hourly\";q=1;w=3600")
                #expect(answer["RateLimit"] == "\"shop/hourly\";r=0;t=\(seconds)")
                #expect(answer["Proxy-Status"] == "sampan; error=http_request_denied")
                // The connection serves on, also when the refused request has a body.
                let body = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
                for _ in 0..<3 { #expect(try client.exchange(body).status == 429) }
                let answers = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                #expect(try client.exchange(answers).status == 429)
                let waits = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
                let refused = try client.exchange(waits)
                #expect(refused.status == 429)
                #expect(refused["Connection"] == "close")
            }
        }
    }

    @Test(arguments: [
        (PolicyKey.header("X-Tenant"), "X-TENANT: a\r\n", "X-Tenant: b\r\n"),
        (.cookie("who"), "Cookie: x=1; who=a\r\n", "Cookie: who=b; x=1\r\n"),
    ])
    func tellsKeysApart(_ key: PolicyKey, _ first: String, _ second: String) async throws {
        let server = try RawServer.echo()
        let limit = RateLimit(requests: 1, per: 3_600_000, burst: 1, key: key)
        try await withDataPlane(
            Self.table(server.port, [TrafficPolicy(name: "tenant", .rateLimit(limit))]),
            workers: 2
        ) { plane in
            try await onThread {
                for extra in [first, second, ""] {
                    let statuses = try (0..<4).map { _ in
                        try RawConnection(port: plane.port).exchange(get(extra: extra)).status
                    }
                    #expect(statuses == [200, 200, 429, 429])
                }
            }
        }
    }

    @Test(
        arguments: [
            (PolicyKey.host, get("/", host: "A.test"), get("/", host: "a.test:80"), get("/", host: "b.test")),
            (.path, get("/a?x=1"), get("/a?x=2"), get("/b")),
            (.query("id"), get("/?id=1"), get("/x?a=2&id=1&id=2"), get("/?id=2")),
            (.clientAddress, get("/a"), get("/b", host: "b"), nil),
        ] as [(PolicyKey, String, String, String?)]
    )
    func takesKeysFromTheRequest(_ key: PolicyKey, _ one: String, _ same: String, _ other: String?) async throws {
        let server = try RawServer.echo()
        let limit = RateLimit(requests: 1, per: 3_600_000, burst: 0, key: key)
        try await withDataPlane(Self.table(server.port, [TrafficPolicy(name: "k", .rateLimit(limit))])) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                #expect(try client.exchange(one).status == 200)
                #expect(try client.exchange(same).status == 429)
                if let other { #expect(try client.exchange(other).status == 200) }
            }
        }
    }

    @Test func keepsCountingFromTableToTable() async throws {
        let server = try RawServer.echo()
        var policy = TrafficPolicy(name: "p", .rateLimit(RateLimit(requests: 1, per: 3_600_000, burst: 1)))
        try await withDataPlane(Self.table(server.port, [policy])) { plane in
            let port = plane.port
            #expect(try await onThread { try Self.ask(port).status } == 200)
            plane.publish(Self.table(server.port, [policy]))
            try await eventually { plane.adoptedGeneration == 2 }
            let statuses = try await onThread {
                try (0..<2).map { _ in try Self.ask(port).status }
            }
            #expect(statuses == [200, 429])
            // Other numbers, the same limit: it is used up all the same.
            policy.kind = .rateLimit(RateLimit(requests: 2, per: 3_600_000, burst: 1))
            plane.publish(Self.table(server.port, [policy]))
            try await eventually { plane.adoptedGeneration == 3 }
            #expect(try await onThread { try Self.ask(port).status } == 429)
            plane.publish(.single([server.port]))
            try await eventually { plane.adoptedGeneration == 4 }
            #expect(plane.policies.isEmpty)
            #expect(try await onThread { try Self.ask(port).status } == 200)
        }
    }

    @Test func countsOnlyWhatPassesAllLimits() async throws {
        let server = try RawServer.echo()
        let wide = RateLimit(requests: 1, per: 3_600_000, burst: 4)
        let narrow = RateLimit(requests: 1, per: 3_600_000, burst: 0, key: .header("X-Tenant"))
        let policies = [
            TrafficPolicy(name: "wide", .rateLimit(wide)), TrafficPolicy(name: "narrow", .rateLimit(narrow)),
        ]
        try await withDataPlane(Self.table(server.port, policies)) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for tenant in 0..<5 {
                    let statuses = try (0..<10).map { _ in
                        try client.exchange(get(extra: "X-Tenant: \(tenant)\r\n")).status
                    }
                    #expect(statuses == [200] + Array(repeating: 429, count: 9))
                }
                #expect(try client.exchange(get(extra: "X-Tenant: 9\r\n")).status == 429)
            }
        }
    }

    // MARK: - Waiting

    @Test func spacesRequestsEvenly() async throws {
        let arrivals = Mutex<[ContinuousClock.Instant]>([])
        let server = try RawServer { connection in
            while try connection.readMessage(isResponse: false) != nil {
                arrivals.withLock { $0.append(.now) }
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
        let limit = RateLimit(requests: 100, burst: 0, maximumWait: 195)
        try await withDataPlane(
            Self.table(server.port, [TrafficPolicy(name: "even", .rateLimit(limit))]),
            workers: 2
        ) { plane in
            let port = plane.port
            let clients = try (0..<200).map { _ in try RawConnection(port: port) }
            let start = ContinuousClock.now
            try await onThread { for client in clients { try client.send(get()) } }
            let statuses = try await onThread { try clients.map { try $0.readResponse().status } }
            let passed = statuses.count { $0 == 200 }
            #expect(statuses.allSatisfy { $0 == 200 || $0 == 429 })
            // Twenty fit into the wait; on a slow machine a few more come later.
            #expect((20...199).contains(passed))
            #expect(Self.count(plane, "even", .queued) >= 19)
            let times = arrivals.withLock { $0 }
            let last = try #require(times.last)
            #expect(last - start >= .milliseconds(10 * (passed - 1)))
        }
    }

    @Test func forgetsClientsThatLeaveWhileTheyWait() async throws {
        let server = try RawServer.echo()
        let limit = RateLimit(requests: 10, burst: 0, maximumWait: 2000)
        try await withDataPlane(
            Self.table(server.port, [TrafficPolicy(name: "even", .rateLimit(limit))])
        ) { plane in
            let port = plane.port
            try await onThread {
                let clients = try (0..<8).map { _ in try RawConnection(port: port) }
                for client in clients { try client.send(get()) }
                _ = try clients[0].readResponse()
                for client in clients { client.reset() }
            }
            try await eventually { plane.value(of: .clients) == 0 && plane.value(of: .inFlight) == 0 }
            let status = try await onThread { try Self.ask(port).status }
            #expect(status == 200)
        }
    }

    @Test func endsTheWaitAtTheRoutesTimeout() async throws {
        let server = try RawServer.echo()
        let limit = RateLimit(requests: 1, per: 60_000, burst: 0, maximumWait: 60_000)
        let policy = TrafficPolicy(name: "even", .rateLimit(limit))
        try await withDataPlane(Self.table(server.port, [policy])) { plane in
            let port = plane.port
            #expect(try await onThread { try Self.ask(port).status } == 200)
            plane.publish(Self.table(server.port, [policy], timeouts: .init(request: 100)))
            try await eventually { plane.adoptedGeneration == 2 }
            #expect(try await onThread { try Self.ask(port).status } == 504)
        }
    }

    @Test func refusesWhenTheQueueIsFull() async throws {
        let server = try RawServer.echo()
        let limit = RateLimit(requests: 1, per: 60_000, burst: 0, maximumWait: 60_000)
        let table = Self.table(server.port, [TrafficPolicy(name: "even", .rateLimit(limit))])
        try await withDataPlane(table, configure: { $0.maximumPaced = 0 }) { plane in
            let port = plane.port
            let statuses = try await onThread { try (0..<2).map { _ in try Self.ask(port).status } }
            #expect(statuses == [200, 429])
        }
    }

    // MARK: - Rules that answer themselves

    private static func answering(_ policies: [TrafficPolicy]) -> RouteTable {
        var fixed = RouteTable.Filters()
        fixed.response = .init(status: 503, body: "closed")
        var moved = RouteTable.Filters()
        moved.redirect = .init(host: "new.test", status: 301)
        let path = RouteTable.Match(path: .prefix("/old"))
        return RouteTable(rules: [
            .init(route: "old", matches: [path], filters: moved, policies: policies),
            .init(route: "fixed", filters: fixed, policies: policies),
        ])
    }

    @Test func limitsRulesThatAnswerThemselves() async throws {
        let limit = RateLimit(requests: 1, per: 60_000, burst: 1, key: .path)
        try await withDataPlane(Self.answering([TrafficPolicy(name: "rate", .rateLimit(limit))])) { plane in
            let port = plane.port
            try await onThread {
                let client = try RawConnection(port: port)
                for (path, status) in [("/old/a", 301), ("/", 503)] {
                    for _ in 0..<2 { #expect(try client.exchange(get(path)).status == status) }
                    let refused = try client.exchange(get(path))
                    #expect(refused.status == 429)
                    #expect(refused["Proxy-Status"] == "sampan; error=http_request_denied")
                }
            }
            #expect(Self.count(plane, "rate", .passed) == 4)
            #expect(Self.count(plane, "rate", .limited) == 2)
        }
    }

    /// Each answer waits for its turn and is then what it would have been at once.
    @Test func spacesRulesThatAnswerThemselves() async throws {
        let limit = RateLimit(requests: 100, burst: 0, maximumWait: 1000)
        try await withDataPlane(Self.answering([TrafficPolicy(name: "even", .rateLimit(limit))])) { plane in
            let port = plane.port
            let start = ContinuousClock.now
            try await onThread {
                let clients = try (0..<10).map { _ in try RawConnection(port: port) }
                for client in clients[..<5] { try client.send(get("/old/a?b")) }
                for client in clients[5...] { try client.send(get()) }
                for client in clients[..<5] {
                    let answer = try client.readResponse()
                    #expect(answer.status == 301)
                    #expect(answer["Location"] == "http://new.test/old/a?b")
                }
                for client in clients[5...] {
                    let answer = try client.readResponse()
                    #expect(answer.status == 503)
                    #expect(answer.text == "closed")
                }
            }
            #expect(ContinuousClock.now - start >= .milliseconds(80))
            #expect(Self.count(plane, "even", .queued) >= 1)
        }
    }

    /// A breaker protects a backend; an answer of the rule's own says nothing of one, whatever its status.
    @Test func keepsABreakerClosedWhereTheRuleAnswers() async throws {
        let breaker = CircuitBreaker(minimumRequests: 1, errorRatio: 0.1)
        let policies = [
            TrafficPolicy(name: "one", .concurrency(ConcurrencyLimit(maximum: 1))),
            TrafficPolicy(name: "breaker", .circuitBreaker(breaker)),
        ]
        try await withDataPlane(Self.answering(policies)) { plane in
            let port = plane.port
            try await onThread {
                let client = try RawConnection(port: port)
                for _ in 0..<20 { #expect(try client.exchange(get()).text == "closed") }
            }
            #expect(Self.count(plane, "one", .passed) == 20)
            #expect(Self.count(plane, "breaker", .passed) == 20)
        }
    }

    // MARK: - Requests in flight

    @Test func limitsWhatIsInFlight() async throws {
        let server = try HeldServer()
        let policies = [TrafficPolicy(name: "c", .concurrency(ConcurrencyLimit(maximum: 2)))]
        try await withDataPlane(Self.table(server.port, policies), workers: 2) { plane in
            let port = plane.port
            var leaving: RawConnection? = try RawConnection(port: port)
            let staying = try RawConnection(port: port)
            for client in [leaving, staying] { try client?.send(get()) }
            try await eventually { server.arrived == 2 }
            let refused = try await onThread { try Self.ask(port) }
            #expect(refused.status == 429)
            #expect(refused["Retry-After"] == "1")
            // A client that gives up frees its place.
            leaving?.reset()
            leaving = nil
            try await eventually { plane.value(of: .inFlight) == 1 }
            let next = try RawConnection(port: port)
            try next.send(get())
            try await eventually { server.arrived == 3 }
            server.release()
            let statuses = try await onThread { [try staying.readResponse().status, try next.readResponse().status] }
            #expect(statuses == [200, 200])
            let again = try await onThread {
                try (0..<5).map { _ in try Self.ask(port).status }
            }
            #expect(again == [200, 200, 200, 200, 200])
        }
    }

    @Test func limitsWhatIsInFlightForEachKey() async throws {
        let server = try HeldServer()
        let limit = ConcurrencyLimit(maximum: 1, key: .header("X-User"))
        try await withDataPlane(Self.table(server.port, [TrafficPolicy(name: "c", .concurrency(limit))])) { plane in
            let port = plane.port
            let held = try ["a", "b"].map { user in
                let client = try RawConnection(port: port)
                try client.send(get(extra: "X-User: \(user)\r\n"))
                return client
            }
            try await eventually { server.arrived == 2 }
            let status = try await onThread {
                try RawConnection(port: port).exchange(get(extra: "X-User: a\r\n")).status
            }
            #expect(status == 429)
            server.release()
            _ = try await onThread { try held.map { try $0.readResponse().status } }
            let again = try await onThread {
                try RawConnection(port: port).exchange(get(extra: "X-User: a\r\n")).status
            }
            #expect(again == 200)
        }
    }

    // MARK: - Related traffic

    @Test func standsBackWhileAnotherRouteIsBusy() async throws {
        let server = try RawServer.echo()
        var table = RouteTable.single([server.port])
        var writes = table.rules[0]
        writes.route = "shop/writes"
        writes.matches = [RouteTable.Match(path: .prefix("/write"))]
        let limit = RelatedLimit(route: "shop/writes", requests: 1, per: 3_600_000, burst: 1)
        table.rules[0].policies = [TrafficPolicy(name: "reads", .related(limit))]
        table.rules.append(writes)
        try await withDataPlane(table) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for _ in 0..<2 {
                    #expect(try client.exchange(get("/write")).status == 200)
                    #expect(try client.exchange(get("/read")).status == 200)
                }
                // A write is remembered for a second, so that a read much later than that passes.
                var status = 200
                for _ in 0..<5 where status == 200 {
                    #expect(try client.exchange(get("/write")).status == 200)
                    status = try client.exchange(get("/read")).status
                }
                #expect(status == 429)
                #expect(try client.exchange(get("/write")).status == 200)
            }
            let port = plane.port
            try await eventually {
                try await onThread { try RawConnection(port: port).exchange(get("/read")).status } == 200
            }
        }
    }

    /// A rule may have as many policies as are allowed, and count for as many others.
    @Test func holdsAllPoliciesOfARuleThatOthersRelateTo() async throws {
        let server = try RawServer.echo()
        var table = RouteTable.single([server.port])
        var writes = table.rules[0]
        writes.route = "shop/writes"
        writes.matches = [RouteTable.Match(path: .prefix("/write"))]
        let count = TrafficPolicy.maximumPerRule
        writes.policies = (0..<count).map { number in
            TrafficPolicy(
                name: "keyed-\(number)",
                .rateLimit(RateLimit(requests: 1000, burst: 50, key: .clientAddress, maximumKeys: 16))
            )
        }
        table.rules[0].policies = (0..<count).map { number in
            let limit = RelatedLimit(route: "shop/writes", requests: 1000 + number, burst: 100)
            return TrafficPolicy(name: "reads-\(number)", .related(limit))
        }
        table.rules.append(writes)
        try await withDataPlane(table) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for _ in 0..<20 { #expect(try client.exchange(get("/write")).status == 200) }
                #expect(try client.exchange(get("/read")).status == 200)
            }
            for number in 0..<count { #expect(Self.count(plane, "keyed-\(number)", .passed) == 20) }
        }
    }

    // MARK: - The breaker

    @Test func opensProbesAndCloses() async throws {
        let backend = FailingSwitch()
        let server = try RawServer { connection in
            while try connection.readMessage(isResponse: false) != nil {
                let status = backend.isFailing ? "500 Internal Server Error" : "200 OK"
                try connection.send("HTTP/1.1 \(status)\r\nContent-Length: 0\r\n\r\n")
            }
        }
        let breaker = CircuitBreaker(
            minimumRequests: 5,
            errorRatio: 0.5,
            openTime: 2000,
            probes: 2,
            probeDeadline: 5000
        )
        let fallback = FallbackResponse(status: 200, contentType: "application/json", body: "{\"items\":[]}")
        let policies = [TrafficPolicy(name: "b", .circuitBreaker(breaker), fallback: fallback)]
        try await withDataPlane(Self.table(server.port, policies), workers: 2) { plane in
            let port = plane.port
            let statuses = try await onThread {
                try (0..<20).map { _ in try Self.ask(port).status }
            }
            // Five show that it fails; what comes then gets the fallback. A slow machine may have probed once meanwhile.
            #expect(statuses.prefix(5) == [500, 500, 500, 500, 500])
            #expect(statuses.count { $0 == 500 } <= 7)
            #expect(statuses.contains(200))
            let degraded = try await onThread { try Self.ask(port) }
            if degraded.status == 200 {
                #expect(degraded.text == "{\"items\":[]}")
                #expect(degraded["Content-Type"] == "application/json")
                #expect(degraded["Proxy-Status"] == "sampan; error=destination_unavailable")
            }
            backend.heal()
            try await eventually {
                try await onThread { try Self.ask(port).text } == ""
            }
            let isClosed = "sampan_gateway_policy_breaker_open{policy=\"b\",kind=\"circuit_breaker\"} 0\n"
            try await eventually {
                _ = try await onThread { try Self.ask(port) }
                return MetricsText.write(plane).contains(isClosed)
            }
            #expect(Self.count(plane, "b", .shed) > 0)
        }
    }

    private final class FailingSwitch: Sendable {
        private let failing = Atomic(true)

        var isFailing: Bool { failing.load(ordering: .relaxed) }

        func heal() { failing.store(false, ordering: .relaxed) }
    }

    @Test func opensForABackendThatNeverAnswers() async throws {
        let server = try HeldServer()
        let breaker = CircuitBreaker(
            minimumRequests: 3,
            slowRatio: 0.5,
            slowThreshold: 100,
            errorRatio: nil,
            openTime: 60_000
        )
        let policies = [TrafficPolicy(name: "b", .circuitBreaker(breaker))]
        try await withDataPlane(Self.table(server.port, policies)) { plane in
            let port = plane.port
            let hanging = try (0..<3).map { _ in
                let client = try RawConnection(port: port)
                try client.send(get())
                return client
            }
            try await eventually { server.arrived == 3 }
            try await eventually {
                let client = try RawConnection(port: port)
                try client.send(get())
                return try await onThread {
                    client.setTimeout(milliseconds: 50)
                    return (try? client.readResponse().status) == 503
                }
            }
            #expect(hanging.count == 3)
            server.release()
        }
    }

    // MARK: - Priorities

    @Test func keepsRoomForTheImportantClass() async throws {
        let server = try HeldServer()
        let shedding = LoadShedding(
            classes: [
                PriorityClass(name: "paid", reservedShare: 0.5, selectors: [.header(name: "X-Plan", value: "paid")]),
                PriorityClass(name: "free"),
            ],
            initialCap: 4,
            adaptsCap: false,
            cutsByPriority: false
        )
        try await withDataPlane(Self.table(server.port, [TrafficPolicy(name: "s", .loadShedding(shedding))])) { plane in
            let port = plane.port
            let clients = try (0..<4).map { _ in
                let client = try RawConnection(port: port)
                try client.send(get())
                return client
            }
            try await eventually { server.arrived == 4 }
            let free = try await onThread { try RawConnection(port: port).exchange(get(extra: "X-Plan: trial\r\n")) }
            #expect(free.status == 503)
            #expect(free["Retry-After"] != nil)
            #expect(free["RateLimit"] == nil)
            let paid = try (0..<2).map { _ in
                let client = try RawConnection(port: port)
                try client.send(get(extra: "X-Plan: paid\r\n"))
                return client
            }
            try await eventually { server.arrived == 6 }
            let third = try await onThread {
                try RawConnection(port: port).exchange(get(extra: "X-Plan: paid\r\n")).status
            }
            #expect(third == 503)
            server.release()
            let statuses = try await onThread { try (clients + paid).map { try $0.readResponse().status } }
            #expect(statuses == Array(repeating: 200, count: 6))
            #expect(Self.count(plane, "s", .shed) == 2)
        }
    }

    // MARK: - Dry run

    @Test func dryRunsCountAndLetThrough() async throws {
        let server = try RawServer.echo()
        let policies: [TrafficPolicy] = [
            TrafficPolicy(name: "rate", .rateLimit(RateLimit(requests: 1, per: 3_600_000, burst: 1)), dryRun: true),
            TrafficPolicy(
                name: "wait",
                .rateLimit(RateLimit(requests: 1, per: 60_000, burst: 0, maximumWait: 60_000)),
                dryRun: true
            ),
            TrafficPolicy(
                name: "keyed",
                .rateLimit(RateLimit(requests: 1, per: 3_600_000, burst: 0, key: .host)),
                dryRun: true
            ),
            TrafficPolicy(
                name: "cap",
                .loadShedding(LoadShedding(initialCap: 4, adaptsCap: false)),
                dryRun: true
            ),
        ]
        try await withDataPlane(Self.table(server.port, policies)) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for _ in 0..<20 { #expect(try client.exchange(get()).status == 200) }
            }
            #expect(Self.count(plane, "rate", .passed) == 2)
            #expect(Self.count(plane, "rate", .wouldRefuse) == 18)
            #expect(Self.count(plane, "wait", .wouldQueue) == 1)
            #expect(Self.count(plane, "wait", .wouldRefuse) == 18)
            #expect(Self.count(plane, "keyed", .wouldRefuse) == 19)
            #expect(Self.count(plane, "cap", .passed) == 20)
            let metrics = MetricsText.write(plane)
            #expect(
                metrics.contains(
                    "sampan_gateway_policy_requests_total{policy=\"rate\",kind=\"rate_limit\",decision=\"would_refuse\"} 18\n"
                )
            )
            #expect(metrics.contains("sampan_gateway_policy_cap{policy=\"cap\",kind=\"load_shedding\"} 4\n"))
        }
    }

    /// Everything that was counted as in flight is given back, whatever becomes of requests and tables.
    @Test func countsNothingTwiceThroughDisconnectsAndNewTables() async throws {
        let server = try RawServer { connection in
            while try connection.readMessage(isResponse: false) != nil {
                switch Int.random(in: 0..<4) {
                case 0: return connection.reset()
                case 1: return try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                default: try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                }
            }
        }
        let shedding = LoadShedding(initialCap: 1000, adaptsCap: false)
        let policies: [TrafficPolicy] = [
            TrafficPolicy(name: "c", .concurrency(ConcurrencyLimit(maximum: 1000))),
            TrafficPolicy(name: "k", .concurrency(ConcurrencyLimit(maximum: 1000, key: .clientAddress))),
            TrafficPolicy(name: "r", .rateLimit(RateLimit(requests: 2000, burst: 1, maximumWait: 1000))),
            TrafficPolicy(name: "s", .loadShedding(shedding)),
            TrafficPolicy(name: "b", .circuitBreaker(CircuitBreaker(slowRatio: 1, errorRatio: nil))),
        ]
        try await withDataPlane(Self.table(server.port, policies), workers: 2) { plane in
            let port = plane.port
            try await withThrowingTaskGroup { group in
                for _ in 0..<4 {
                    group.addTask {
                        try await onThread {
                            for _ in 0..<100 {
                                guard let client = try? RawConnection(port: port) else { continue }
                                client.setTimeout(milliseconds: 20)
                                try? client.send(get() + (Bool.random() ? get() : ""))
                                if Bool.random() { _ = try? client.receive(Int.random(in: 1...100)) }
                                if Bool.random() { client.reset() }
                            }
                        }
                    }
                }
                group.addTask {
                    for _ in 0..<30 {
                        plane.publish(Self.table(server.port, policies))
                        try await Task.sleep(for: .milliseconds(10))
                    }
                }
                try await group.waitForAll()
            }
            try await eventually(within: 10) { plane.value(of: .clients) == 0 && plane.value(of: .inFlight) == 0 }
            let states = Dictionary(uniqueKeysWithValues: plane.policies.map { ($0.policy.name, $0) })
            let (limited, keyed) = (try #require(states["c"]), try #require(states["k"]))
            let shedder = LoadShedder(shedding, words: try #require(states["s"]).words)
            try await eventually {
                let left = (0..<KeyedConcurrencyLimiter.words(ConcurrencyLimit(maximum: 1000))).count {
                    $0 % 16 > 7 && keyed.words[$0].load(ordering: .relaxed) & 0xFFFF_FFFF > 0
                }
                let inFlight = limited.words.pointee.load(ordering: .relaxed)
                return left == 0 && inFlight == 0 && shedder.inFlight(level: 0) == 0
            }
        }
    }
}
