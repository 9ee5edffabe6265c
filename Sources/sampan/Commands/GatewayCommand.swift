import ArgumentParser
import Foundation
import Gateway
import Host
import KubernetesClient
import Logging
import ServiceLifecycle
import SystemPackage
import UnixSignals

/// The data plane, a process of its own: it serves while the server is down, or without one by a configuration file.
struct GatewayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gateway",
        abstract: "Run the gateway in this process.",
        discussion: """
            Serves the routes of the platform's cluster, or with --config those of a YAML file without any cluster. The file is \
            read again when it changes and on SIGHUP; one that cannot be used changes nothing.
            """
    )

    @OptionGroup var home: HomeOption
    @Option(help: "Port for plain HTTP instead of the platform's.") var port: Int?
    @Option(help: "Port for TLS instead of the platform's.") var tlsPort: Int?
    @Flag(help: "Take the connections of the gateway that runs for this home over; it finishes what it has and ends.")
    var takeOver = false

    @Option(help: "Serve by this YAML file instead of a cluster; see docs/gateway.md.") var config: String?
    @Flag(help: "Only check the file of --config, and say what is wrong with it.") var check = false
    @Option(help: "Unix socket for health, metrics and the table, draining, reloading and stopping.")
    var adminSocket: String?
    @Option(help: "Port on 127.0.0.1 for health, metrics and the table.") var adminPort: Int?
    @Option(help: "Threads that serve; one per processor when left out.") var workers: Int?

    func validate() throws {
        if check, config == nil { throw ValidationError("--check needs --config FILE.") }
        if let workers, !(1...1024).contains(workers) { throw ValidationError("--workers must be 1 to 1024.") }
        for (name, port) in [("--port", port), ("--tls-port", tlsPort), ("--admin-port", adminPort)] {
            guard let port, !(0...65535).contains(port) else { continue }
            throw ValidationError("\(name) must be 0 to 65535.")
        }
    }

    func run() async throws {
        guard let config else { return try await serveCluster() }
        let file = try FileConfiguration.load(config)
        if check { return print("\(config) can be used.") }
        try await serve(file, at: config)
    }

    // MARK: - Private

    private func serve(_ file: FileConfiguration, at path: String) async throws {
        let logger = makeLogger()
        let (reloads, reload) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let socket = adminSocket ?? file.admin.socket
        let process = GatewayProcess(
            configuration: .init(
                port: port ?? (file.listeners.isEmpty ? 8080 : nil),
                tlsPort: tlsPort,
                takesOver: takeOver,
                workers: workers ?? file.workers ?? 0,
                adminSocket: socket ?? "\(NSTemporaryDirectory())/sampan-gateway-\(getpid()).sock",
                adminPort: adminPort ?? file.admin.port,
                file: .init(path: path, configuration: file, reloads: reloads),
                dataPath: file.settings,
                accessLog: file.accessLog
            ),
            client: nil,
            logger: logger
        )
        try await run(process, and: HangUpSignal(hungUp: reload), logger)
    }

    private func serveCluster() async throws {
        let logger = makeLogger()
        let home = home.value
        let settings = try self.home.settings()
        let pidFile = home.pidFile("gateway")
        let process = GatewayProcess(
            configuration: .init(
                port: port ?? settings.gatewayPort,
                tlsPort: tlsPort ?? settings.gatewayTLSPort,
                opensListenerPorts: true,
                takesOver: takeOver,
                workers: workers ?? 0,
                adminSocket: adminSocket ?? home.gatewaySocket.string,
                adminPort: adminPort,
                snapshotFile: home.gateway.appending("table.json").string,
                addresses: ["127.0.0.1"]
            ) { _ in
                // From here on supervision follows this process.
                do {
                    try DetachedProcess.recordSelf(pidFile: pidFile)
                } catch {
                    logger.error("Cannot write the pid file", metadata: ["error": "\(error)"])
                }
            },
            connect: { try await Self.connect(home, logger) },
            logger: logger
        )
        try await run(process, and: nil, logger)
    }

    private func makeLogger() -> Logger {
        LoggingSystem.bootstrap(StreamLogHandler.standardError)
        return Logger(label: "gateway")
    }

    /// A gateway that was told to stop takes the other service with it.
    private func run(_ gateway: GatewayProcess, and other: (any Service)?, _ logger: Logger) async throws {
        let configurations = other.map { [ServiceGroupConfiguration.ServiceConfiguration(service: $0)] } ?? []
        let group = ServiceGroup(
            configuration: .init(
                services: configurations + [
                    .init(service: gateway, successTerminationBehavior: .gracefullyShutdownGroup)
                ],
                gracefulShutdownSignals: [.sigterm, .sigint],
                logger: logger
            )
        )
        try await group.run()
    }

    /// The server writes the kubeconfig when it starts for the first time; until then there is no cluster to follow.
    private static func connect(_ home: Home, _ logger: Logger) async throws -> any ClusterClient & Service {
        let path = home.kubernetes.appending("gateway.kubeconfig").string
        while true {
            do {
                return try HTTPSClusterClient(try ClusterAccess(kubeconfig: path), logger: logger)
            } catch {
                logger.debug("Waiting for the kubeconfig", metadata: ["error": "\(error)"])
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }
}

/// Passes SIGHUP on.
private struct HangUpSignal: Service {
    let hungUp: AsyncStream<Void>.Continuation

    func run() async throws {
        let signals = await UnixSignalsSequence(trapping: .sighup)
        await cancelWhenGracefulShutdown {
            for await _ in signals { hungUp.yield() }
        }
    }
}
