package import KubernetesClient
import KubernetesModel
package import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization

/// The cluster's name server: answers for the cluster's own names from the informers' stores and passes all others on.
package final class NameServer: Service {
    private let configuration: NetworkConfiguration
    private let address: String
    private let port: Int
    private let services: Informer
    private let slices: Informer
    private let upstream: UpstreamResolver
    private let logger: Logger
    private let zone: Mutex<ClusterZone?>
    private let pending = Atomic(0)

    /// - Parameter address: the machine's own address where pods find the server, behind the service address.
    package init(
        configuration: NetworkConfiguration,
        address: String,
        port: Int = 53,
        services: Informer,
        slices: Informer,
        upstream: UpstreamResolver,
        logger: Logger
    ) {
        self.configuration = configuration
        self.address = address
        self.port = port
        self.services = services
        self.slices = slices
        self.upstream = upstream
        self.logger = logger
        zone = Mutex(nil)
        for informer in [services, slices] {
            informer.onChange { [weak self] _, _ in self?.zone.withLock { $0 = nil } }
        }
    }

    package func run() async throws {
        try await cancelWhenGracefulShutdown {
            let datagrams = try await self.bindDatagrams()
            let connections = try await self.bindConnections()
            self.logger.info("name server listens", metadata: ["address": "\(self.address):\(self.port)"])
            try await withThrowingDiscardingTaskGroup { group in
                group.addTask { try await self.serve(datagrams) }
                group.addTask { try await self.serve(connections) }
            }
        }
    }

    // MARK: - Answers

    /// The answer to `query`, or `nil` where none can be given.
    func answer(_ query: [UInt8], limit: Int?) async -> [UInt8]? {
        let message: DNSMessage
        do {
            message = try DNSMessage(parsing: query)
        } catch {
            return error.id.map { formatError(id: $0) }
        }
        guard message.operation == 0 else { return reply(to: message, code: .notImplemented).encoded(limit: 512) }
        let limit = limit ?? message.maximumPayload
        let resolution = currentZone().resolve(message.question)
        switch resolution.answer {
        case .records(let records): return reply(to: message, resolution.aliases + records).encoded(limit: limit)
        case .noData: return negative(to: message, code: .noError, resolution.aliases).encoded(limit: limit)
        case .nameError: return negative(to: message, code: .nameError, resolution.aliases).encoded(limit: limit)
        case .notOurs where resolution.aliases.isEmpty:
            return await upstream.ask(query, overStream: limit > 4096)
                ?? reply(to: message, code: .serverFailure).encoded(limit: limit)
        case .notOurs: return await follow(resolution, for: message).encoded(limit: limit)
        case .alias: return reply(to: message, code: .serverFailure).encoded(limit: limit)
        }
    }

    /// Stub resolvers do not follow an alias themselves, so the answer carries the target's addresses too.
    private func follow(_ resolution: ClusterZone.Resolution, for message: DNSMessage) async -> DNSMessage {
        let target = resolution.question.name
        let question = DNSMessage(id: message.id, question: .init(name: target, type: .a))
        guard let answer = await upstream.ask(question.encoded(limit: 512), overStream: false) else {
            return reply(to: message, code: .serverFailure)
        }
        let addresses = message.question.type == .a ? DNSMessage.addresses(inResponse: answer) : []
        let records = addresses.map {
            DNSMessage.Record(name: target, timeToLive: ClusterZone.timeToLive, payload: .a($0))
        }
        return reply(to: message, resolution.aliases + records)
    }

    private func currentZone() -> ClusterZone {
        if let zone = zone.withLock({ $0 }) { return zone }
        let fresh = ClusterZone(
            services: services.snapshot(),
            slices: slices.snapshot(),
            configuration: configuration
        )
        zone.withLock { $0 = fresh }
        return fresh
    }

    private func reply(to message: DNSMessage, code: DNSMessage.ResponseCode) -> DNSMessage {
        var reply = message
        reply.isResponse = true
        reply.isAuthoritative = code == .noError || code == .nameError
        reply.code = code
        return reply
    }

    private func reply(to message: DNSMessage, _ answers: [DNSMessage.Record]) -> DNSMessage {
        var reply = reply(to: message, code: .noError)
        reply.answers = answers
        return reply
    }

    private func negative(
        to message: DNSMessage,
        code: DNSMessage.ResponseCode,
        _ aliases: [DNSMessage.Record]
    ) -> DNSMessage {
        var reply = reply(to: message, code: code)
        reply.answers = aliases
        reply.authority = [currentZone().authority]
        return reply
    }

    private func formatError(id: UInt16) -> [UInt8] {
        [UInt8(id >> 8), UInt8(truncatingIfNeeded: id), 0x80, 0x01, 0, 0, 0, 0, 0, 0, 0, 0]
    }
}

