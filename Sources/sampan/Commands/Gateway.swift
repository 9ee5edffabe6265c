import ArgumentParser
import Gateway
import Host
import KubernetesClient
import Logging
import ServiceLifecycle

/// The data plane, a process of its own: it serves while the server is down.
struct Gateway: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Run the gateway in this process.")

    @OptionGroup var home: HomeOption

    func run() async throws {
        LoggingSystem.bootstrap(StreamLogHandler.standardError)
        let logger = Logger(label: "gateway")
        let home = home.value
        let settings = try self.home.settings()
        let access = try ClusterAccess(kubeconfig: home.kubernetes.appending("gateway.kubeconfig").string)
        let client = try HTTPSClusterClient(access, logger: logger)
        let process = try GatewayProcess(
            configuration: .init(
                port: settings.gatewayPort,
                adminSocket: home.gatewaySocket.string,
                snapshotFile: home.gateway.appending("table.json").string
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
