import Foundation
import Git
import Host
import Hummingbird
import Logging
import Pipelines
import Registry
import Releases
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
        await OrphanedPrograms(home: home).end()
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

        let box = try SecretBox(keyFile: home.forge.appending("secrets.key").string)
        let registryAccess = try ForgeRegistryAccess(forge: forge, keyFile: home.forge.appending("pull.key"))
        let images = try RegistryStorage(root: home.registry.string)
        let helper = "127.0.0.1:\(settings.webPort)/\(try await Self.publishHelperImage(images))"
        let environmentAccess = ForgeEnvironmentAccess(forge: forge, client: engine.client)
        let pipelines = try await PipelineService.open(
            PipelineService.Configuration(
                directory: home.pipelines.string,
                server: Self.server(settings, engine.network, toolsImage: helper),
                defaultImage: "busybox:1.36"
            ),
            forge: forge,
            box: box,
            executor: PodExecutor(
                client: engine.client,
                access: environmentAccess,
                configuration: .init(helperImage: helper),
                logger: logger
            ),
            access: environmentAccess,
            logger: logger
        )
        forge.setJobTokenResolver(pipelines)
        forge.pushObservers.add(pipelines)

        let releaseAccess = ForgeReleaseAccess(
            authentication: WebAuthentication(forge: forge),
            jobs: PipelineJobDirectory(pipelines: pipelines)
        ) { project in
            let login = registryAccess.pullLogin(project: project.id)
            return RegistryLogin(user: login.user, secret: login.secret)
        }
        let builds = try ImageBuildStore(path: home.builder.appending("builds.sqlite").string)
        let registry = "127.0.0.1:\(settings.webPort)"
        let builder = try await ImageBuilder(
            configuration: .init(root: home.builder.string, registry: registry),
            access: releaseAccess,
            builds: builds,
            logger: logger
        )
        var releaseConfiguration = ReleaseService.Configuration(
            workspace: home.releases.string,
            registry: registry,
            domain: settings.domain
        )
        releaseConfiguration.gatewayPort = settings.gatewayPort
        let releases = ReleaseService(
            configuration: releaseConfiguration,
            client: engine.client,
            access: releaseAccess,
            images: builds,
            observer: DeploymentReporter(recorder: pipelines),
            logger: logger
        )

        let router = Router()
        router.add(middleware: DiskGuard(home: home, logger: logger))
        ForgeRoutes(forge: forge, logger: logger).addRoutes(to: router)
        RegistryRoutes(
            storage: images,
            access: registryAccess,
            signer: try TokenSigner(keyFile: home.forge.appending("registry-token.key").string),
            logger: logger
        ).addRoutes(to: router)
        pipelines.addRoutes(to: router)
        builder.addRoutes(to: router)
        releases.addRoutes(to: router)
        router.get("/-/readiness") { _, _ in "ready\n" }

        services = [
            WebServer(
                responder: router.buildResponder(),
                addresses: ["127.0.0.1", engine.network.gatewayAddress.description],
                port: settings.webPort,
                board: board,
                logger: logger
            ),
            pipelines, releases, NamespaceTending(forge: forge, client: engine.client, logger: logger),
        ]
    }

    // MARK: - Private

    /// As pods see it: the loopback address that people use is each pod's own.
    private static func server(
        _ settings: Settings,
        _ network: NetworkConfiguration,
        toolsImage: String
    ) -> PredefinedVariables.Server {
        PredefinedVariables.Server(
            url: "http://\(network.gatewayAddress):\(settings.webPort)",
            registry: "127.0.0.1:\(settings.webPort)",
            toolsImage: toolsImage,
            version: VersionCommand.current
        )
    }

    /// The image that fetches sources and sends artifacts; named by digest, so that a new program never meets old scripts.
    private static func publishHelperImage(_ images: RegistryStorage) async throws -> String {
        guard let busybox = ProgramPath.find("busybox") else {
            throw HostError("busybox is not installed; apt-get install busybox-static")
        }
        let files = try HelperImage.files(busybox: busybox.string)
        let digest = try await images.publishImage(
            repository: "sampan/helper",
            tag: HelperImage.version,
            files: files.map { ImageFile(path: $0.path, mode: $0.mode, content: .file($0.bytes)) },
            config: ImageConfiguration()
        )
        return "sampan/helper@\(digest)"
    }
}
