import Foundation
import Hummingbird
import KubernetesModel
import Logging
import NIOCore
import ServiceLifecycle

/// The gateway's own interface on a Unix socket: what ``AdminReading`` shows, and draining, reloading, handing over, stopping. Who may
/// open the socket may do all of it.
struct AdminServer: Service {
    private let link: AdminSocketLink
    private let plane: DataPlane
    private let publisher: TablePublisher
    private let follower: ConfigurationFollower?
    private let predecessor: GatewayDrainClient?
    private let handOver: @Sendable (String) async throws -> Void
    private let stop: @Sendable () -> Void
    private let logger: Logger
    private let starts: AsyncThrowingStream<Void, any Error>
    private let started: AsyncThrowingStream<Void, any Error>.Continuation

    /// - Parameters:
    ///   - predecessor: one that may still have requests in flight.
    ///   - handOver: gives the listening sockets to the successor that listens on a Unix socket.
    init(
        link: AdminSocketLink,
        plane: DataPlane,
        publisher: TablePublisher,
        follower: ConfigurationFollower? = nil,
        predecessor: GatewayDrainClient?,
        logger: Logger,
        handOver: @escaping @Sendable (String) async throws -> Void,
        stop: @escaping @Sendable () -> Void
    ) {
        self.link = link
        self.plane = plane
        self.publisher = publisher
        self.follower = follower
        self.predecessor = predecessor
        self.logger = logger
        self.handOver = handOver
        self.stop = stop
        (starts, started) = AsyncThrowingStream.makeStream()
    }

    func run() async throws {
        var quiet = logger
        quiet.logLevel = .warning
        let application = Application(
            router: router(),
            configuration: .init(address: .unixDomainSocket(path: link.own)),
            onServerRunning: { _ in
                chmod(link.own, 0o600)
                link.take()
                started.finish()
            },
            logger: quiet
        )
        do {
            try await application.runUntilCancelled(logger: quiet)
            started.finish()
        } catch {
            started.finish(throwing: error)
            throw error
        }
    }

    /// Returns when the socket's name is taken.
    func waitUntilStarted() async throws {
        for try await _ in starts {}
    }

    // MARK: - Private

    private func router() -> Router<BasicRequestContext> {
        let router = Router()
        AdminReading(plane: plane, publisher: publisher, follower: follower).add(to: router)
        router.get("/listeners") { _, _ in
            let listening: [JSON] = plane.listeningPorts.map { port, isTLS in
                ["port": JSON(port), "tls": .bool(isTLS)]
            }
            return Self.text(JSON.array(listening).encodedString + "\n", type: "application/json")
        }
        router.post("/drain") { request, _ in try await drain(request) }
        router.post("/hand-over") { request, _ -> Response in
            guard let path = request.uri.queryParameters["socket"]?.removingPercentEncoding else {
                throw HTTPError(.badRequest, message: "the parameter socket is missing")
            }
            do {
                try await handOver(path)
            } catch {
                logger.error("The hand-over failed", metadata: ["error": "\(error)"])
                throw HTTPError(.internalServerError, message: "\(error)")
            }
            return Self.text("handed over\n")
        }
        router.post("/reload") { _, _ -> Response in
            guard let follower else {
                return Self.text("the gateway follows a cluster, not a file\n", status: .conflict)
            }
            follower.requestReload()
            return Self.text("reloading; see /config\n", status: .accepted)
        }
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
        let deadline = Duration.seconds(seconds)
        async let earlier = predecessor?.withdraw(podIP: String(address), podUID: uid, deadline: deadline)
        let inFlight = await publisher.withdraw(String(address), uid: uid, within: deadline)
        let isDrained = await earlier ?? true && inFlight == 0
        let answer: JSON = ["drained": .bool(isDrained), "inFlight": JSON(inFlight)]
        return Self.text(answer.encodedString + "\n", type: "application/json")
    }

    private static func seconds(_ text: String?) throws -> Double {
        guard let text else { return 30 }
        guard let seconds = Double(text), (0...3600).contains(seconds) else {
            throw HTTPError(.badRequest, message: "deadlineSeconds must be a number between 0 and 3600")
        }
        return seconds
    }

    static func text(
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
