import Foundation
import Git
import Host
import Hummingbird
import Logging
import Registry
import Review
import ServiceLifecycle
import ServiceNetwork
import SystemPackage

/// The development half: git, projects and people, registry, pipelines, releases, on one web port.
struct ForgeParts: Sendable {
    let forge: Forge
    let services: [any Service]

    init(home: Home, settings: Settings, engine: Engine, board: ReadinessBoard, logger: Logger) async throws {
        let urls = PlatformStatus.URLs(settings)
        let repositories = try RepositoryStore(root: home.repositories.string)
        try repositories.removeLeftovers()
        forge = try await Forge.open(
            Forge.Configuration(
                databasePath: home.forge.appending("forge.sqlite").string,
                initialPasswordFile: home.initialPasswordFile.string,
                externalURL: urls.web
            ),
            repositories: repositories,
            logger: logger
        )
        try await forge.ensureRepositories()

        let registryAccess = try ForgeRegistryAccess(forge: forge, keyFile: home.forge.appending("pull.key"))
        let images = try RegistryStorage(root: home.registry.string)
        let gitAccess = ForgeGitAccess(forge: forge)

        let router = Router()
        SmartHTTP(
            store: repositories,
            access: gitAccess,
            policy: gitAccess,
            observer: forge.pushObservers,
            logger: logger
        ).addRoutes(to: router)
        ForgeRoutes(forge: forge, logger: logger).addRoutes(to: router)
        RegistryRoutes(
            storage: images,
            access: registryAccess,
            signer: try TokenSigner(keyFile: home.forge.appending("registry-token.key").string),
            logger: logger
        ).addRoutes(to: router)
        router.get("/-/readiness") { _, _ in "ready\n" }

        services = [
            WebServer(
                responder: router.buildResponder(),
                addresses: ["127.0.0.1", engine.network.gatewayAddress.description],
                port: settings.webPort,
                board: board,
                logger: logger
            )
        ]
    }
}
