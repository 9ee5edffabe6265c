import Testing

@testable import ServiceNetwork

struct IPv4Tests {
    @Test(arguments: ["0.0.0.0", "10.42.0.1", "255.255.255.255"])
    func readsAndWritesAddresses(_ text: String) {
        #expect(IPv4Address(text)?.description == text)
    }

    @Test(arguments: ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "a.b.c.d", "1.2.3.4 ", "-1.2.3.4"])
    func refusesWhatIsNoAddress(_ text: String) {
        #expect(IPv4Address(text) == nil)
    }

    @Test func knowsWhatANetworkContains() throws {
        let network = try #require(IPv4Network("10.42.0.0/16"))
        #expect(network.contains(try #require(IPv4Address("10.42.255.1"))))
        #expect(!network.contains(try #require(IPv4Address("10.43.0.1"))))
        #expect(network.address(10).description == "10.42.0.10")
    }

    @Test(arguments: ["10.42.0.1/16", "10.42.0.0", "10.42.0.0/33", "10.42.0.0/x", "/16"])
    func refusesWhatIsNoNetwork(_ text: String) {
        #expect(IPv4Network(text) == nil)
    }
}
