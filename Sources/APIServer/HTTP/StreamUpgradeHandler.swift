import KubernetesModel
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix

/// Takes requests to upgrade out of an HTTP connection and turns the connection into a tunnel to a streaming server.
///
/// It sits right behind the HTTP decoder, so that what follows in the pipeline never sees such a request. A refused request is answered
/// with an error and ends the connection, because the decoder reads nothing after a request to upgrade.
final class StreamUpgradeHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private enum State {
        case passing
        case collecting(HTTPRequestHead)
        case upgrading
    }

    private let upgrade: StreamUpgrade
    private var state = State.passing

    init(_ upgrade: StreamUpgrade) {
        self.upgrade = upgrade
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch (state, unwrapInboundIn(data)) {
        case (.passing, .head(let head)) where StreamUpgrade.isUpgrade(head): state = .collecting(head)
        case (.passing, _): context.fireChannelRead(data)
        case (.collecting(let head), .end):
            state = .upgrading
            begin(head, context)
        case (.collecting, _), (.upgrading, _): break
        }
    }

    /// A client of the API that sends no more has gone: what it waited for must not go on. Ends of tunnels never come this far.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? ChannelEvent, event == .inputClosed else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        context.close(promise: nil)
    }

    // MARK: - Private

    private func begin(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        let (upgrade, channel) = (upgrade, context.channel)
        let loopBound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
        // The one place where the event loop must wait for an asynchronous answer; the future carries cancellation by closing.
        context.eventLoop.makeFutureWithTask { () -> StreamEndpoint in
            try await upgrade.endpoint(for: head)
        }.flatMap { endpoint in
            StreamTunnel.open(channel, to: endpoint, sending: upgrade.forwarded(head, to: endpoint))
        }.whenFailure { error in
            let (handler, context) = loopBound.value
            handler.refuse(error, context)
        }
    }

    private func refuse(_ error: any Error, _ context: ChannelHandlerContext) {
        let status = error as? StatusError ?? .internalError("the stream could not be opened: \(error)")
        let body = status.json.encoded()
        var head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: status.code))
        head.headers.add(name: "Content-Type", value: "application/json")
        head.headers.add(name: "Content-Length", value: String(body.count))
        head.headers.add(name: "Connection", value: "close")
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
    }
}

/// Joins two connections byte for byte.
enum StreamTunnel {
    private static let connectTimeout = TimeAmount.seconds(5)

    /// Connects to `endpoint`, sends it `request`, and passes on everything that either side sends from then on.
    ///
    /// The tunnel's end is put in front of the channel's HTTP handlers, which stay and see nothing any more.
    static func open(
        _ channel: any Channel,
        to endpoint: StreamEndpoint,
        sending request: [UInt8]
    )
        -> EventLoopFuture<Void>
    {
        ClientBootstrap(group: channel.eventLoop)
            .connectTimeout(connectTimeout)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .connect(host: endpoint.host, port: endpoint.port)
            .flatMapThrowing { server in
                let (clientEnd, serverEnd) = TunnelEnd.pair()
                let encoder = try channel.pipeline.syncOperations.context(handlerType: HTTPResponseEncoder.self)
                try channel.pipeline.syncOperations.addHandler(
                    clientEnd,
                    position: .before(encoder.handler)
                )
                try server.pipeline.syncOperations.addHandler(serverEnd)
                server.writeAndFlush(ByteBuffer(bytes: request), promise: nil)
            }
    }
}

/// One end of a tunnel. Reads only while the other end can write, so that a slow side slows the other one down.
final class TunnelEnd: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var other: TunnelEnd?
    private var context: ChannelHandlerContext?
    private var hasHeldRead = false

    static func pair() -> (TunnelEnd, TunnelEnd) {
        let (first, second) = (TunnelEnd(), TunnelEnd())
        first.other = second
        second.other = first
        return (first, second)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        other = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        other?.context?.write(data, promise: nil)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        other?.context?.flush()
    }

    func channelInactive(context: ChannelHandlerContext) {
        other?.context?.close(promise: nil)
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? ChannelEvent, event == .inputClosed else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        other?.context?.close(mode: .output, promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { other?.resumeReading() }
    }

    func read(context: ChannelHandlerContext) {
        if other?.context?.channel.isWritable ?? true {
            context.read()
        } else {
            hasHeldRead = true
        }
    }

    private func resumeReading() {
        guard hasHeldRead else { return }
        hasHeldRead = false
        context?.read()
    }
}