// MARK: - Transport

extension NameServer {
    private typealias Datagrams = NIOAsyncChannel<AddressedEnvelope<ByteBuffer>, AddressedEnvelope<ByteBuffer>>
    private typealias Connection = NIOAsyncChannel<ByteBuffer, ByteBuffer>

    /// Queries and connections at work at once; more are dropped and asked again by their senders.
    private static let maximumPending = 256

    private func begin() -> Bool {
        let (_, now) = pending.add(1, ordering: .relaxed)
        if now <= Self.maximumPending { return true }
        pending.subtract(1, ordering: .relaxed)
        return false
    }

    private func bindDatagrams() async throws -> Datagrams {
        try await DatagramBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .channelOption(.socketOption(.so_reuseaddr), value: 1)
            .bind(host: address, port: port) { channel in
                channel.eventLoop.makeCompletedFuture { try Datagrams(wrappingChannelSynchronously: channel) }
            }
    }

    private func bindConnections() async throws -> NIOAsyncChannel<Connection, Never> {
        try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .bind(host: address, port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(DNSFrameDecoder()))
                    return try Connection(wrappingChannelSynchronously: channel)
                }
            }
    }

    private func serve(_ channel: Datagrams) async throws {
        try await channel.executeThenClose { inbound, outbound in
            try await withThrowingDiscardingTaskGroup { group in
                for try await envelope in inbound {
                    guard self.begin() else { continue }
                    group.addTask {
                        defer { self.pending.subtract(1, ordering: .relaxed) }
                        guard let answer = await self.answer(Array(envelope.data.readableBytesView), limit: nil) else {
                            return
                        }
                        let data = ByteBuffer(bytes: answer)
                        try? await outbound.write(AddressedEnvelope(remoteAddress: envelope.remoteAddress, data: data))
                    }
                }
            }
        }
    }

    private func serve(_ server: NIOAsyncChannel<Connection, Never>) async throws {
        try await server.executeThenClose { connections in
            try await withThrowingDiscardingTaskGroup { group in
                for try await connection in connections {
                    guard self.begin() else {
                        try? await connection.channel.close()
                        continue
                    }
                    group.addTask {
                        defer { self.pending.subtract(1, ordering: .relaxed) }
                        try? await self.serve(connection)
                    }
                }
            }
        }
    }

    private func serve(_ connection: Connection) async throws {
        try await connection.executeThenClose { inbound, outbound in
            for try await query in inbound {
                guard let answer = await answer(Array(query.readableBytesView), limit: 65_535) else { return }
                var frame = ByteBuffer(integer: UInt16(answer.count))
                frame.writeBytes(answer)
                try await outbound.write(frame)
            }
        }
    }
}

/// Cuts a TCP stream into messages by their two-byte lengths (RFC 1035 §4.2.2).
private struct DNSFrameDecoder: NIOSingleStepByteToMessageDecoder, ByteToMessageDecoder {
    typealias InboundOut = ByteBuffer

    mutating func decode(buffer: inout ByteBuffer) throws -> ByteBuffer? {
        guard let length = buffer.getInteger(at: buffer.readerIndex, as: UInt16.self),
            buffer.readableBytes >= Int(length) + 2
        else { return nil }
        buffer.moveReaderIndex(forwardBy: 2)
        return buffer.readSlice(length: Int(length))
    }

    mutating func decodeLast(buffer: inout ByteBuffer, seenEOF: Bool) throws -> ByteBuffer? {
        try decode(buffer: &buffer)
    }

    mutating func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
        guard let frame = try decode(buffer: &buffer) else { return .needMoreData }
        context.fireChannelRead(wrapInboundOut(frame))
        return .continue
    }

    mutating func decodeLast(
        context: ChannelHandlerContext,
        buffer: inout ByteBuffer,
        seenEOF: Bool
    ) throws -> DecodingState {
        try decode(context: context, buffer: &buffer)
    }
}
