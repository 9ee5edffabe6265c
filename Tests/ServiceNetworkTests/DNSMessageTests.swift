import Testing

@testable import ServiceNetwork

struct DNSMessageTests {
    private func query(_ name: String, type: DNSMessage.RecordType = .a) -> DNSMessage {
        DNSMessage(id: 0x1234, question: .init(name: DNSName(name), type: type))
    }

    @Test func readsWhatItWrites() throws {
        let message = query("web.shop.svc.cluster.local", type: .srv)
        #expect(try DNSMessage(parsing: message.encoded(limit: 512)) == message)
    }

    @Test func knowsTheSendersLimit() throws {
        var bytes = query("a.b").encoded(limit: 512)
        bytes[11] = 1
        bytes += [0, 0, 41, 0x10, 0x00, 0, 0, 0, 0, 0, 0]
        let message = try DNSMessage(parsing: bytes)
        #expect(message.hasEDNS)
        #expect(message.maximumPayload == 4096)
    }

    @Test func cutsAnswersThatAreTooLong() throws {
        var message = query("web.shop.svc.cluster.local")
        message.isResponse = true
        message.answers = (0..<100).map {
            .init(name: message.question.name, timeToLive: 5, payload: .a(IPv4Address(UInt32($0))))
        }
        let cut = message.encoded(limit: 512)
        #expect(cut.count <= 512)
        #expect(cut[2] & 0x02 != 0, "the truncation flag is set")
        #expect(message.encoded(limit: 65_535).count > 512)
    }

    @Test func findsTheAddressesOfAResponse() {
        var message = query("example.com")
        message.isResponse = true
        let name = message.question.name
        message.answers = [
            .init(name: name, timeToLive: 5, payload: .cname(DNSName("other.example.com"))),
            .init(name: DNSName("other.example.com"), timeToLive: 5, payload: .a(IPv4Address(0x0102_0304))),
        ]
        #expect(DNSMessage.addresses(inResponse: message.encoded(limit: 512)) == [IPv4Address(0x0102_0304)])
    }

    @Test func refusesNamesThatPointAtThemselves() {
        let bytes: [UInt8] = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xC0, 0x0C, 0, 1, 0, 1]
        #expect(throws: DNSFormatError(id: 1)) { try DNSMessage(parsing: bytes) }
    }

    /// Whatever arrives is read or refused; it never ends the program.
    @Test func survivesRandomAndDamagedMessages() {
        var generator = SystemRandomNumberGenerator()
        let valid = query("web.shop.svc.cluster.local").encoded(limit: 512)
        for round in 0..<20_000 {
            var bytes = round % 2 == 0 ? valid : (0..<Int.random(in: 0...80)).map { _ in UInt8.random(in: 0...255) }
            for _ in 0..<Int.random(in: 0...4) where !bytes.isEmpty {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255)
            }
            bytes = Array(bytes.prefix(Int.random(in: 0...100)))
            do {
                _ = try DNSMessage(parsing: bytes).encoded(limit: 512)
            } catch {
                #expect(error.id == nil || bytes.count >= 2)
            }
            _ = DNSMessage.addresses(inResponse: bytes)
        }
    }
}
