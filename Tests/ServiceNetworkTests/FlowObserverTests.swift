import Testing

@testable import ServiceNetwork

struct FlowObserverTests {
    private let line = """
        tcp      6 86399 ESTABLISHED src=10.42.0.5 dst=10.43.0.7 sport=40000 dport=80 packets=5 bytes=700 src=10.42.0.2 \
        dst=10.42.0.5 sport=8080 dport=40000 packets=4 bytes=900 [ASSURED] mark=0 use=1
        tcp      6 10 TIME_WAIT src=10.42.0.5 dst=10.43.0.7 sport=40001 dport=80 src=10.42.0.2 dst=10.42.0.5 sport=8080 dport=40001
        """

    @Test func readsEstablishedConnectionsOnly() throws {
        let flow = try #require(TrackedFlow.parse(line).first)
        #expect(TrackedFlow.parse(line).count == 1)
        #expect(flow.client.description == "10.42.0.5")
        #expect(flow.clientPort == 40000)
        #expect(flow.payload == 1600 - 9 * 52)
    }

    @Test func isIdleOnceNothingMovedForTheWholeTime() {
        func flow(_ payload: Int) -> TrackedFlow {
            TrackedFlow(client: IPv4Address(1), clientPort: 1, serverPort: 80, payload: payload)
        }
        var observer = FlowObserver(idleAfter: .seconds(1))
        let start = ContinuousClock.now
        let looks: [(payload: Int?, milliseconds: Int, isIdle: Bool)] = [
            (nil, 0, true),
            (100, 0, false),
            (100, 900, false),
            (300, 950, false),  // payload moved, so the time starts anew
            (320, 1900, false),  // an acknowledgement is no payload
            (320, 1950, true),
        ]
        for look in looks {
            let flows = look.payload.map { [flow($0)] } ?? []
            let isIdle = observer.isIdle(flows, at: start + .milliseconds(look.milliseconds))
            #expect(isIdle == look.isIdle, "after \(look.milliseconds) ms")
        }
    }
}
