import Glibc
import Hummingbird
import KubernetesModel
import Logging
import NIOCore
import ServiceLifecycle

/// What the admin interface shows: health, readiness, metrics, the table, and what came of the configuration file.
struct AdminReading {
    let plane: DataPlane
    let publisher: TablePublisher
    let follower: ConfigurationFollower?

    func add(to router: Router<BasicRequestContext>) {
        router.get("/healthz") { _, _ in "ok\n" }
        router.get("/readyz") { _, _ in readiness() }
        router.get("/metrics") { _, _ in
            let text = MetricsText.write(plane) + (follower?.status.metrics ?? "")
            return AdminServer.text(text, type: "text/plain; version=0.0.4")
        }
        router.get("/table") { _, _ in Self.json(publisher.table.json) }
        router.get("/config") { _, _ in configuration() }
    }

    // MARK: - Private

    private func readiness() -> Response {
        if publisher.isStopping { return AdminServer.text("stopping\n", status: .serviceUnavailable) }
        guard publisher.hasTable else {
            return AdminServer.text("no routes were read yet\n", status: .serviceUnavailable)
        }
        return AdminServer.text("ok\n")
    }

    /// `{"source": "file", "file": …, "lastReloadSuccessful": …, "problems": […]}`
    private func configuration() -> Response {
        guard let follower else { return Self.json(["source": "cluster"]) }
        var json = follower.status.json
        json["source"] = "file"
        json["file"] = .string(follower.path)
        return Self.json(json)
    }

    private static func json(_ json: JSON) -> Response {
        AdminServer.text(json.prettyString + "\n", type: "application/json")
    }
}

/// A port on loopback with ``AdminReading`` alone: every program of the machine can reach it.
struct AdminPort: Service {
    /// Zero takes a free one.
    let port: Int
    let reading: AdminReading
    let logger: Logger
    let onPort: @Sendable (Int) -> Void
    /// A predecessor keeps the port until it has finished what it has; so long it is tried again.
    var patience = Duration.zero

    func run() async throws {
        let deadline = ContinuousClock.now + patience
        while true {
            do {
                return try await serve()
            } catch let error as IOError where error.errnoCode == EADDRINUSE && ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(50))
            }
        }
    }

    // MARK: - Private

    private func serve() async throws {
        var quiet = logger
        quiet.logLevel = .warning
        let router = Router()
        reading.add(to: router)
        let application = Application(
            router: router,
            configuration: .init(address: .hostname("127.0.0.1", port: port)),
            onServerRunning: { channel in onPort(channel.localAddress?.port ?? port) },
            logger: quiet
        )
        try await application.runUntilCancelled(logger: quiet)
    }
}
