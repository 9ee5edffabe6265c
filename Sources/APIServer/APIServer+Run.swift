import HummingbirdCore
import HummingbirdTLS
import KubernetesModel
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import ServiceLifecycle

extension APIServer {
    private static let bookmarkInterval = Duration.seconds(30)
    private static let sweepInterval = Duration.seconds(60)

    /// Prepares, then serves every listener and keeps the store tidy, until shutdown; then ends watches and closes the store.
    package func run() async throws {
        try await prepare()
        let servers = try makeServers()
        let result: Result<Void, any Error>
        do {
            try await withGracefulShutdownHandler {
                try await serve(servers)
            } onGracefulShutdown: {
                self.front.isReady = false
                self.service.store.endWatches()
            }
            result = .success(())
        } catch {
            result = .failure(error)
        }
        front.isReady = false
        try await service.store.close()
        try result.get()
    }

    // MARK: - Private

    private func serve(_ servers: [any Service]) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for server in servers { group.addTask { try await server.run() } }
            group.addTask {
                await Self.repeatedly(every: Self.bookmarkInterval) { self.service.store.sendBookmarks() }
            }
            group.addTask { await Self.repeatedly(every: Self.sweepInterval) { await self.sweep() } }
            // The first to end is a listener that failed or everything that shuts down.
            try await group.next()
            group.cancelAll()
        }
    }

    private static func repeatedly(every interval: Duration, _ work: () async -> Void) async {
        while !Task.isCancelled {
            do {
                try await cancelWhenGracefulShutdown { try await Task.sleep(for: interval) }
            } catch {
                // Stays until the listeners are done, so that it is not the first to end.
                return await untilCancelled()
            }
            await work()
        }
    }

    private static func untilCancelled() async {
        let (stream, _) = AsyncStream<Never>.makeStream()
        for await _ in stream {}
    }

    private func sweep() async {
        do {
            try await service.expireEvents()
            try await service.store.compact()
        } catch {
            logger.warning("the store could not be tidied", metadata: ["error": "\(error)"])
        }
    }

    private func makeServers() throws -> [any Service] {
        let tls = try tlsConfiguration()
        return try configuration.listeners.enumerated().map { index, listener in
            try TLSChannel(APIChannel(front: front), tlsConfiguration: tls).server(
                configuration: ServerConfiguration(address: .hostname(listener.host, port: listener.port)),
                onServerRunning: { channel in await self.isServing(channel, listener, isFirst: index == 0) },
                eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
                logger: logger
            )
        }
    }

    private func isServing(_ channel: any Channel, _ listener: ListenAddress, isFirst: Bool) async {
        guard isFirst else { return }
        do {
            try didBind(port: channel.localAddress?.port ?? listener.port, host: listener.host)
            front.isReady = true
        } catch {
            logger.error("the kubeconfig could not be written", metadata: ["error": "\(error)"])
        }
    }

    private func tlsConfiguration() throws -> TLSConfiguration {
        let names = [
            "localhost", "127.0.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local", service.addresses.first.description,
        ]
        let listeners = configuration.listeners.map(\.host).filter { $0 != "0.0.0.0" && $0 != "::" }
        let all = OrderedSet(names + listeners + configuration.extraNames)
        let identity = try authority.serverIdentity(names: Array(all))
        let certificate = try NIOSSLCertificate(bytes: Array(identity.certificate.utf8), format: .pem)
        var tls = TLSConfiguration.makeServerConfiguration(
            certificateChain: [.certificate(certificate)],
            privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(identity.key.utf8), format: .pem))
        )
        tls.minimumTLSVersion = .tlsv12
        tls.applicationProtocols = ["http/1.1"]
        return tls
    }
}
