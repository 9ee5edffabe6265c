import COpenSSL
import Foundation
import Synchronization
import TestKit
import Testing

@testable import Gateway

/// TLS on the data path, seen by OpenSSL's own client, by `curl` and by `openssl s_client`.
struct TLSTests {
    @Test func servesOverBothVersionsAndTellsTheBackend() async throws {
        let server = try RawServer.echo()
        let table = RouteTable.secured([server.port], [try await TestCertificates.usual()])
        try await withSecurePlane(table) { _, port in
            try await onThread {
                for (version, name) in [(TLS1_2_VERSION, "TLSv1.2"), (TLS1_3_VERSION, "TLSv1.3")] {
                    let client = try SecureConnection(port: port, .init(maximumVersion: version))
                    #expect(client.version == name)
                    for _ in 0..<3 {
                        let answer = try client.exchange(get("/a"))
                        #expect(answer.head.hasPrefix("HTTP/1.1 200 OK"))
                        #expect(String(decoding: answer.body, as: UTF8.self).contains("X-Forwarded-Proto: https"))
                    }
                }
            }
        }
    }

    @Test func curlVerifiesTheCertificateAndUploads() async throws {
        let server = try RawServer.echo()
        let certificate = try await TestCertificates.usual()
        try await withSecurePlane(.secured([server.port], [certificate])) { _, port in
            let folder = FileManager.default.temporaryDirectory.path
            let authority = "\(folder)/authority-\(UInt32.random(in: 0 ... .max)).pem"
            try Data(certificate.chain).write(to: URL(fileURLWithPath: authority))
            defer { try? FileManager.default.removeItem(atPath: authority) }
            let output = try await Shell.run(
                "curl",
                [
                    "--silent", "--show-error", "--cacert", authority, "--resolve", "example.test:\(port):127.0.0.1",
                    "--data-binary", String(repeating: "x", count: 100_000), "https://example.test:\(port)/up",
                    "https://example.test:\(port)/again",
                ]
            )
            #expect(output.contains("POST /up HTTP/1.1"))
            #expect(output.contains("POST /again HTTP/1.1"))
            #expect(output.contains(String(repeating: "x", count: 100_000)))
        }
    }

    // MARK: - Names

    private static func named(_ port: Int) async throws -> RouteTable {
        var table = RouteTable(
            backends: [.init(name: "default/app:80", endpoints: [.init(address: "127.0.0.1", port: port)])]
        )
        let hosts = ["exact.example.test", "*.example.test", "*.deep.example.test"]
        for host in hosts {
            let certificate = try await TestCertificates.make([host])
            table.listeners.append(.init(name: host, hostname: host, tls: .init(certificates: [certificate])))
            table.rules.append(
                .init(route: host, hosts: [host], targets: [.init(backend: "default/app:80")], listeners: [host])
            )
        }
        return table
    }

    @Test func theServerNameChoosesTheCertificate() async throws {
        let server = try RawServer.echo()
        try await withSecurePlane(try await Self.named(server.port)) { _, port in
            try await onThread {
                for (name, expected) in [
                    ("exact.example.test", "exact.example.test"), ("EXACT.example.TEST", "exact.example.test"),
                    ("other.example.test", "*.example.test"), ("a.b.example.test", "*.example.test"),
                    ("a.deep.example.test", "*.deep.example.test"),
                ] {
                    let client = try SecureConnection(port: port, .init(serverName: name))
                    #expect(client.certificateName == expected, "for \(name)")
                }
            }
        }
    }

