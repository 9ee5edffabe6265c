import CLinux
import Foundation
package import KubernetesClient
import KubernetesModel
package import Logging
package import ServiceLifecycle
import UnixSignals

/// A gateway: workers that serve, what follows the cluster or a configuration file, and the admin interface.
///
/// With a cluster it serves from the snapshot file at once, and goes on serving while the cluster is away. On graceful shutdown, or `POST /stop`, it
/// accepts no more, lets running requests finish within ``Configuration/gracePeriod`` and returns from `run()`; so it does after a
/// successor took its sockets over (``Configuration/takesOver``).
package struct GatewayProcess: Service {
    package struct Configuration: Sendable {
        /// A numeric address.
        package var host: String
        /// For plain HTTP; `nil` for none but those of listeners, zero for a free one.
        package var port: Int?
        /// For TLS; `nil` for none, zero for a free one.
        package var tlsPort: Int?
        /// Whether the listeners of Gateways are served at the ports that they name; else all are at the gateway's own.
        package var opensListenerPorts: Bool
        /// Takes the listening sockets of the gateway that runs behind the admin socket, where there is one.
        package var takesOver: Bool
        /// Zero takes one per processor.
        package var workers: Int
        package var adminSocket: String
        /// On 127.0.0.1, for reading only; zero takes a free one, `nil` none.
        package var adminPort: Int?
        package var snapshotFile: String?
        /// Takes the place of a cluster.
        package var file: File?
        /// Where clients reach the gateway, for the statuses of Gateways.
        package var addresses: [String]
        package var gracePeriod: Duration
        package var dataPath: DataPathConfiguration
        /// `nil` for none.
        package var accessLog: AccessLogSettings?
        /// Called once with the port when the workers listen.
        package var onListening: @Sendable (Int) -> Void
        package var onAdminListening: @Sendable (Int) -> Void = { _ in }

        /// A configuration file that is followed from now on.
        package struct File: Sendable {
            package var path: String
            /// What it says now.
            package var configuration: FileConfiguration
            /// Has it read again, as a signal does.
            package var reloads: AsyncStream<Void>?

            package init(path: String, configuration: FileConfiguration, reloads: AsyncStream<Void>? = nil) {
                self.path = path
                self.configuration = configuration
                self.reloads = reloads
            }
        }

        package init(
            host: String = "0.0.0.0",
            port: Int?,
            tlsPort: Int? = nil,
            opensListenerPorts: Bool = false,
            takesOver: Bool = false,
            workers: Int = 0,
            adminSocket: String,
            adminPort: Int? = nil,
            snapshotFile: String? = nil,
            file: File? = nil,
            addresses: [String] = [],
            gracePeriod: Duration = .seconds(30),
            dataPath: DataPathConfiguration = DataPathConfiguration(),
            accessLog: AccessLogSettings? = nil,
            onListening: @escaping @Sendable (Int) -> Void = { _ in }
        ) {
            self.host = host
            self.port = port
            self.tlsPort = tlsPort
            self.opensListenerPorts = opensListenerPorts
            self.takesOver = takesOver
            self.workers = workers
            self.adminSocket = adminSocket
            self.adminPort = adminPort
            self.snapshotFile = snapshotFile
            self.file = file
            self.addresses = addresses
            self.gracePeriod = gracePeriod
            self.dataPath = dataPath
            self.accessLog = accessLog
            self.onListening = onListening
        }
    }

    /// Finds the cluster, for as long as that takes.
    package typealias Connect = @Sendable () async throws -> any ClusterClient & Service

    private enum Cluster {
        case none
        case known(any ClusterClient)
        case found(Connect)
    }

    private enum Ending { case stopped, handedOver }

    private let configuration: Configuration
    private let cluster: Cluster
    private let compiler: GatewayCompilerSettings
    private let logger: Logger

    /// - Parameter client: `nil` serves from the snapshot file alone.
    package init(configuration: Configuration, client: (any ClusterClient)?, logger: Logger) {
        self.init(configuration, client.map { .known($0) } ?? .none, logger)
    }

    /// - Parameter connect: is called once and may wait until there is a cluster; the gateway serves meanwhile. It runs what it gets.
    package init(configuration: Configuration, connect: @escaping Connect, logger: Logger) {
        self.init(configuration, .found(connect), logger)
    }

    private init(_ configuration: Configuration, _ cluster: Cluster, _ logger: Logger) {
        self.configuration = configuration
        self.cluster = cluster
        self.logger = logger
        compiler = GatewayCompilerSettings(
            addresses: configuration.addresses,
            opensPorts: configuration.opensListenerPorts
        )
    }

    package func run() async throws {
        _ = clinux_raise_file_limit()
        let link = AdminSocketLink(path: configuration.adminSocket)
        let holder = try predecessor(behind: link)
        let plane = try makeDataPlane()
        let publisher = TablePublisher(plane: plane, grace: configuration.dataPath.holdTimeout, logger: logger)
        loadSnapshot(into: publisher)
        let (endings, end) = AsyncStream<Ending>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let follower = try await follower(publisher)
        let admin = admin(link, plane, publisher, follower, holder, end)
        do {
            try await withThrowingTaskGroup(of: Ending.self) { group in
                addController(publisher, to: &group)
                group.addTask { try await Self.running { try await admin.run() } }
                group.addTask { await Self.running { await publisher.run() } }
                group.addTask { await Self.running { await rotateTicketKeys(of: plane) } }
                addFollower(follower, to: &group)
                addAdminPort(plane, publisher, follower, isSuccessor: holder != nil, to: &group)
                group.addTask { await Self.running { await BackendWatch(plane: plane, logger: logger).run() } }
                if let log = plane.accessLog { group.addTask { await Self.running { await reopenOnSignal(log) } } }
                group.addTask { await waitForEnd(endings) }
                // Pods that are withdrawn from here on are withdrawn in this process and in its predecessor.
                if holder != nil { try await admin.waitUntilStarted() }
                try await listen(plane, publisher, holder)
                // Whatever ends first ends the gateway: a stop, a successor, or a part that failed.
                let ending = try await group.next()
                publisher.isStopping = true
                try await finish(plane, handingOver: ending == .handedOver)
                link.leave()
                group.cancelAll()
            }
        } catch {
            link.leave(to: holder)
            try await finish(plane)
            throw error
        }
        logger.info("The gateway has stopped")
    }

    // MARK: - Starting

    private func makeDataPlane() throws -> DataPlane {
        try DataPlane(
            ports: .init(host: configuration.host, plain: configuration.port, tls: configuration.tlsPort),
            workers: configuration.workers > 0 ? configuration.workers : Int(clinux_processor_count()),
            configuration: configuration.dataPath,
            accessLog: configuration.accessLog
        )
    }

    private func loadSnapshot(into publisher: TablePublisher) {
        guard let path = configuration.snapshotFile else { return }
        do {
            guard let objects = try SnapshotFile(path: path).load() else { return }
            publisher.apply(compiler.compile(objects).table)
            logger.info("Serving from the snapshot", metadata: ["file": "\(path)"])
        } catch {
            logger.warning("Cannot read the snapshot", metadata: ["file": "\(path)", "error": "\(error)"])
        }
    }

    /// The socket of the gateway that is to be taken over from.
    private func predecessor(behind link: AdminSocketLink) throws -> String? {
        guard link.isHeld else {
            link.removeDead()
            return nil
        }
        // The kernel would let both accept from the same ports.
        guard configuration.takesOver else {
            throw GatewayError(
                "a gateway runs already behind \(link.path); stop it, or take over from it with --take-over"
            )
        }
        guard let holder = link.holder else {
            throw GatewayError("the gateway behind \(link.path) is too old to be taken over from; stop it first")
        }
        return holder
    }

    /// Binds the ports, or takes them over from the gateway that runs.
    private func listen(_ plane: DataPlane, _ publisher: TablePublisher, _ predecessor: String?) async throws {
        if let predecessor {
            await waitForCluster(publisher)
            let taker = try await blocking { try HandOverTaker.ask(predecessor) }
            plane.ticketKeys.adopt(taker.inheritance.letter.ticketKeys)
            publisher.adopt(taker.inheritance.letter.withdrawals)
            try plane.listen(inheriting: taker.inheritance.sockets)
            try taker.confirm()
        } else {
            try plane.listen()
        }
        if configuration.file != nil, let problem = plane.problems.first { throw GatewayError(problem) }
        logger.info(
            "The gateway listens",
            metadata: [
                "host": "\(configuration.host)", "port": "\(plane.port)",
                "tlsPort": "\(plane.tlsPort.map(String.init) ?? "none")",
                "tookOver": "\(predecessor != nil)",
            ]
        )
        configuration.onListening(plane.port)
    }

    /// The snapshot may be older than what the predecessor serves. A cluster that is away is not waited for long.
    private func waitForCluster(_ publisher: TablePublisher) async {
        if case .none = cluster { return }
        let deadline = ContinuousClock.now + .seconds(3)
        while !publisher.isCurrent, ContinuousClock.now < deadline { try? await Task.sleep(for: .milliseconds(10)) }
    }

    private func addController(_ publisher: TablePublisher, to group: inout ThrowingTaskGroup<Ending, any Error>) {
        switch cluster {
        case .none: break
        case .known(let client):
            let controller = controller(client, publisher)
            group.addTask { try await Self.running { try await controller.run() } }
        case .found(let connect):
            group.addTask {
                try await Self.running {
                    let client = try await connect()
                    let controller = controller(client, publisher)
                    try await withThrowingDiscardingTaskGroup { group in
                        group.addTask { try await client.run() }
                        group.addTask { try await controller.run() }
                    }
                }
            }
        }
    }

    private func follower(_ publisher: TablePublisher) async throws -> ConfigurationFollower? {
        guard let file = configuration.file else { return nil }
        let follower = try ConfigurationFollower(
            path: file.path,
            configuration: file.configuration,
            publisher: publisher,
            logger: logger
        )
        await follower.start()
        logger.info("Serving from the configuration", metadata: ["file": "\(file.path)"])
        return follower
    }

    private func addFollower(
        _ follower: ConfigurationFollower?,
        to group: inout ThrowingTaskGroup<Ending, any Error>
    ) {
        guard let follower else { return }
        group.addTask { try await Self.running { try await follower.run() } }
        guard let reloads = configuration.file?.reloads else { return }
        group.addTask {
            for await _ in reloads { follower.requestReload() }
            // A stream that ends must not end the gateway.
            return await Self.running { try? await gracefulShutdown() }
        }
    }

    private func addAdminPort(
        _ plane: DataPlane,
        _ publisher: TablePublisher,
        _ follower: ConfigurationFollower?,
        isSuccessor: Bool,
        to group: inout ThrowingTaskGroup<Ending, any Error>
    ) {
        guard let port = configuration.adminPort else { return }
        let admin = AdminPort(
            port: port,
            reading: AdminReading(plane: plane, publisher: publisher, follower: follower),
            logger: logger,
            onPort: configuration.onAdminListening,
            patience: isSuccessor ? configuration.gracePeriod * 2 : .zero
        )
        group.addTask { try await Self.running { try await admin.run() } }
    }

    private func controller(_ client: any ClusterClient, _ publisher: TablePublisher) -> GatewayController {
        GatewayController(
            client: client,
            publisher: publisher,
            snapshot: configuration.snapshotFile.map(SnapshotFile.init),
            compiler: compiler,
            logger: logger
        )
    }

    private func admin(
        _ link: AdminSocketLink,
        _ plane: DataPlane,
        _ publisher: TablePublisher,
        _ follower: ConfigurationFollower?,
        _ predecessor: String?,
        _ end: AsyncStream<Ending>.Continuation
    ) -> AdminServer {
        AdminServer(
            link: link,
            plane: plane,
            publisher: publisher,
            follower: follower,
            predecessor: predecessor.map(GatewayDrainClient.init),
            logger: logger,
            handOver: { path in
                try await Self.handOver(plane, publisher, to: path)
                end.yield(.handedOver)
            },
            stop: { end.yield(.stopped) }
        )
    }

    // MARK: - Running

    private static func running(_ body: () async throws -> Void) async rethrows -> Ending {
        try await body()
        return .stopped
    }

    /// SIGUSR1, as for nginx: the file was moved away, and a new one is wanted in its place.
    private func reopenOnSignal(_ accessLog: AccessLog) async {
        await cancelWhenGracefulShutdown {
            for await _ in await UnixSignalsSequence(trapping: .sigusr1) {
                accessLog.reopen()
                logger.info("Opened the access log again")
            }
        }
    }

    private func rotateTicketKeys(of plane: DataPlane) async {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                try? await Task.sleep(for: .seconds(60))
                plane.ticketKeys.rotate(now: Int(Date().timeIntervalSince1970))
            }
        }
    }

    private func waitForEnd(_ endings: AsyncStream<Ending>) async -> Ending {
        await cancelWhenGracefulShutdown {
            for await ending in endings { return ending }
            return .stopped
        }
    }

    // MARK: - Ending

    private static func handOver(_ plane: DataPlane, _ publisher: TablePublisher, to path: String) async throws {
        let listening = plane.listening
        guard !listening.isEmpty else { throw GatewayError("this gateway is stopping already") }
        let giver = HandOverGiver(
            letter: HandOverLetter(
                sockets: listening.map { .init(address: $0, count: $1.count) },
                ticketKeys: plane.ticketKeys.all,
                withdrawals: publisher.withdrawals
            ),
            descriptors: listening.flatMap { $1 }
        )
        try await blocking { try giver.give(to: path) }
    }

    private func finish(_ plane: DataPlane, handingOver: Bool = false) async throws {
        logger.info(handingOver ? "A successor took over" : "The gateway stops")
        let milliseconds = Int(configuration.gracePeriod / .milliseconds(1))
        try await blocking { plane.stop(within: milliseconds, handingOver: handingOver) }
    }
}
