import Foundation
import HTTPTypes
package import Hummingbird
package import Logging
import NIOCore
import Subprocess
import Synchronization

/// git over HTTP by the smart protocol: `GET …/info/refs`, `POST …/git-upload-pack`, `POST …/git-receive-pack`.
///
/// Bodies stream in both directions; a pack is never held in memory. The dumb protocol is refused.
/// https://git-scm.com/docs/http-protocol
package struct SmartHTTP: Sendable {
    /// How many requests may run git at one time; more are answered 503.
    package static let concurrencyLimit = 64

    let store: RepositoryStore
    let access: any GitAccess
    let receiver: PushReceiver
    let running = Slots(limit: SmartHTTP.concurrencyLimit)

    /// - Parameters:
    ///   - policy: asked before references move.
    ///   - observer: told when they have moved, before the client is told.
    package init(
        store: RepositoryStore,
        access: any GitAccess,
        policy: any PushPolicy,
        observer: any PushObserver,
        logger: Logger
    ) {
        self.store = store
        self.access = access
        receiver = PushReceiver(store: store, policy: policy, observer: observer, logger: logger)
    }

    /// Serves git on a router. Projects live at any depth below the root, which no route can say: this is a middleware, so
    /// add it before routes that could match `/GROUP/PROJECT.git/…`.
    package func addRoutes<Context: RequestContext>(to router: some RouterMethods<Context>) {
        _ = router.add(middleware: SmartHTTPMiddleware<Context>(smartHTTP: self))
    }

    /// The answer to a git request; nil when the request is none.
    func respond(to request: Request) async throws -> Response? {
        guard let target = Target(request) else { return nil }
        guard let service = target.service else {
            return .text(.forbidden, "Sampan speaks git's smart HTTP protocol only. Please update your git client.\n")
        }
        let header = request.headers[.authorization]
        switch try await access.authorize(path: target.path, service: service, authorization: header) {
        case .notFound:
            return .text(.notFound, "The project you were looking for could not be found.\n")
        case .unauthenticated:
            return .text(.unauthorized, "HTTP Basic: Access denied\n", [.wwwAuthenticate: "Basic realm=\"Sampan\""])
        case .forbidden(let why):
            return .text(.forbidden, "\(why)\n")
        case .granted(let projectID, let userID, let username):
            let repository = try store.repository(ofProject: projectID)
            let session = Session(
                repository: repository,
                userID: userID,
                username: username,
                protocolVersion: target.protocolVersion
            )
            return serve(request, target, service, session)
        }
    }

    // MARK: - Private

    /// Whose git request on which repository.
    struct Session: Sendable {
        let repository: Repository
        let userID: Int
        let username: String
        let protocolVersion: String?
    }

    private func serve(_ request: Request, _ target: Target, _ service: GitService, _ session: Session) -> Response {
        if target.isAdvertisement { return advertise(service, session) }
        let type = request.headers[.contentType]
        guard type == "application/x-\(service.rawValue)-request" else {
            return .text(.unsupportedMediaType, "The body must be application/x-\(service.rawValue)-request.\n")
        }
        let encoding = request.headers[.contentEncoding] ?? "identity"
        switch (service, encoding) {
        case (.uploadPack, "identity"): return upload(request, session, isCompressed: false)
        case (.uploadPack, "gzip"), (.uploadPack, "x-gzip"): return upload(request, session, isCompressed: true)
        case (.receivePack, "identity"): return receive(request, session)
        default: return .text(.unsupportedMediaType, "Content-Encoding \(encoding) is not supported.\n")
        }
    }

    private func advertise(_ service: GitService, _ session: Session) -> Response {
        stream("application/x-\(service.rawValue)-advertisement") { writer in
            // With protocol version 2 the service line is left out.
            if session.protocolVersion == nil || service == .receivePack {
                let head = PacketLine.encode("# service=\(service.rawValue)\n") + PacketLine.flush
                try await writer.write(ByteBuffer(bytes: head))
            }
            let arguments = [service.command, "--stateless-rpc", "--advertise-refs", session.repository.path]
            let process = GitStream(configuration: session.configuration("git", arguments, for: service), input: nil)
            let outcome = try await process.run(writingTo: &writer)
            try Self.check(outcome, service)
        }
    }

    private func upload(_ request: Request, _ session: Session, isCompressed: Bool) -> Response {
        let body = BodyReader(request.body)
        return stream("application/x-git-upload-pack-result") { writer in
            let process = GitStream(configuration: Self.uploadPack(session, isCompressed: isCompressed), input: body)
            let outcome = try await process.run(writingTo: &writer)
            if outcome.status != 0 && outcome.written == 0 {
                let reason = "git upload-pack failed: \(outcome.errorText)".prefix(1000)
                try await writer.write(ByteBuffer(bytes: PacketLine.encode("ERR \(reason)")))
            } else {
                try Self.check(outcome, .uploadPack)
            }
        }
    }

    private func receive(_ request: Request, _ session: Session) -> Response {
        let body = BodyReader(request.body)
        return stream("application/x-git-receive-pack-result") { writer in
            try await receiver.receive(body, session, writingTo: &writer)
        }
    }

    /// What a client wants is small; the bound keeps a compressed body from growing without end.
    private static let wantsLimit = 64 << 20

    private static func uploadPack(_ session: Session, isCompressed: Bool) -> Configuration {
        let path = session.repository.path
        guard isCompressed else {
            return session.configuration("git", ["upload-pack", "--stateless-rpc", path], for: .uploadPack)
        }
        let script = "gzip -dc | head -c \(wantsLimit) | git upload-pack --stateless-rpc \"$1\""
        return session.configuration("sh", ["-c", script, "upload-pack", path], for: .uploadPack)
    }

    private static func check(_ outcome: GitStream.Outcome, _ service: GitService) throws {
        guard outcome.status != 0 else { return }
        throw GitError(.failed, "git \(service.command) ended with \(outcome.status): \(outcome.errorText)")
    }

    private func stream(
        _ type: String,
        _ body: @escaping @Sendable @concurrent (inout any ResponseBodyWriter) async throws -> Void
    ) -> Response {
        guard running.enter() else {
            return .text(.serviceUnavailable, "Too many git requests are running.\n", [.retryAfter: "5"])
        }
        let lease = Lease(slots: running)
        let headers: HTTPFields = [
            .contentType: type, .cacheControl: "no-cache, max-age=0, must-revalidate", .pragma: "no-cache",
            .expires: "Fri, 01 Jan 1980 00:00:00 GMT",
        ]
        return Response(
            status: .ok,
            headers: headers,
            body: ResponseBody { writer in
                defer { lease.end() }
                try await body(&writer)
                try await writer.finish(nil)
            }
        )
    }
}

