import Foundation
import Synchronization
import Testing

@testable import Gateway

/// Bounds of connections, bodies and rates, and what the gateway answers at them.
@Suite(.serialized) struct LimitTests {
    // MARK: - Connections

    /// Counts how many connections it serves at once; answers when told.
    private final class Slow: Sendable {
        private struct State {
            var now = 0
            var most = 0
        }

        private let state = Mutex(State())

        var most: Int { state.withLock(\.most) }

        func server(microseconds: UInt32) throws -> RawServer {
            try RawServer { connection in
                self.state.withLock { state in
                    state.now += 1
                    state.most = max(state.most, state.now)
                }
                defer { self.state.withLock { $0.now -= 1 } }
                while try connection.readMessage(isResponse: false) != nil {
                    usleep(microseconds)
                    try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                }
            }
        }
    }

    /// A server that answers nothing before the gate is open.
    private final class Gate: Sendable {
        private let isOpen = Mutex(false)

        func open() { isOpen.withLock { $0 = true } }

        func server() throws -> RawServer {
            try RawServer { connection in
                while try connection.readMessage(isResponse: false) != nil {
                    while !self.isOpen.withLock(\.self) { usleep(1000) }
                    try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                }
            }
        }
    }

    private static func together(_ plane: DataPlane, _ count: Int) async throws -> [RawConnection.Message] {
        try await withThrowingTaskGroup(of: RawConnection.Message.self) { group in
            for _ in 0..<count {
                group.addTask { try await onThread { try RawConnection(port: plane.port).exchange(get()) } }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
    }

    @Test func opensNoMoreConnectionsThanAllowed() async throws {
        let slow = Slow()
        let server = try slow.server(microseconds: 20_000)
        let policy = BackendPolicy(connections: .init(maximumPerEndpoint: 2))
        let table = RouteTable.single([server.port], policy: policy)
        try await withDataPlane(table, configure: { $0.holdTimeout = 60_000 }) { plane in
            let answers = try await Self.together(plane, 16)
            #expect(answers.allSatisfy { $0.status == 200 })
            #expect(slow.most == 2)
            try await eventually { plane.value(of: .pending) == 0 }
        }
    }

    /// Clients that ask again at once take nobody's turn.
    @Test func servesWhoWaitsInTheOrderOfTheirComing() async throws {
        let server = try Slow().server(microseconds: 1000)
        let policy = BackendPolicy(connections: .init(maximumPerEndpoint: 1))
        let table = RouteTable.single([server.port], policy: policy)
        try await withDataPlane(table, configure: { $0.holdTimeout = 60_000 }) { plane in
            let port = plane.port
            let served = Served()
            try await withThrowingDiscardingTaskGroup { group in
                for client in 0..<6 {
                    group.addTask {
                        try await onThread {
                            let connection = try RawConnection(port: port)
                            // Until one of them has had two hundred.
                            while served.most < 200 {
                                #expect(try connection.exchange(get()).status == 200)
                                served.add(client)
                            }
                        }
                    }
                }
            }
            // The first ones have been served alone until the last one came.
            #expect(served.least >= 100)
        }
    }

    /// How often each of six clients was.
    private final class Served: Sendable {
        private let counts = Mutex([Int](repeating: 0, count: 6))
        var most: Int { counts.withLock { $0.max() ?? 0 } }
        var least: Int { counts.withLock { $0.min() ?? 0 } }
        func add(_ client: Int) { counts.withLock { $0[client] += 1 } }
    }

    @Test func turnsAwayWhatCannotWait() async throws {
        let gate = Gate()
        let server = try gate.server()
        let policy = BackendPolicy(connections: .init(maximumPerEndpoint: 1, maximumPending: 2))
        let table = RouteTable.single([server.port], policy: policy)
        try await withDataPlane(table, configure: { $0.holdTimeout = 60_000 }) { plane in
            async let served = Self.together(plane, 3)
            try await eventually { plane.value(of: .inFlight) == 3 && plane.value(of: .pending) == 2 }
            for answer in try await Self.together(plane, 5) {
                #expect(answer.status == 503)
                #expect(answer["Proxy-Status"] == "sampan; error=connection_limit_reached")
            }
            gate.open()
            #expect(try await served.map(\.status) == [200, 200, 200])
        }
    }

    @Test func forgetsClientsThatLeaveTheQueue() async throws {
        let gate = Gate()
        let server = try gate.server()
        let policy = BackendPolicy(connections: .init(maximumPerEndpoint: 1))
        let table = RouteTable.single([server.port], policy: policy)
        try await withDataPlane(table, configure: { $0.holdTimeout = 60_000 }) { plane in
            async let first = Self.together(plane, 1)
            try await eventually { plane.value(of: .inFlight) == 1 && server.accepted == 1 }
            var leaving = try (0..<3).map { _ in try RawConnection(port: plane.port) }
            for client in leaving { try client.send(get()) }
            try await eventually { plane.value(of: .pending) == 3 }
            async let last = Self.together(plane, 1)
            try await eventually { plane.value(of: .pending) == 4 }
            for client in leaving { client.reset() }
            // The reset goes out when the socket is closed.
            leaving = []
            try await eventually { plane.value(of: .pending) == 1 }
            gate.open()
            #expect(try await first[0].status == 200)
            #expect(try await last[0].status == 200)
            try await eventually { plane.value(of: .pending) == 0 && plane.value(of: .inFlight) == 0 }
        }
    }

    @Test func gradesConnectTimeoutsByBackend() async throws {
        // A listener whose queue is full takes no further connection.
        let full = try FullListener()
        let policy = BackendPolicy(connections: .init(connectTimeout: 60))
        let retry = RetryPolicy(retries: 0)
        try await withDataPlane(.single([full.port], retry: retry, policy: policy)) { plane in
            let answer = try await onThread { try RawConnection(port: plane.port).exchange(get()) }
            #expect(answer.status == 504)
            #expect(answer["Proxy-Status"] == "sampan; error=connection_timeout")
        }
    }

    // MARK: - Rates

    @Test func closesSlowBodiesAndServesOthers() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(
            .single([server.port]),
            configure: {
                $0.minimumRate = 1000
                $0.rateWindow = 1000
            }
        ) { plane in
            async let slow = onThread {
                let client = try RawConnection(port: plane.port)
                try client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
                client.setTimeout(milliseconds: 20)
                for _ in 0..<400 {
                    try? client.send("x")
                    if let bytes = try? client.receive(), !bytes.isEmpty {
                        client.putBack(bytes)
                        client.setTimeout(milliseconds: 2000)
                        return try client.readResponse()
                    }
                }
                throw RawConnection.Failure(description: "the slow body was never refused")
            }
            async let steady = onThread {
                let client = try RawConnection(port: plane.port)
                try client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n")
                for _ in 0..<100 {
                    usleep(15_000)
                    try client.send([UInt8](repeating: 120, count: 500))
                }
                return try client.readResponse()
            }
            let refused = try await slow
            #expect(refused.status == 408)
            #expect(refused["Proxy-Status"] == "sampan; error=http_request_error")
            #expect(refused["Connection"] == "close")
            #expect(try await steady.status == 200)
        }
    }

    @Test func closesSlowReadersAndServesOthers() async throws {
        let server = try RawServer { connection in
            while try connection.readMessage(isResponse: false) != nil {
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 33554432\r\n\r\n")
                for _ in 0..<32 { try connection.send([UInt8](repeating: 1, count: 1 << 20)) }
            }
        }
        try await withDataPlane(
            .single([server.port]),
            configure: {
                $0.minimumRate = 20_000
                $0.rateWindow = 1000
            }
        ) { plane in
            let slow = try RawConnection(port: plane.port, receiveBuffer: 4096)
            try slow.send(get())
            try await eventually { plane.value(of: .connects) == 1 }
            let total = try await onThread {
                let client = try RawConnection(port: plane.port)
                return try client.exchange(get()).body.count
            }
            #expect(total == 33_554_432)
            // It takes nothing at all: its connection goes, the endpoint's with it.
            try await eventually { plane.value(of: .inFlight) == 0 }
            let words = plane.words(ofSeries: try #require(plane.series.first { !$0.series.backend.isEmpty }).number)
            #expect(words[0] == 1)
            withExtendedLifetime(slow) {}
        }
    }

    // MARK: - Bodies

    @Test func refusesBodiesThatAreTooLarge() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port]), configure: { $0.maximumBody = 1000 }) { plane in
            let fitting =
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + String(repeating: "x", count: 1000)
            let announced = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n"
            let chunked =
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                + String(repeating: "100\r\n" + String(repeating: "x", count: 256) + "\r\n", count: 8)
            for (request, status) in [(fitting, 200), (announced, 413), (chunked, 413)] {
                let answer = try await onThread { try RawConnection(port: plane.port).exchange(request) }
                #expect(answer.status == status)
                if status == 413 { #expect(answer["Proxy-Status"] == "sampan; error=http_request_denied") }
            }
            try await eventually { plane.value(of: .inFlight) == 0 }
        }
    }

    // MARK: - What endpoints are told

    @Test(arguments: [
        (
            DataPathConfiguration.ForwardedFields.forwarded,
            "Forwarded: for=10.1.1.1, for=127.0.0.1;proto=http;host=\"a\"", 1
        ),
        (.both, "Forwarded: for=10.1.1.1, for=127.0.0.1;proto=http;host=\"a\"", 4), (.none, "Host: a", 0),
        (.xForwarded, "X-Forwarded-For: 10.9.9.9, 127.0.0.1", 3),
    ])
    func tellsWhoTheClientIs(
        _ row: (mode: DataPathConfiguration.ForwardedFields, line: String, fields: Int)
    ) async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port]), configure: { $0.forwarding = row.mode }) { plane in
            let extra = "Forwarded: for=10.1.1.1\r\nX-Forwarded-For: 10.9.9.9\r\nX-Forwarded-Proto: https\r\n"
            let text = try await onThread {
                try RawConnection(port: plane.port).exchange(get(host: "a", extra: extra)).text
            }
            #expect(text.contains("\n\(row.line)\n"))
            let fields = text.split(separator: "\n").filter { $0.contains("orwarded") }
            #expect(fields.count == row.fields)
        }
    }
}

/// A listening socket that takes no connection any more.
private final class FullListener: Sendable {
    let port: Int
    private let listener: Int32
    private let fillers: [Int32]

    init() throws {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        let isListening = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, length) == 0 && listen(listener, 0) == 0
                    && getsockname(listener, address, &length) == 0
            }
        }
        guard isListening else { throw RawConnection.Failure(description: "cannot listen") }
        port = Int(UInt16(bigEndian: address.sin_port))
        fillers = (0..<4).map { _ in
            let filler = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
            withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = connect(filler, $0, length) }
            }
            return filler
        }
    }

    deinit { for descriptor in fillers + [listener] { close(descriptor) } }
}
