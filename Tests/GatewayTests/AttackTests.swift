import Foundation
import Synchronization
import Testing

@testable import Gateway

/// Clients that try to use a worker up. Memory and connections stay bounded, and others are served meanwhile.
@Suite(.serialized) struct AttackTests {
    private static let attackers = 200

    /// Opens connections that each send `start`, and keeps them.
    private static func connect(
        _ plane: DataPlane,
        _ count: Int = attackers,
        sending start: [UInt8]
    ) async throws -> [RawConnection] {
        try await onThread {
            try (0..<count).map { _ in
                let client = try RawConnection(port: plane.port, receiveBuffer: 4096)
                client.setTimeout(milliseconds: 200)
                try? client.send(start)
                return client
            }
        }
    }

    private static func expectService(_ plane: DataPlane, _ count: Int = 50) async throws {
        let statuses = try await onThread {
            let client = try RawConnection(port: plane.port)
            return try (0..<count).map { _ in try client.exchange(get("/normal")).status }
        }
        #expect(statuses == [Int](repeating: 200, count: count))
    }

    // MARK: - Pipelines behind slow answers

    /// What waits behind requests that are not answered yet has a bound for the worker as a whole.
    @Test func boundsWhatAllPipelinesHold() async throws {
        let isOpen = Latch()
        let server = try RawServer { connection in
            while try connection.readMessage(isResponse: false) != nil {
                while !isOpen.isSet { usleep(1000) }
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            }
        }
        let bound = 2 << 20
        try await withDataPlane(.single([server.port]), configure: { $0.maximumBuffered = bound }) { plane in
            let pipeline = Array(String(repeating: get("/piped"), count: 1200).utf8)
            let greedy = try await Self.connect(plane, 100, sending: Array(pipeline.prefix(60_000)))
            try await eventually { plane.value(of: .inFlight) > 0 && plane.value(of: .bufferBytes) >= bound }
            let answer = try await onThread { try RawConnection(port: plane.port).exchange(get()) }
            #expect(answer.status == 503)
            #expect(answer["Connection"] == "close")
            // What a single request may add beyond it, and what the pool keeps.
            #expect(plane.value(of: .bufferBytes) < bound + 1 << 20)
            isOpen.set()
            for client in greedy { client.reset() }
            try await eventually { plane.value(of: .inFlight) == 0 }
            try await Self.expectService(plane)
        }
    }

    private final class Latch: Sendable {
        private let state = Mutex(false)
        var isSet: Bool { state.withLock(\.self) }
        func set() { state.withLock { $0 = true } }
    }

    // MARK: - Slow clients

