import NIOCore
import NIOPosix

/// One active check: a connection, and where a path is given a GET request whose status must be an expected one.
struct HealthProbe: Sendable {
    let endpoint: EndpointRecord.Key
    let policy: BackendPolicy.HealthCheck

    /// - Returns: whether the endpoint answered well within the policy's timeout. Never throws: whatever goes wrong is a failed check.
    func run() async -> Bool {
        let timeout = TimeAmount.milliseconds(Int64(max(1, policy.timeout)))
        let request = self.request
        let expected = policy.expectedStatuses
        let verdict = MultiThreadedEventLoopGroup.singleton.any().makePromise(of: Bool.self)
        let bootstrap = ClientBootstrap(group: verdict.futureResult.eventLoop)
            .connectTimeout(timeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = StatusReader(request: request, expected: expected, timeout: timeout, verdict: verdict)
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
        bootstrap.connect(host: endpoint.address, port: policy.port ?? endpoint.port)
            .whenFailure { _ in verdict.succeed(false) }
        return (try? await verdict.futureResult.get()) ?? false
    }

    private var request: String? {
        guard let path = policy.path else { return nil }
        let address = endpoint.address.contains(":") ? "[\(endpoint.address)]" : endpoint.address
        let host = policy.host ?? "\(address):\(policy.port ?? endpoint.port)"
        return "GET \(path) HTTP/1.1\r\nHost: \(host)\r\nUser-Agent: sampan-health\r\nConnection: close\r\n\r\n"
    }
}

/// Sends the request, reads up to the status and closes.
private final class StatusReader: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private static let prefix = "HTTP/1."
    private static let length = "HTTP/1.1 200".utf8.count

    private let request: String?
    private let expected: [ClosedRange<Int>]
    private let timeout: TimeAmount
    private let verdict: EventLoopPromise<Bool>
    private var received = ByteBuffer()
    private var limit: Scheduled<Void>?
    private var isDone = false

    init(request: String?, expected: [ClosedRange<Int>], timeout: TimeAmount, verdict: EventLoopPromise<Bool>) {
        self.request = request
        self.expected = expected
        self.timeout = timeout
        self.verdict = verdict
    }

    func channelActive(context: ChannelHandlerContext) {
        guard let request else { return finish(context, true) }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        limit = context.eventLoop.scheduleTask(in: timeout) { bound.value.0.finish(bound.value.1, false) }
        context.writeAndFlush(NIOAny(ByteBuffer(string: request)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        received.writeImmutableBuffer(unwrapInboundIn(data))
        guard received.readableBytes >= Self.length, let line = received.getString(at: 0, length: Self.length) else {
            return
        }
        let status = Int(line.suffix(3))
        finish(context, line.hasPrefix(Self.prefix) && status.map { code in expected.contains { $0 ~= code } } ?? false)
    }

    func channelInactive(context: ChannelHandlerContext) { finish(context, false) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { finish(context, false) }

    private func finish(_ context: ChannelHandlerContext, _ isGood: Bool) {
        guard !isDone else { return }
        isDone = true
        limit?.cancel()
        verdict.succeed(isGood)
        context.close(promise: nil)
    }
}
