import Foundation
import Hummingbird
import KubernetesModel
import Logging
import NIOCore
import ServiceLifecycle

/// The gateway's own interface on a Unix socket: health, metrics, the table, draining, stopping.
struct AdminServer: Service {
    private let socket: String
    private let plane: DataPlane
    private let publisher: TablePublisher
    private let stop: @Sendable () -> Void
    private let logger: Logger

    init(
        socket: String,
        plane: DataPlane,
        publisher: TablePublisher,
        logger: Logger,
        stop: @escaping @Sendable () -> Void
    ) {
        self.socket = socket
        self.plane = plane
        self.publisher = publisher
        self.logger = logger
        self.stop = stop
    }

    func run() async throws {
        unlink(socket)  // left over from a gateway that was killed
        var quiet = logger
        quiet.logLevel = .warning
        let application = Application(
            router: router(),
            configuration: .init(address: .unixDomainSocket(path: socket)),
            onServerRunning: { _ in chmod(socket, 0o600) },
            logger: quiet
        )
        try await application.run()
    }

    // MARK: - Private

    private func router() -> Router<BasicRequestContext> {
        let router = Router()
        router.get("/healthz") { _, _ in "ok\n" }
        router.get("/readyz") { _, _ -> Response in
            publisher.hasTable
                ? Self.text("ok\n") : Self.text("no routes were read yet\n", status: .serviceUnavailable)
        }
        router.get("/metrics") { _, _ in Self.text(MetricsText.write(plane), type: "text/plain; version=0.0.4") }
        router.get("/table") { _, _ in Self.text(publisher.table.json.prettyString + "\n", type: "application/json") }
        router.post("/drain") { request, _ in try await drain(request) }
        router.post("/stop") { _, _ -> Response in
            stop()
            return Self.text("stopping\n", status: .accepted)
        }
        return router
    }

    /// `POST /drain?address=IP&uid=UID&deadlineSeconds=N` answers `{"drained": …, "inFlight": …}`.
    private func drain(_ request: Request) async throws -> Response {
        let parameters = request.uri.queryParameters
        guard let address = parameters["address"] else {
            throw HTTPError(.badRequest, message: "the parameter address is missing")
        }
        let seconds = try Self.seconds(parameters["deadlineSeconds"].map { String($0) })
        let uid = parameters["uid"].map { String($0) } ?? ""
        let inFlight = await publisher.withdraw(String(address), uid: uid, within: .seconds(seconds))
        let answer: JSON = ["drained": .bool(inFlight == 0), "inFlight": JSON(inFlight)]
        return Self.text(answer.encodedString + "\n", type: "application/json")
    }

    private static func seconds(_ text: String?) throws -> Double {
        guard let text else { return 30 }
        guard let seconds = Double(text), (0...3600).contains(seconds) else {
            throw HTTPError(.badRequest, message: "deadlineSeconds must be a number between 0 and 3600")
        }
        return seconds
    }

    private static func text(
        _ text: String,
        status: HTTPResponse.Status = .ok,
        type: String = "text/plain; charset=utf-8"
    ) -> Response {
        Response(
            status: status,
            headers: [.contentType: type],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text))
        )
    }
}
