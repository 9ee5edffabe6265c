import CLinux
package import KubernetesClient
import KubernetesModel
package import Logging
import ServiceLifecycle

/// A gateway: workers that serve, a controller that follows the cluster, and the admin socket.
///
/// Serves from the snapshot file at once, and goes on serving while the cluster is away. On graceful shutdown, or `POST /stop`, it
/// accepts no more, lets running requests finish within ``Configuration/gracePeriod`` and returns from `run()`.
package struct GatewayProcess: Service {
    package struct Configuration: Sendable {
        /// A numeric address.
        package var host: String
        /// Zero takes a free port.
        package var port: Int
        /// Zero takes one per processor.
        package var workers: Int
        package var adminSocket: String
        package var snapshotFile: String?
        /// Where clients reach the gateway, for the statuses of Gateways.
        package var addresses: [String]
        package var gracePeriod: Duration
        package var dataPath: DataPathConfiguration
        /// Called once with the port when the workers listen.
        package var onListening: @Sendable (Int) -> Void

        package init(
            host: String = "0.0.0.0",
            port: Int,
            workers: Int = 0,
            adminSocket: String,
            snapshotFile: String? = nil,
            addresses: [String] = [],
            gracePeriod: Duration = .seconds(30),
            dataPath: DataPathConfiguration = DataPathConfiguration(),
            onListening: @escaping @Sendable (Int) -> Void = { _ in }
        ) {
            self.host = host
            self.port = port
            self.workers = workers
            self.adminSocket = adminSocket
            self.snapshotFile = snapshotFile
            self.addresses = addresses
            self.gracePeriod = gracePeriod
            self.dataPath = dataPath
            self.onListening = onListening
        }
    }

    private let configuration: Configuration
    private let client: (any ClusterClient)?
    private let logger: Logger

    /// - Parameter client: `nil` serves from the snapshot file alone.
    package init(configuration: Configuration, client: (any ClusterClient)?, logger: Logger) {
        self.configuration = configuration
        self.client = client
        self.logger = logger
    }

    package func run() async throws {
        _ = clinux_raise_file_limit()
        let plane = try startDataPlane()
        let publisher = TablePublisher(plane: plane, grace: configuration.dataPath.holdTimeout, logger: logger)
        loadSnapshot(into: publisher)
        configuration.onListening(plane.port)
        let (stops, stop) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let admin = AdminServer(
            socket: configuration.adminSocket,
            plane: plane,
            publisher: publisher,
            logger: logger
        ) { stop.yield() }
        let milliseconds = Int(configuration.gracePeriod / .milliseconds(1))
        do {
            try await withThrowingTaskGroup { group in
                group.addTask { try await admin.run() }
                group.addTask { await publisher.run() }
                addController(publisher, to: &group)
                group.addTask { await waitForStop(stops) }
                // Whatever ends first ends the gateway: a stop, or a part that failed.
                try await group.next()
                try await finish(plane, within: milliseconds)
                group.cancelAll()
            }
        } catch {
            try await finish(plane, within: milliseconds)
            throw error
        }
        logger.info("The gateway has stopped")
    }

    // MARK: - Private

    private func startDataPlane() throws -> DataPlane {
        let workers = configuration.workers > 0 ? configuration.workers : Int(clinux_processor_count())
        let plane = try DataPlane(
            host: configuration.host,
            port: configuration.port,
            workers: workers,
            configuration: configuration.dataPath
        )
        logger.info(
            "The gateway listens",
            metadata: ["host": "\(configuration.host)", "port": "\(plane.port)", "workers": "\(workers)"]
        )
        return plane
    }

    private func loadSnapshot(into publisher: TablePublisher) {
        guard let path = configuration.snapshotFile else { return }
        do {
            guard let objects = try SnapshotFile(path: path).load() else { return }
            let compiler = GatewayCompiler(addresses: configuration.addresses, now: Timestamp.now())
            publisher.apply(compiler.compile(objects).table)
            logger.info("Serving from the snapshot", metadata: ["file": "\(path)"])
        } catch {
            logger.warning("Cannot read the snapshot", metadata: ["file": "\(path)", "error": "\(error)"])
        }
    }

    private func addController(_ publisher: TablePublisher, to group: inout ThrowingTaskGroup<Void, any Error>) {
        guard let client else { return }
        let controller = GatewayController(
            client: client,
            publisher: publisher,
            snapshot: configuration.snapshotFile.map(SnapshotFile.init),
            addresses: configuration.addresses,
            logger: logger
        )
        group.addTask { try await controller.run() }
    }

    private func waitForStop(_ stops: AsyncStream<Void>) async {
        await cancelWhenGracefulShutdown {
            for await _ in stops { return }
        }
    }

    private func finish(_ plane: DataPlane, within milliseconds: Int) async throws {
        logger.info("The gateway stops")
        try await blocking { plane.stop(within: milliseconds) }
    }
}
