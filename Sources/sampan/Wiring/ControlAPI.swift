import Foundation
import HTTPTypes
import Host
import Hummingbird
import Logging
import NIOCore
import Review
import ServiceLifecycle
import SystemPackage

/// The server's control socket: what the command line on this machine asks of a running server. Whoever can open the socket is the
/// machine's administrator, so nobody signs in.
struct ControlAPI: Service {
    private let home: Home
    private let settings: Settings
    private let board: ReadinessBoard
    private let forge: ForgeParts
    private let logger: Logger
    private let session = CommandSession()

    init(home: Home, settings: Settings, board: ReadinessBoard, forge: ForgeParts, logger: Logger) {
        self.home = home
        self.settings = settings
        self.board = board
        self.forge = forge
        self.logger = logger
    }

    func run() async throws {
        let router = Router()
        router.get("status") { _, _ in
            try response(PlatformStatus(settings: settings, components: board.components))
        }
        router.post("session") { _, _ in
            try response(ControlClient.CreatedToken(token: try await session.token(forge.forge)))
        }
        router.post("tokens") { request, context in
            let wanted = try await request.decode(as: ControlClient.TokenRequest.self, context: context)
            do {
                return try response(ControlClient.CreatedToken(token: try await createToken(wanted)))
            } catch let error as HostError {
                return try response(ControlClient.Failure(message: error.description), status: .badRequest)
            }
        }
        try? FileManager.default.removeItem(atPath: home.controlSocket.string)
        let application = Application(
            router: router,
            configuration: ApplicationConfiguration(address: .unixDomainSocket(path: home.controlSocket.string)),
            onServerRunning: { _ in _ = chmod(home.controlSocket.string, 0o600) },
            logger: logger
        )
        try await application.run()
    }

    // MARK: - Private

    private func createToken(_ request: ControlClient.TokenRequest) async throws -> String {
        guard let user = try await forge.forge.user(named: request.user) else {
            throw HostError("there is no user \(request.user)")
        }
        let scopes = try request.scopes.map { name in
            guard let scope = TokenScope(rawValue: name) else {
                let known = TokenScope.allCases.map(\.rawValue).joined(separator: ", ")
                throw HostError("there is no scope \(name); there are \(known)")
            }
            return scope
        }
        let author = Author(userID: user.id, name: "command line")
        return try await forge.forge.createToken(ofUser: user.id, name: request.name, scopes: scopes, by: author).secret
    }

    private func response(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
        let data = try JSONEncoder().encode(value)
        return Response(
            status: status,
            headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: data))
        )
    }
}

/// The administrator's token that commands on this machine use: one for all of them, made anew each day.
private actor CommandSession {
    private static let lifetime: TimeInterval = 86_400
    private var current: (token: String, until: Date)?

    func token(_ forge: Forge) async throws -> String {
        if let current, current.until > Date() { return current.token }
        guard let root = try await forge.user(named: "root") else { throw HostError("there is no user root") }
        let expiry = Date(timeIntervalSinceNow: 3 * Self.lifetime)
        let issued = try await forge.createToken(
            ofUser: root.id,
            name: "commands on the machine",
            scopes: [.api],
            expiresAt: String(expiry.ISO8601Format().prefix(10)),
            by: Author(userID: root.id, name: "command line")
        )
        current = (issued.secret, Date(timeIntervalSinceNow: Self.lifetime))
        return issued.secret
    }
}
