import Foundation
import Testing

@testable import Gateway

/// Attacks through the gateway to real servers: none may read a request that the gateway did not send.
@Suite(.serialized) struct SmugglingTests {
    @Test(arguments: RealServer.allCases)
    func letsNothingThrough(_ server: RealServer) async throws {
        try await server.run { backend in
            try await Arena.with(backend) { arena in
                // What an unfinished one leaves in the log comes at any time, so those come last.
                let all = SmugglingCorpus.all
                for attack in all.filter({ $0.outcome != .unfinished }) + all.filter({ $0.outcome == .unfinished }) {
                    let before = try arena.backend.seen().count
                    let answers = try await onThread { try arena.send([attack.bytes]) }
                    try await arena.check(attack, answers, before)
                }
                try await arena.finish()
            }
        }
    }

    /// The same bytes in pieces, so that heads, bodies and what hides behind them arrive apart.
    @Test(arguments: RealServer.allCases)
    func letsNothingThroughInPieces(_ server: RealServer) async throws {
        try await server.run { backend in
            try await Arena.with(backend) { arena in
                for attack in SmugglingCorpus.all where attack.bytes.count < 2000 {
                    let pieces = Self.pieces(attack.bytes)
                    let answers = try await onThread { try arena.send(pieces) }
                    // A server may answer the head of a request whose body is refused later.
                    if case .refused = attack.outcome { #expect(answers.count == 1, "\(attack.name)") }
                    try await arena.checkVictims(attack)
                }
                try await arena.finish()
            }
        }
    }

    /// Cut behind the head, in the middle of what follows, and one byte before the end.
    private static func pieces(_ bytes: [UInt8]) -> [[UInt8]] {
        let head =
            bytes.withUnsafeBufferPointer { FieldParser.headLength(of: ByteSpan($0.baseAddress!, $0.count)) } ?? 10
        let cuts = Set([min(head, bytes.count), (head + bytes.count) / 2, bytes.count - 1, bytes.count]).sorted()
        return zip([0] + cuts, cuts).map { Array(bytes[$0..<$1]) }.filter { !$0.isEmpty }
    }
}

/// A gateway that marks what it sends to a server, which notes what it reads.
private struct Arena: Sendable {
    let plane: DataPlane
    let backend: RealServer.Running
    let mark: String

    static func with(_ backend: RealServer.Running, _ body: (Arena) async throws -> Void) async throws {
        let mark = String(UInt64.random(in: 0 ... .max), radix: 16)
        var filters = RouteTable.Filters()
        filters.requestHeaders.set = [.init(RealServer.markerName, mark)]
        try await withDataPlane(.single([backend.port], filters: filters)) { plane in
            try await body(Arena(plane: plane, backend: backend, mark: mark))
        }
    }

    /// Sends the pieces on one connection and reads every answer until the gateway closes.
    func send(_ pieces: [[UInt8]]) throws -> [RawConnection.Message] {
        let client = try RawConnection(port: plane.port)
        for piece in pieces {
            // The gateway may have refused and closed already.
            guard (try? client.send(piece)) != nil else { break }
            if pieces.count > 1 { usleep(300) }
        }
        client.shutdownSending()
        return client.readAnswers(toHead: pieces[0].starts(with: Array("HEAD".utf8)))
    }

    func check(_ attack: Attack, _ answers: [RawConnection.Message], _ before: Int) async throws {
        switch attack.outcome {
        case .refused(let status):
            #expect(answers.map(\.status) == [status], "\(attack.name)")
            #expect(answers.first?["Proxy-Status"] != nil, "\(attack.name): the back end answered")
        case .passed(let count):
            #expect(answers.count == count, "\(attack.name): \(answers.map(\.startLine))")
        case .unfinished:
            break
        }
        try await checkVictims(attack)
        guard attack.outcome != .unfinished else { return }
        var expected = before + Self.victims
        if case .passed(let count) = attack.outcome { expected += count }
        try await eventually { try backend.seen().count >= expected }
        let seen = try backend.seen()
        #expect(seen.count == expected, "\(attack.name): \(seen[before...])")
    }

    private static let victims = 2

    /// Others that use the same connections to the server must get their own answers.
    func checkVictims(_ attack: Attack) async throws {
        let answers = try await onThread {
            let client = try RawConnection(port: plane.port)
            return try (0..<Self.victims).map { try client.exchange(get("/victim-\($0)")) }
        }
        for (number, answer) in answers.enumerated() {
            #expect(answer.status == 200, "\(attack.name)")
            #expect(answer["X-Seen"]?.hasPrefix("GET /victim-\(number)") == true, "\(attack.name): \(answer.fields)")
        }
    }

    /// Nothing that was hidden in a request may have been read as one, nor the attacker's mark been taken for the gateway's.
    func finish() async throws {
        let last = try await onThread { try RawConnection(port: plane.port).exchange(get("/last")) }
        #expect(last.status == 200)
        try await eventually {
            try backend.seen().contains { $0.hasPrefix("\(mark) ") && $0.contains("/last") }
        }
        let smuggled = try backend.seen().filter { $0.contains("/smuggled") || $0.hasPrefix("forged") }
        #expect(smuggled == [])
    }
}
