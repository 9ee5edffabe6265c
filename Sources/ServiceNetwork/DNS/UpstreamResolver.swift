import Foundation
import NIOCore
import NIOPosix

/// Asks the machine's own name servers what the cluster does not know.
package struct UpstreamResolver: Sendable {
    /// Each server is given this long, and all are asked twice.
    package static let timeout = Duration.seconds(2)

    private let servers: [SocketAddress]

    /// - Parameter excluding: addresses that lead back to the cluster's own server.
    package init(resolverConfiguration text: String, excluding: Set<String> = []) {
        servers = text.split(separator: "\n").compactMap { line in
            let words = line.split(whereSeparator: \.isWhitespace)
            guard words.count >= 2, words[0] == "nameserver", !excluding.contains(String(words[1])) else { return nil }
            return try? SocketAddress(ipAddress: String(words[1]), port: 53)
        }
    }

    package static func machine(excluding: Set<String>) -> UpstreamResolver {
        let text = (try? String(contentsOfFile: "/etc/resolv.conf", encoding: .utf8)) ?? ""
        return UpstreamResolver(resolverConfiguration: text, excluding: excluding)
    }

    init(servers: [SocketAddress]) { self.servers = servers }

    /// The first answer any server gives to `query`, or `nil`.
    func ask(_ query: [UInt8], overStream: Bool) async -> [UInt8]? {
        for _ in 0..<2 {
            for server in servers {
                if let answer = await ask(query, server, overStream: overStream) { return answer }
                if Task.isCancelled { return nil }
            }
        }
        return nil
    }

    // MARK: - Private

    private func ask(_ query: [UInt8], _ server: SocketAddress, overStream: Bool) async -> [UInt8]? {
        await withTaskGroup(of: [UInt8]?.self) { group in
            group.addTask {
                overStream ? try? await askByStream(query, server) : try? await askByDatagram(query, server)
            }
            group.addTask {
                try? await Task.sleep(for: Self.timeout)
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
    }

    /// Only an answer from the server that was asked and with the query's id counts.
    private func askByDatagram(_ query: [UInt8], _ server: SocketAddress) async throws -> [UInt8]? {
        let channel = try await DatagramBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connect(to: server) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<AddressedEnvelope<ByteBuffer>, AddressedEnvelope<ByteBuffer>>(
                        wrappingChannelSynchronously: channel
                    )
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(AddressedEnvelope(remoteAddress: server, data: ByteBuffer(bytes: query)))
            for try await envelope in inbound {
                let answer = Array(envelope.data.readableBytesView)
                if answer.prefix(2) == query.prefix(2) { return answer }
            }
            return nil
        }
    }

    private func askByStream(_ query: [UInt8], _ server: SocketAddress) async throws -> [UInt8]? {
        let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connect(to: server) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            var frame = ByteBuffer(integer: UInt16(query.count))
            frame.writeBytes(query)
            try await outbound.write(frame)
            var received = ByteBuffer()
            for try await part in inbound {
                received.writeImmutableBuffer(part)
                if let length = received.getInteger(at: 0, as: UInt16.self), received.readableBytes >= Int(length) + 2 {
                    return received.getBytes(at: 2, length: Int(length))
                }
            }
            return nil
        }
    }
}
