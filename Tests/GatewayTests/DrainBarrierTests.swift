import Foundation
import KubernetesModel
import Logging
import Synchronization
import Testing

@testable import Gateway

@Suite(.serialized) struct DrainBarrierTests {
    private static func table(_ endpoints: [(address: String, port: Int)]) -> RouteTable {
        var table = RouteTable.single([])
        table.backends[0].endpoints = endpoints.map {
            RouteTable.Endpoint(address: $0.address, port: $0.port, uid: "\($0.address):\($0.port)")
        }
        return table
    }

    private static func publisher(_ plane: DataPlane) -> TablePublisher {
        TablePublisher(plane: plane, logger: Logger(label: "test"))
    }

    @Test func waitsForWhatIsInFlight() async throws {
        let isHeld = Mutex(true)
        let slow = try RawServer { connection in
            _ = try connection.readHead()
            while isHeld.withLock(\.self) { usleep(1000) }
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        }
        let other = try RawServer.echo()
        try await withDataPlane(RouteTable()) { plane in
            let publisher = Self.publisher(plane)
            publisher.apply(Self.table([("127.0.0.1", slow.port)]))
            async let answer = onThread { try RawConnection(port: plane.port).exchange(get()).text }
            try await eventually { slow.accepted == 1 }
            publisher.apply(Self.table([("127.0.0.1", slow.port), ("127.0.0.2", other.port)]))
            let early = await publisher.withdraw("127.0.0.1", within: .milliseconds(50))
            #expect(early == 1)
            isHeld.withLock { $0 = false }
            let late = await publisher.withdraw("127.0.0.1", within: .seconds(5))
            #expect(late == 0)
            #expect(try await answer == "done")
        }
    }

    @Test func countsTunnelsUntilTheDeadline() async throws {
        let server = try RawServer { connection in
            _ = try connection.readHead()
            try connection.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
            while try !connection.receive().isEmpty {}
        }
        try await withDataPlane(RouteTable()) { plane in
            let publisher = Self.publisher(plane)
            publisher.apply(Self.table([("127.0.0.1", server.port), ("127.0.0.9", 1)]))
            let client = try RawConnection(port: plane.port)
            try client.send(get(extra: "Connection: upgrade\r\nUpgrade: x\r\n"))
            #expect(try client.readHead()?.status == 101)
            let inFlight = await publisher.withdraw("127.0.0.1", within: .milliseconds(100))
            #expect(inFlight == 1)
            client.shutdownSending()
            #expect(await publisher.withdraw("127.0.0.1", within: .seconds(5)) == 0)
        }
    }

    /// Pods that are replaced one after the other, and exit the moment their withdrawal is confirmed: no request may fail, neither on
    /// kept nor on fresh connections. The new pod becomes known only after the old one was asked to go, as with one replica.
    @Test func losesNoRequestWhenPodsExitRightAfterTheirWithdrawal() async throws {
        try await withDataPlane(RouteTable(), workers: 2) { plane in
            let publisher = Self.publisher(plane)
            var server = try RawServer.echo(name: "0")
            publisher.apply(Self.table([("127.0.0.1", server.port)]))
            let load = Load(port: plane.port, clients: 6)
            for number in 2...31 {
                let next = try RawServer.echo(name: "\(number)")
                let address = "127.0.0.\(number)"
                let inFlight = try await Self.replace(publisher, "127.0.0.\(number - 1)", by: (address, next.port))
                #expect(inFlight == 0)
                server.stop()
                server = next
            }
            try await eventually { load.answers > 100 }
            let result = await load.stop()
            #expect(result.failures == [])
        }
    }

    private static func replace(
        _ publisher: TablePublisher,
        _ old: String,
        by new: (address: String, port: Int)
    ) async throws -> Int {
        async let inFlight = publisher.withdraw(old, within: .seconds(5))
        try await Task.sleep(for: .milliseconds(30))
        publisher.apply(table([new]))
        return await inFlight
    }

    @Test func confirmsAtOnceWhereNoGatewayRuns() async {
        let client = GatewayDrainClient(socketPath: "/tmp/no-gateway-\(UInt32.random(in: 0 ... .max)).sock")
        #expect(await client.withdraw(podIP: "10.0.0.1", deadline: .seconds(1)))
    }
}
