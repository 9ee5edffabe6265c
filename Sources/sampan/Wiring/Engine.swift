import APIServer
import Controllers
import Foundation
import Host
import KubernetesClient
import KubernetesModel
import Logging
import NodeAgent
import Scheduler
import ServiceLifecycle
import ServiceNetwork
import SystemPackage

/// The embedded Kubernetes of one machine: API server, controllers, scheduler, node agent, service network, containerd.
struct Engine: Sendable {
    let apiServer: APIServer
    let informers: Informers
    let network: NetworkConfiguration
    let containerd: SupervisedProcess
    let services: [any Service]
    let client: InProcessClusterClient

    init(home: Home, settings: Settings, board: ReadinessBoard, logger: Logger) async throws {
        network = Self.network(home, settings)
        try await PodBridge(network).setUp()
        let runtime = Self.containerdConfiguration(home, settings)
        try runtime.write()
        containerd = Self.containerdProcess(home, runtime, logger)
        _ = try await containerd.adoptOrStart()

        let node = NodeConnectionAdapter()
        apiServer = try APIServer(
            configuration: Self.apiConfiguration(home, settings, network),
            nodeConnection: node,
            logger: logger
        )
        try await apiServer.prepare()
        client = apiServer.client
        informers = Informers(client, logger: logger)

        let rules = ServiceRules(
            configuration: network,
            services: informers[.services],
            slices: informers[.endpointSlices],
            logger: logger
        )
        let drains: [any TrafficDrain] = [
            ServiceDrain(drain: EastWestDrain(rules: rules, configuration: network, logger: logger)),
            GatewayDrain(socketPath: home.gatewaySocket.string),
        ]
        let agent = try NodeAgent(
            client: client,
            configuration: Self.nodeConfiguration(home, settings, network, runtime),
            drains: drains,
            logger: logger
        )
        node.connect(agent)
        let controllers = ControllerSet(
            client: client,
            informers: informers,
            rootCertificate: apiServer.certificateAuthority,
            logger: logger
        )
        services = [
            containerd, apiServer, Self.nameServer(network, informers, logger), rules, controllers,
            Scheduler(client: client, informers: informers, logger: logger), agent, informers,
            EngineReadiness(apiServer: apiServer, runtime: runtime, informers: informers, board: board, logger: logger),
        ]
    }

    // MARK: - Configurations

    static func network(_ home: Home, _ settings: Settings) -> NetworkConfiguration {
        guard let pods = IPv4Network(settings.podCIDR), let services = IPv4Network(settings.serviceCIDR) else {
            preconditionFailure("Settings are checked before they are used.")
        }
        return NetworkConfiguration(
            id: home.id,
            podNetwork: pods,
            serviceNetwork: services,
            directory: home.network,
            apiPort: settings.apiPort
        )
    }

    static func containerdConfiguration(_ home: Home, _ settings: Settings) -> ContainerdConfiguration {
        ContainerdConfiguration(
            home: home.path.string,
            registries: ContainerdConfiguration.platformRegistries(webPort: settings.webPort)
        )
    }

    static func containerdProcess(
        _ home: Home,
        _ runtime: ContainerdConfiguration,
        _ logger: Logger
    ) -> SupervisedProcess {
        SupervisedProcess(
            name: "containerd",
            command: DetachedProcess.Command(
                program: FilePath(runtime.arguments[0]),
                arguments: Array(runtime.arguments.dropFirst()),
                environment: ProcessEnvironment.server
            ),
            home: home,
            logger: logger
        )
    }

    static func nodeConfiguration(
        _ home: Home,
        _ settings: Settings,
        _ network: NetworkConfiguration,
        _ runtime: ContainerdConfiguration
    ) -> NodeAgent.Configuration {
        NodeAgent.Configuration(
            home: home.path.string,
            identifier: home.id,
            runtimeSocketPath: runtime.socketPath,
            address: network.gatewayAddress.description,
            clusterDNS: network.dnsServiceAddress.description,
            kubernetesService: .init(host: network.apiServiceAddress.description, port: 443)
        )
    }

    private static func apiConfiguration(
        _ home: Home,
        _ settings: Settings,
        _ network: NetworkConfiguration
    ) -> APIServer.Configuration {
        let bridge = APIServer.ListenAddress(host: network.gatewayAddress.description, port: settings.apiPort)
        return APIServer.Configuration(
            directory: home.kubernetes.string,
            listeners: [.init(host: "127.0.0.1", port: settings.apiPort), bridge],
            serviceCIDR: settings.serviceCIDR,
            extraNames: [bridge.host],
            podEndpoint: bridge,
            identities: [.gateway],
            // Releases hold the Secrets that they deploy.
            encryptedCollections: ["secrets", "releases.sampan.dev"],
            kindsWithoutController: .builtin
        )
    }

    private static func nameServer(
        _ network: NetworkConfiguration,
        _ informers: Informers,
        _ logger: Logger
    ) -> NameServer {
        let own = [network.gatewayAddress.description, network.dnsServiceAddress.description]
        return NameServer(
            configuration: network,
            address: own[0],
            services: informers[.services],
            slices: informers[.endpointSlices],
            upstream: .machine(excluding: Set(own)),
            logger: logger
        )
    }
}

extension APIServer.Identity {
    /// The gateway's process reads routes and endpoints and writes their status.
    static let gateway = APIServer.Identity(name: "gateway", user: "system:sampan:gateway", groups: ["system:masters"])
}
