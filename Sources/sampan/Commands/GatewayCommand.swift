import ArgumentParser
import Gateway
import Host
import KubernetesClient
import Logging
import ServiceLifecycle
import SystemPackage
import UnixSignals

/// The data plane, a process of its own: it serves while the server is down.
struct GatewayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gateway",
        abstract: "Run the gateway in this process."
    )

    @OptionGroup var home: HomeOption
    @Option(help: "Port for plain HTTP instead of the platform's.") var port: Int?
    @Option(help: "Port for TLS instead of the platform's.") var tlsPort: Int?
    @Flag(help: "Take the connections of the gateway that runs for this home over; it finishes what it has and ends.")
    var takeOver = false

    func run() async throws {
        LoggingSystem.bootstrap(StreamLogHandler.standardError)
        let logger = Logger(label: "gateway")
        let home = home.value
        let settings = try self.home.settings()
        let pidFile = home.pidFile("gateway")
        let process = GatewayProcess(
            configuration: .init(
                port: port ?? settings.gatewayPort,
                tlsPort: tlsPort ?? settings.gatewayTLSPort,
                opensListenerPorts: true,
                takesOver: takeOver,
                adminSocket: home.gatewaySocket.string,
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
        let group = ServiceGroup(services: [process], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
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
