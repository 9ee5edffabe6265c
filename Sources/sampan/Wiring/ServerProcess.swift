import Foundation
import Host
import Logging
import ServiceLifecycle
import ServiceNetwork
import SystemPackage
import UnixSignals

/// The process behind `sampan up`: makes every part of the platform, joins them, and runs them as one group in the order in which they
/// need each other.
struct ServerProcess: Sendable {
    let home: Home
    let settings: Settings

    func run() async throws {
        LoggingSystem.bootstrap(StreamLogHandler.standardError)
        var logger = Logger(label: "sampan")
        logger.logLevel = Self.logLevel
        try makeFolders()

        let board = ReadinessBoard(["containerd", "kubernetes", "node", "network", "web", "gateway", "disk"])
        let engine = try await Engine(home: home, settings: settings, board: board, logger: logger)
        let forge = try await ForgeParts(home: home, settings: settings, engine: engine, board: board, logger: logger)
        let gateway = GatewaySupervision(home: home, settings: settings, engine: engine, board: board, logger: logger)
        let control = ControlAPI(home: home, settings: settings, board: board, forge: forge, logger: logger)

        let services: [any Service] =
            [control, DiskReadiness(home: home, board: board)] + engine.services + gateway.services + forge.services
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: services.map { .init(service: CancellableService(service: $0)) },
                gracefulShutdownSignals: [.sigterm, .sigint],
                logger: logger
            )
        )
        try await group.run()
    }

    static func adminKubeconfig(_ home: Home) -> FilePath { home.kubernetes.appending("admin.kubeconfig") }

    /// Refuses settings that cannot work, before anything is started.
    static func check(_ settings: Settings) throws {
        for (option, text) in [("--pod-cidr", settings.podCIDR), ("--service-cidr", settings.serviceCIDR)] {
            guard IPv4Network(text) != nil else {
                throw HostError(
                    "\(option) \(text) is no network; write it like 10.42.0.0/16, with zeros behind the prefix"
                )
            }
        }
        let ports = [settings.apiPort, settings.webPort, settings.gatewayPort, settings.gatewayTLSPort]
        guard Set(ports).count == ports.count else {
            throw HostError(
                "--api-port, --web-port, --gateway-port and --gateway-tls-port must differ, not be \(ports.map(String.init).joined(separator: ", "))"
            )
        }
    }

    // MARK: - Private

    private static var logLevel: Logger.Level {
        ProcessInfo.processInfo.environment["SAMPAN_LOG_LEVEL"].flatMap(Logger.Level.init(rawValue:)) ?? .info
    }

    private func makeFolders() throws {
        for folder in [
            home.path, home.run, home.logs, home.kubernetes, home.gateway, home.forge, home.builder, home.pipelines,
            home.releases,
        ] {
            try FileManager.default.createDirectory(atPath: folder.string, withIntermediateDirectories: true)
        }
        _ = chmod(home.path.string, 0o700)
    }
}

/// A part that is told to stop may end by throwing that it was cancelled; that is no failure and must not cut the others short.
private struct CancellableService: Service {
    let service: any Service

    func run() async throws {
        do {
            try await service.run()
        } catch is CancellationError where Task.isShuttingDownGracefully {}
    }
}