    @Test(arguments: ["example.test", "other.test", nil] as [String?])
    func aServerNameOfNoListenerIsRefused(name: String?) async throws {
        let server = try RawServer.echo()
        try await withSecurePlane(try await Self.named(server.port)) { plane, port in
            let error = await #expect(throws: RawConnection.Failure.self) {
                try await onThread { _ = try SecureConnection(port: port, .init(serverName: name)) }
            }
            #expect(error?.description == "TLS handshake failed: tlsv1 unrecognized name")
            try await eventually { plane.value(of: .handshakeFailures) == 1 && plane.value(of: .clients) == 0 }
        }
    }

    @Test func aConnectionServesTheHostsOfItsListenerOnly() async throws {
        let server = try RawServer.echo()
        try await withSecurePlane(try await Self.named(server.port)) { plane, port in
            try await onThread {
                let client = try SecureConnection(port: port, .init(serverName: "exact.example.test"))
                func status(_ host: String) throws -> String {
                    String(try client.exchange(get(host: host)).head.dropFirst(9).prefix(3))
                }
                #expect(try status("exact.example.test") == "200")
                #expect(try status("other.example.test") == "421")
                #expect(try status("unknown.test") == "404")
                #expect(try status("exact.example.test:443") == "200")
                // These listeners are not on the port without TLS.
                #expect(try RawConnection(port: plane.port).exchange(get(host: "exact.example.test")).status == 404)
            }
        }
    }

    @Test func keysOfDifferentKindsStandSideBySide() async throws {
        let server = try RawServer.echo()
        let certificates = [
            try await TestCertificates.make(["example.test"], kind: .rsa),
            try await TestCertificates.make(["example.test"], kind: .ecdsa),
            try await TestCertificates.make(["second.test"], kind: .ecdsa),
        ]
        try await withSecurePlane(.secured([server.port], certificates)) { _, port in
            let modern = try await onThread { try SecureConnection(port: port) }
            #expect(!modern.isRSA)
            let second = SecureConnection.Options(serverName: "second.test")
            #expect(try await onThread { try SecureConnection(port: port, second).certificateName } == "second.test")
            let rsa = try await Shell.attempt(
                "openssl",
                [
                    "s_client", "-connect", "127.0.0.1:\(port)", "-servername", "example.test", "-tls1_2", "-cipher",
                    "ECDHE-RSA-AES128-GCM-SHA256",
                ]
            )
            #expect(rsa.output.contains("Cipher is ECDHE-RSA-AES128-GCM-SHA256"))
        }
    }

    @Test func protocolsAreNegotiated() async throws {
        let server = try RawServer.echo()
        let table = RouteTable.secured([server.port], [try await TestCertificates.usual()])
        try await withSecurePlane(table) { _, port in
            try await onThread {
                let client = try SecureConnection(port: port, .init(protocols: ["h2", "http/1.1"]))
                #expect(client.chosenProtocol == "http/1.1")
                #expect(
                    throws: RawConnection.Failure(
                        description: "TLS handshake failed: tlsv1 alert no application protocol"
                    )
                ) {
                    _ = try SecureConnection(port: port, .init(protocols: ["spdy/3"]))
                }
            }
        }
    }

    // MARK: - Tickets

    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func aSessionOfOneWorkerIsResumedAtAnother(version: Int32) async throws {
        let server = try RawServer.echo()
        let table = RouteTable.secured([server.port], [try await TestCertificates.usual()])
        try await withSecurePlane(table, workers: 2) { plane, port in
            try await onThread {
                let first = try SecureConnection(port: port, .init(maximumVersion: version))
                _ = try first.exchange(get())
                #expect(!first.isResumed)
                // The kernel spreads connections over the workers' sockets: among twenty both serve some.
                for _ in 0..<20 {
                    let next = try SecureConnection(port: port, .init(maximumVersion: version, resumes: first.ticket))
                    #expect(next.isResumed)
                    #expect(try next.exchange(get()).head.hasPrefix("HTTP/1.1 200"))
                }
            }
            #expect(plane.value(of: .resumptions) == 20)
        }
    }

    @Test func ticketsLiveAsLongAsTheirKeys() throws {
        let keys = TicketKeys(now: 0)
        let first = keys.all[0]
        keys.rotate(now: TicketKeys.period - 1)
        #expect(keys.all == [first])
        for turn in 1...3 { keys.rotate(now: TicketKeys.period * turn) }
        #expect(keys.all.count == 3)
        #expect(!keys.all.contains(first))
        let heir = TicketKeys(now: 0)
        heir.adopt(keys.all)
        #expect(heir.all == keys.all)
    }

    // MARK: - Certificates that change

    @Test func aCertificateIsReplacedWhileConnectionsLive() async throws {
        let server = try RawServer.echo()
        let old = try await TestCertificates.make(["example.test", "old"])
        let new = try await TestCertificates.make(["new", "example.test"])
        try await withSecurePlane(.secured([server.port], [old])) { plane, port in
            let living = try await onThread { try SecureConnection(port: port) }
            #expect(living.certificateName == "example.test")
            let generation = plane.publish(.secured([server.port], [new]))
            try await eventually { plane.adoptedGeneration == generation }
            try await onThread {
                let (fresh, answer) = (try SecureConnection(port: port), try living.exchange(get()))
                #expect(fresh.certificateName == "new")
                #expect(answer.head.hasPrefix("HTTP/1.1 200"))
            }
        }
    }

    @Test func aBadCertificateIsNamedAndDoesNoOtherHarm() async throws {
        let server = try RawServer.echo()
        let good = try await TestCertificates.usual()
        var bad = try await TestCertificates.make(["bad.test"])
        bad.key = good.key
        var table = RouteTable.secured([server.port], [good])
        table.listeners.append(.init(name: "bad", hostname: "bad.test", tls: .init(certificates: [bad])))
        try await withSecurePlane(table) { plane, port in
            #expect(
                plane.problems == [
                    "the certificate bad.test cannot be used: its private key belongs to another certificate"
                ]
            )
            try await onThread {
                let answer = try SecureConnection(port: port).exchange(get())
                #expect(answer.head.hasPrefix("HTTP/1.1 200"))
                #expect(throws: RawConnection.Failure.self) {
                    _ = try SecureConnection(port: port, .init(serverName: "bad.test"))
                }
            }
        }
    }

    // MARK: - Bytes

    @Test func largeBodiesGoBothWaysAgainstSlowReaders() async throws {
        let server = try RawServer.echo()
        let table = RouteTable.secured([server.port], [try await TestCertificates.usual()])
        try await withSecurePlane(table) { plane, port in
            try await onThread {
                let client = try SecureConnection(port: port, .init(receiveBuffer: 8192))
                let body = (0..<6_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
                try client.send("POST /big HTTP/1.1\r\nHost: example.test\r\nContent-Length: \(body.count)\r\n\r\n")
                try client.send(body)
                usleep(300_000)  // the answer fills every buffer on its way
                // A change of keys in the middle must not disturb what is on its way.
                try client.changeKeys()
                let answer = try client.readResponse()
                #expect(answer.body.suffix(body.count).elementsEqual(body))
                try client.changeKeys()
                #expect(try client.exchange(get("/next")).head.hasPrefix("HTTP/1.1 200"))
            }
            #expect(plane.value(of: .bufferBytes) < 4 << 20)
        }
    }

    @Test func pipelinedRequestsInOneRecordAreAllAnswered() async throws {
        let server = try RawServer.echo()
        let table = RouteTable.secured([server.port], [try await TestCertificates.usual()])
        try await withSecurePlane(table) { _, port in
            try await onThread {
                let client = try SecureConnection(port: port)
                try client.send((0..<50).map { get("/\($0)") }.joined())
                for number in 0..<50 {
                    #expect(
                        String(decoding: try client.readResponse().body, as: UTF8.self).hasPrefix("GET /\(number) ")
                    )
                }
                // Byte by byte, a record each.
                for byte in get("/slow").utf8 { try client.send([byte]) }
                #expect(try client.readResponse().head.hasPrefix("HTTP/1.1 200"))
            }
        }
    }

    @Test func theEndIsAnnounced() async throws {
        let server = try RawServer.echo()
        let table = RouteTable.secured([server.port], [try await TestCertificates.usual()])
        try await withSecurePlane(table) { plane, port in
            try await onThread {
                let client = try SecureConnection(port: port)
                #expect(try client.exchange(get(extra: "Connection: close\r\n")).head.contains("Connection: close"))
                #expect(try client.receive() == [])
            }
            try await eventually { plane.value(of: .clients) == 0 }
        }
    }

    @Test func anAnswerThatBreaksOffDoesNotEndProperly() async throws {
        let server = try RawServer { connection in
            _ = try connection.readHead()
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
        }
        let table = RouteTable.secured([server.port], [try await TestCertificates.usual()])
        try await withSecurePlane(table) { _, port in
            try await onThread {
                let client = try SecureConnection(port: port)
                try client.send(get())
                #expect(throws: RawConnection.Failure.self) {
                    while try !client.receive().isEmpty {}
                }
            }
        }
    }

    @Test func webSocketsPassInBothDirections() async throws {
        let server = try RawServer { connection in
            _ = try connection.readHead()
            try connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            while true {
                let bytes = try connection.receive()
                guard !bytes.isEmpty else { return }
                try connection.send(bytes)
            }
        }
        let table = RouteTable.secured([server.port], [try await TestCertificates.usual()])
        try await withSecurePlane(table) { plane, port in
            try await onThread {
                let client = try SecureConnection(port: port)
                let head = try client.exchange(get(extra: "Connection: upgrade\r\nUpgrade: websocket\r\n")).head
                #expect(head.hasPrefix("HTTP/1.1 101"))
                for size in [1, 1000, 100_000] {
                    let frame = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
                    try client.send(frame)
                    var echoed: [UInt8] = []
                    while echoed.count < size { echoed += try client.receive() }
                    #expect(echoed == frame)
                }
                client.shutdownSending()
                #expect(try client.receive() == [])
            }
            try await eventually { plane.value(of: .clients) == 0 }
        }
    }

    // MARK: - Bad clients

    @Test func silentAndSlowHandshakesEndAtTheDeadline() async throws {
        let server = try RawServer.echo()
        let table = RouteTable.secured([server.port], [try await TestCertificates.usual()])
        try await withSecurePlane(table, configure: { $0.handshakeTimeout = 2000 }) { plane, port in
            try await onThread {
                let silent = try RawConnection(port: port)
                let slow = try RawConnection(port: port)
                try slow.send([0x16, 0x03, 0x01, 0x02, 0x00, 0x01])
                #expect(try silent.receive().isEmpty)
                #expect(try slow.receive().isEmpty)
            }
            try await eventually { plane.value(of: .clients) == 0 }
            #expect(
                try await onThread { try SecureConnection(port: port).exchange(get()).head }.hasPrefix("HTTP/1.1 200")
            )
        }
    }

    @Test func garbageIsRefused() async throws {
        let server = try RawServer.echo()
        let table = RouteTable.secured([server.port], [try await TestCertificates.usual()])
        try await withSecurePlane(table) { plane, port in
            try await onThread {
                for seed in UInt8(0)..<40 {
                    let client = try RawConnection(port: port)
                    let bytes = (0..<200).map { UInt8(truncatingIfNeeded: Int(seed) &* 37 &+ $0 &* $0) }
                    try client.send(seed % 2 == 0 ? bytes : [0x16, 0x03, 0x01, 0x00, 0xC0] + bytes)
                    client.shutdownSending()
                    _ = try? client.readToEnd()
                }
            }
            try await eventually { plane.value(of: .clients) == 0 }
            #expect(plane.value(of: .handshakes) == 0)
            #expect(
                try await onThread { try SecureConnection(port: port).exchange(get()).head }.hasPrefix("HTTP/1.1 200")
            )
        }
    }

    @Test func plainHTTPIsToldSo() async throws {
        let server = try RawServer.echo()
        let table = RouteTable.secured([server.port], [try await TestCertificates.usual()])
        try await withSecurePlane(table) { plane, port in
            let answer = try await onThread { try RawConnection(port: port).exchange(get()) }
            #expect(answer.status == 400)
            #expect(answer.text == "This port speaks HTTPS; plain HTTP was sent to it.\n")
            try await eventually { plane.value(of: .clients) == 0 }
        }
    }

    // MARK: - Listeners

    @Test func listenersOfATableOpenAndCloseTheirPorts() async throws {
        let server = try RawServer.echo()
        let certificate = try await TestCertificates.usual()
        // Ports that were free a moment ago.
        let (plain, secure) = try RawServer.freePorts()
        var table = RouteTable.single([server.port])
        table.listeners = [
            .init(name: "own"), .init(name: "plain", port: plain),
            .init(name: "secure", port: secure, tls: .init(certificates: [certificate])),
        ]
        table.rules[0].listeners = ["plain", "secure"]
        try await withSecurePlane(table, workers: 2) { plane, _ in
            try await onThread {
                let answer = try SecureConnection(port: secure).exchange(get())
                #expect(answer.head.hasPrefix("HTTP/1.1 200"))
                #expect(try RawConnection(port: plain).exchange(get()).status == 200)
                #expect(try RawConnection(port: plane.port).exchange(get()).status == 404)
            }
            table.listeners.removeAll { $0.name == "plain" }
            plane.publish(table)
            try await eventually { (try? RawConnection(port: plain)) == nil }
            #expect(try await onThread { try SecureConnection(port: secure).certificateName } == "example.test")
            #expect(plane.problems.isEmpty)
        }
    }

    @Test func aPortThatIsTakenIsNotShared() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port])) { other in
            var table = RouteTable.single([server.port])
            table.listeners = [.init(name: "own"), .init(name: "taken", port: other.port)]
            try await withDataPlane(table) { plane in
                #expect(plane.unavailablePorts == [other.port])
                #expect(
                    plane.problems == ["cannot listen on 127.0.0.1:\(other.port): Address already in use"]
                )
                let answer = try await onThread { try RawConnection(port: plane.port).exchange(get()) }
                #expect(answer.status == 200)
            }
            #expect(throws: GatewayError.self) {
                _ = try DataPlane(host: "127.0.0.1", port: other.port, workers: 1, configuration: .init())
            }
        }
    }

    @Test func redirectsKeepTheScheme() async throws {
        let certificate = try await TestCertificates.usual()
        var filters = RouteTable.Filters()
        filters.redirect = .init(path: .full("/new"))
        try await withSecurePlane(.secured([9], [certificate], filters: filters)) { _, port in
            let head = try await onThread { try SecureConnection(port: port).exchange(get()).head }
            #expect(head.split(separator: "\r\n").contains("Location: https://example.test/new"))
        }
    }

    @Test func anIdleConnectionIsSmall() {
        #expect(MemoryLayout<Connection>.stride <= 512)
    }

    @Test func theMostSpecificListenerTakesTheRequest() async throws {
        let server = try RawServer.echo()
        var table = RouteTable.single([server.port])
        table.listeners = [.init(name: "any"), .init(name: "wild", hostname: "*.example.test")]
        table.rules[0].listeners = ["any"]
        try await withDataPlane(table) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                #expect(try client.exchange(get(host: "example.test")).status == 200)
                #expect(try client.exchange(get(host: "a.example.test")).status == 404)
            }
        }
    }

    @Test func swapsUnderFreshConnectionsFailNothing() async throws {
        let server = try RawServer.echo()
        let certificates = [
            try await TestCertificates.make(["example.test"]), try await TestCertificates.make(["example.test"]),
        ]
        try await withSecurePlane(.secured([server.port], [certificates[0]]), workers: 2) { plane, port in
            let load = SecureLoad(port: port, clients: 4)
            for turn in 0..<60 {
                plane.publish(.secured([server.port], [certificates[turn % 2]]))
                let goal = load.answers + 5
                try await eventually { load.answers >= goal }
            }
            let failures = await load.stop()
            #expect(failures == [])
        }
    }
}

