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

    func run() async throws {
        LoggingSystem.bootstrap(StreamLogHandler.standardError)
        let logger = Logger(label: "gateway")
        let home = home.value
        let settings = try self.home.settings()
        let access = try ClusterAccess(kubeconfig: home.kubernetes.appending("gateway.kubeconfig").string)
        let client = try HTTPSClusterClient(access, logger: logger)
        let process = GatewayProcess(
            configuration: .init(
                port: settings.gatewayPort,
                adminSocket: home.gatewaySocket.string,
                snapshotFile: home.gateway.appending("table.json").string,
                addresses: ["127.0.0.1"]
            ),
            client: client,
            logger: logger
        )
        let group = ServiceGroup(
            services: [client, process],
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: logger
        )
        try await group.run()
    }
}