    @Test func closesManySlowHeads() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port]), configure: { $0.headTimeout = 1000 }) { plane in
            let start = Array("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ".utf8)
            let slow = try await Self.connect(plane, sending: start)
            try await eventually { plane.value(of: .accepted) >= Self.attackers }
            // Ever more bytes do not put the deadline off.
            let isStopped = Mutex(false)
            Thread.detachNewThread {
                while !isStopped.withLock({ $0 }) {
                    for client in slow { try? client.send("x") }
                    usleep(50_000)
                }
            }
            defer { isStopped.withLock { $0 = true } }
            try await Self.expectService(plane)
            // 8 KiB for each of them, and what the pool keeps.
            #expect(plane.value(of: .bufferBytes) < Self.attackers * 8192 + 2 << 20)
            try await eventually { plane.value(of: .clients) == 0 }
        }
    }

    @Test func closesManySlowBodies() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(
            .single([server.port]),
            configure: {
                $0.minimumRate = 1000
                $0.rateWindow = 1000
            }
        ) { plane in
            let start = Array("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx".utf8)
            let slow = try await Self.connect(plane, sending: start)
            try await eventually { plane.value(of: .inFlight) > 0 }
            try await Self.expectService(plane)
            try await eventually { plane.value(of: .inFlight) == 0 }
            #expect(plane.value(of: .bufferBytes) < 2 << 20)
            withExtendedLifetime(slow) {}
        }
    }

    @Test func boundsWhatSlowReadersHold() async throws {
        let server = try RawServer { connection in
            let body = [UInt8](repeating: 1, count: 16 << 20)
            while try connection.readMessage(isResponse: false) != nil {
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.count)\r\n\r\n")
                try connection.send(body)
            }
        }
        let quick = try RawServer.echo()
        let table = RouteTable(
            rules: [
                .init(route: "large", matches: [.init(path: .prefix("/large"))], targets: [.init(backend: "large")]),
                .init(route: "quick", targets: [.init(backend: "quick")]),
            ],
            backends: [
                .init(name: "large", endpoints: [.init(address: "127.0.0.1", port: server.port)]),
                .init(name: "quick", endpoints: [.init(address: "127.0.0.1", port: quick.port)]),
            ]
        )
        let readers = 20
        try await withDataPlane(table) { plane in
            var slow = try await Self.connect(plane, readers, sending: Array(get("/large").utf8))
            try await eventually { plane.value(of: .inFlight) == readers }
            try await Self.expectService(plane)
            // One buffer for each direction of each of them, and what the pool keeps.
            #expect(plane.value(of: .bufferBytes) < readers * BufferPool.largest * 2 + 8 << 20)
            #expect(slow.count == readers)
            slow = []
            try await eventually { plane.value(of: .inFlight) == 0 }
        }
    }

    // MARK: - Large and many

    @Test func boundsHeadsThatNeverEnd() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port])) { plane in
            let line = Array("X-Field: \(String(repeating: "y", count: 989))\r\n".utf8)
            let bomb = Array("GET / HTTP/1.1\r\nHost: a\r\n".utf8) + (0..<100).flatMap { _ in line }
            let clients = try await Self.connect(plane, sending: bomb)
            // Refused at 32 KiB, although most of it has not been read by then.
            let statuses = try await onThread { clients.map { (try? $0.readResponse().status) ?? 0 } }
            #expect(statuses.allSatisfy { $0 == 431 || $0 == 0 })
            #expect(statuses.contains(431))
            try await Self.expectService(plane)
            #expect(plane.value(of: .bufferBytes) < 16 << 20)
            for client in clients { client.reset() }
            try await eventually { plane.value(of: .clients) == 0 }
        }
    }

    @Test func answersAPipelineAsItsReaderReads() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port])) { plane in
            let count = 2000
            let flood = Array(String(repeating: get("/flood"), count: count).utf8)
            let client = try RawConnection(port: plane.port, receiveBuffer: 4096)
            Thread.detachNewThread { try? client.send(flood) }
            try await eventually { plane.value(of: .connects) > 0 }
            try await Self.expectService(plane)
            #expect(plane.value(of: .bufferBytes) < 4 << 20)
            let answers = try await onThread {
                try (0..<count).reduce(into: 0) { sum, _ in if try client.readResponse().status == 200 { sum += 1 } }
            }
            #expect(answers == count)
            #expect(plane.value(of: .bufferBytes) < 4 << 20)
        }
    }

    @Test func takesNoMoreClientsThanAllowed() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(
            .single([server.port]),
            configure: {
                $0.maximumClients = 50
                $0.headTimeout = 500
                $0.idleTimeout = 500
                $0.lingerTimeout = 100
            }
        ) { plane in
            let clients = try await Self.connect(plane, sending: Array("GET / HT".utf8))
            try await eventually { plane.value(of: .accepted) >= 50 }
            // The others wait in the listener's queue and are taken as places become free; a sound one among them is served.
            try await Self.expectService(plane, 1)
            #expect(plane.value(of: .clients) <= 50)
            withExtendedLifetime(clients) {}
        }
    }

    // MARK: - Chunks

    /// One byte of data in seven bytes on the wire, and extensions up to their bound, cost no memory.
    @Test func passesTinyChunksInBoundedMemory() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port])) { plane in
            let count = 10_000
            let tiny = Array("1;x=\(String(repeating: "y", count: 20))\r\nz\r\n".utf8)
            let body = (0..<count).flatMap { _ in tiny } + Array("0\r\n\r\n".utf8)
            let answer = try await onThread {
                let client = try RawConnection(port: plane.port)
                try client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                try client.send(body)
                return try client.readResponse()
            }
            #expect(answer.status == 200)
            #expect(answer.body.suffix(count).allSatisfy { $0 == 122 })
            #expect(plane.value(of: .bufferBytes) < 2 << 20)
        }
    }

    /// A broken chunk far into a body: the endpoint's connection goes, and no other request uses it.
    @Test func dropsTheEndpointsConnectionAtABrokenChunk() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port])) { plane in
            let answer = try await onThread {
                let client = try RawConnection(port: plane.port)
                try client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
                return client
            }
            try await eventually { plane.value(of: .connects) == 1 }
            try answer.send("5\r\nhelloGET /smuggled HTTP/1.1\r\n\r\n")
            #expect(try await onThread { try answer.readResponse().status } == 400)
            try await eventually { plane.value(of: .inFlight) == 0 }
            try await Self.expectService(plane, 3)
            #expect(server.accepted == 2)
            try await eventually { plane.value(of: .idleUpstreams) == 1 }
        }
    }
}
