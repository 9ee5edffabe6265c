import Foundation
import Testing

@testable import Gateway

/// Pieces of good and bad requests, pipelined at random, cut anywhere, and connections that end in every way at any moment: whatever
/// comes, each connection is closed once and nothing of it stays behind.
@Suite(.serialized) struct ConnectionStormTests {
    private enum Ending: CaseIterable { case close, halfClose, reset, waitForAnswers }

    private static let pieces: [[UInt8]] =
        [
            get("/a"), get("/b", extra: "Connection: close\r\n"), "\r\n", "GET /c HTTP/1.0\r\n\r\n",
            "HEAD /d HTTP/1.1\r\nHost: a\r\n\r\n", "POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "PUT /f HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "POST /g HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nxyz",
            "POST /h HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nshort",
            "POST /i HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "GET / HTTP/1.1\nHost: a\n\n",
            "GET /j HTTP/1.1\r\nHost : a\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /k HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        ].map { Array($0.utf8) } + [
            [UInt8](repeating: UInt8(ascii: "x"), count: 20_000),
            Array("GET /".utf8) + [UInt8](repeating: UInt8(ascii: "y"), count: 70_000),
            Array("GET / HTTP/1.1\r\n".utf8) + [UInt8](repeating: UInt8(ascii: "z"), count: 40_000),
        ]

    @Test(arguments: 1...4) func leavesNothingBehind(seed: UInt64) async throws {
        let server = try RawServer.echo()
        let configure: (inout DataPathConfiguration) -> Void = {
            $0.headTimeout = 500
            $0.lingerTimeout = 200
            $0.progressTimeout = 5000
        }
        try await withDataPlane(.single([server.port]), workers: 2, configure: configure) { plane in
            let port = plane.port
            try await withThrowingDiscardingTaskGroup { group in
                for thread in 0..<4 {
                    group.addTask {
                        try await onThread {
                            var random = SeededGenerator(seed: seed << 8 | UInt64(thread))
                            for _ in 0..<150 { try Self.play(port, &random) }
                        }
                    }
                }
            }
            try await Self.expectCalm(plane)
        }
    }

    /// What follows an answered request is refused while the client's reset arrives.
    @Test(arguments: [Ending.close, .halfClose, .reset])
    private func aRefusalThatMeetsAReset(_ ending: Ending) async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port]), configure: { $0.lingerTimeout = 200 }) { plane in
            let port = plane.port
            try await onThread {
                for _ in 0..<200 {
                    let client = try RawConnection(port: port)
                    let line = [UInt8](repeating: UInt8(ascii: "x"), count: 60_000)
                    try client.send(Array(get("/first").utf8) + line)
                    Self.end(client, ending)
                }
            }
            try await Self.expectCalm(plane)
        }
    }

    // MARK: - Private

    private static func play(_ port: Int, _ random: inout SeededGenerator) throws {
        let client = try RawConnection(port: port)
        client.setTimeout(milliseconds: 2000)
        let bytes = (0..<Int.random(in: 1...5, using: &random)).flatMap { _ in pieces.randomElement(using: &random)! }
        var rest = bytes[...]
        // A gateway that has refused something may close before all is sent.
        while !rest.isEmpty {
            let count = Bool.random(using: &random) ? rest.count : Int.random(in: 1...rest.count, using: &random)
            guard (try? client.send(Array(rest.prefix(count)))) != nil else { break }
            rest = rest.dropFirst(count)
        }
        end(client, Ending.allCases.randomElement(using: &random)!)
    }

    /// The connection itself is closed when its object goes.
    private static func end(_ client: RawConnection, _ ending: Ending) {
        switch ending {
        case .close: break
        case .reset: client.reset()
        case .halfClose: client.shutdownSending()
        case .waitForAnswers:
            client.shutdownSending()
            while let bytes = try? client.receive(), !bytes.isEmpty {}
        }
    }

    private static func expectCalm(_ plane: DataPlane) async throws {
        try await eventually { plane.value(of: .clients) == 0 && plane.value(of: .inFlight) == 0 }
        let port = plane.port
        let statuses = try await onThread {
            let clients = try (0..<20).map { _ in try RawConnection(port: port) }
            return try clients.map { try $0.exchange(get("/after")).status }
        }
        #expect(statuses == [Int](repeating: 200, count: 20))
        try await eventually { plane.value(of: .clients) == 0 }
        #expect(plane.value(of: .held) == 0 && plane.value(of: .pending) == 0)
    }
}