extension SmartHTTP.Session {
    /// How to run a service of git for this session.
    func configuration(
        _ program: String,
        _ arguments: [String],
        for service: GitService,
        environment: [String: String] = [:]
    ) -> Configuration {
        var environment = environment
        // receive-pack knows no version 2; it would only be confused.
        if service == .uploadPack, let protocolVersion { environment["GIT_PROTOCOL"] = protocolVersion }
        return repository.git.configuration(program, arguments, environment: environment)
    }
}

/// Counts what runs at one time.
final class Slots: Sendable {
    private let limit: Int
    private let used = Mutex(0)

    init(limit: Int) {
        self.limit = limit
    }

    func enter() -> Bool {
        used.withLock { used in
            guard used < limit else { return false }
            used += 1
            return true
        }
    }

    func leave() {
        used.withLock { $0 -= 1 }
    }
}

/// One slot, given back once: at the end of the body, or when a response is dropped before its body was asked for.
final class Lease: Sendable {
    private let slots: Slots
    private let isHeld = Mutex(true)

    init(slots: Slots) {
        self.slots = slots
    }

    func end() {
        let wasHeld = isHeld.withLock { held in
            defer { held = false }
            return held
        }
        if wasHeld { slots.leave() }
    }

    deinit {
        end()
    }
}

/// What a git request's URL and headers say.
struct Target: Equatable {
    /// The project's path.
    let path: String
    /// nil for the dumb protocol.
    let service: GitService?
    let isAdvertisement: Bool
    /// `Git-Protocol`, when it asks for version 2.
    let protocolVersion: String?

    init?(_ request: Request) {
        let header = request.headers[.gitProtocol] ?? ""
        self.init(method: request.method, path: request.uri.path, query: request.uri.query ?? "", version: header)
    }

    init?(method: HTTPRequest.Method, path: String, query: String, version: String) {
        guard let decoded = path.removingPercentEncoding else { return nil }
        let isSane = version.utf8.count <= 128 && version.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }
        protocolVersion = isSane && version.split(separator: ":").contains("version=2") ? version : nil
        if method == .get, let project = Self.project(decoded, before: "/info/refs") {
            self.path = project
            let service = query.split(separator: "&").first { $0.hasPrefix("service=") }?.dropFirst("service=".count)
            self.service = service.flatMap { GitService(rawValue: String($0)) }
            isAdvertisement = true
        } else if method == .post, let project = Self.project(decoded, before: "/git-upload-pack") {
            self.path = project
            service = .uploadPack
            isAdvertisement = false
        } else if method == .post, let project = Self.project(decoded, before: "/git-receive-pack") {
            self.path = project
            service = .receivePack
            isAdvertisement = false
        } else if let range = decoded.range(of: ".git/"), Self.isDumb(decoded[range.upperBound...]) {
            self.path = String(decoded[..<range.lowerBound].drop { $0 == "/" })
            service = nil
            isAdvertisement = false
        } else {
            return nil
        }
    }

    private static func project(_ path: String, before suffix: String) -> String? {
        guard path.hasPrefix("/"), path.hasSuffix(suffix) else { return nil }
        let project = path.dropFirst().dropLast(suffix.count)
        guard project.contains("/") else { return nil }
        return String(project.hasSuffix(".git") ? project.dropLast(4) : project)
    }

    private static func isDumb(_ file: Substring) -> Bool {
        file == "HEAD" || file == "info/refs" || file.hasPrefix("objects/")
    }
}

private struct SmartHTTPMiddleware<Context: RequestContext>: RouterMiddleware {
    let smartHTTP: SmartHTTP

    func handle(
        _ request: Request,
        context: Context,
        next: @concurrent (Request, Context) async throws -> Response
    ) async throws -> Response {
        if let response = try await smartHTTP.respond(to: request) { return response }
        return try await next(request, context)
    }
}

extension Response {
    fileprivate static func text(_ status: HTTPResponse.Status, _ text: String, _ headers: HTTPFields = [:]) -> Response
    {
        var headers = headers
        headers[.contentType] = "text/plain; charset=utf-8"
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}

extension HTTPField.Name {
    fileprivate static let gitProtocol = Self("Git-Protocol")!
    fileprivate static let pragma = Self("Pragma")!
}