/// Clients over TLS that send requests until stopped, every second one with a fresh connection for each request.
final class SecureLoad: Sendable {
    private let state: Mutex<(answers: Int, failures: [String], running: Int, isStopped: Bool)>

    init(port: Int, clients: Int) {
        state = Mutex((0, [], clients, false))
        for number in 0..<clients { Thread.detachNewThread { self.run(port, isKept: number % 2 == 0) } }
    }

    var answers: Int { state.withLock(\.answers) }

    /// Waits for all clients to finish their request; what failed.
    func stop() async -> [String] {
        state.withLock { $0.isStopped = true }
        while state.withLock({ $0.running > 0 }) { try? await Task.sleep(for: .milliseconds(2)) }
        return state.withLock(\.failures)
    }

    private func run(_ port: Int, isKept: Bool) {
        var kept: SecureConnection?
        while !state.withLock(\.isStopped) {
            do {
                let client = try isKept ? kept ?? SecureConnection(port: port) : SecureConnection(port: port)
                let answer = try client.exchange(get())
                kept = answer.head.contains("Connection: close") ? nil : client
                state.withLock { state in
                    state.answers += 1
                    if !answer.head.hasPrefix("HTTP/1.1 200") { state.failures.append(answer.head) }
                }
            } catch {
                kept = nil
                state.withLock { $0.failures.append("\(error)") }
            }
        }
        state.withLock { $0.running -= 1 }
    }
}
