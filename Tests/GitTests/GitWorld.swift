import Foundation
import Git
import Hummingbird
import Logging
import NIOCore
import Subprocess
import Synchronization
import SystemPackage
import Testing

/// A folder of one test, gone when the test is over.
func withTemporaryFolder<Result>(_ body: (String) async throws -> Result) async throws -> Result {
    let path = "\(NSTemporaryDirectory())/sampan-git-\(UUID().uuidString)".replacingOccurrences(of: "//", with: "/")
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    do {
        let result = try await body(path)
        try FileManager.default.removeItem(atPath: path)
        return result
    } catch {
        try? FileManager.default.removeItem(atPath: path)
        throw error
    }
}

/// A store with the repository of project 1.
func withRepository<Result>(_ body: (RepositoryStore, Repository) async throws -> Result) async throws -> Result {
    try await withTemporaryFolder { folder in
        let store = try RepositoryStore(root: "\(folder)/store")
        return try await body(store, try await store.create(projectID: 1))
    }
}

/// Waits for a condition; a test that waits in vain fails with the reason.
func eventually(
    _ what: Comment,
    within timeout: Duration = .seconds(20),
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + timeout
    while try await !condition() {
        try #require(ContinuousClock.now < deadline, what)
        try await Task.sleep(for: .milliseconds(20))
    }
}

let someone = Signature(name: "Ada", email: "ada@example.com")

extension Repository {
    /// Commits files to a branch as the API would.
    @discardableResult
    func write(_ files: [String: String], to branch: String = "main", message: String = "Change") async throws -> Commit
    {
        var actions: [CommitAction] = []
        for (path, text) in files.sorted(by: { $0.key < $1.key }) {
            let exists = (try? await blob(path, at: branch)) != nil
            actions.append(CommitAction(exists ? .update : .create, path, content: Array(text.utf8)))
        }
        let request = CommitRequest(branch: branch, message: message, author: someone, actions: actions)
        return try await commit(request).commit
    }
}

/// The git of a developer's machine.
struct GitClient {
    let home: String

    struct Result {
        let status: TerminationStatus
        let text: String
        var isSuccess: Bool { status.isSuccess }
    }

    func configuration(_ arguments: [String], in folder: String) -> Configuration {
        var options = PlatformOptions()
        options.processGroupID = 0
        return Configuration(
            executable: .name("git"),
            arguments: Arguments(arguments),
            environment: .custom([
                "PATH": "/usr/bin:/bin", "HOME": home, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com", "GIT_COMMITTER_NAME": "Ada",
                "GIT_COMMITTER_EMAIL": "ada@example.com", "LC_ALL": "C.UTF-8",
            ]),
            workingDirectory: FilePath(folder),
            platformOptions: options
        )
    }

    /// Runs git; both of its outputs come as one text.
    func run(_ arguments: [String], in folder: String) async throws -> Result {
        let result = try await Subprocess.run(
            configuration(arguments, in: folder),
            output: .string(limit: 4 << 20),
            error: .combinedWithOutput
        )
        return Result(status: result.terminationStatus, text: result.standardOutput)
    }

    @discardableResult
    func check(_ arguments: [String], in folder: String) async throws -> String {
        let result = try await run(arguments, in: folder)
        try #require(result.isSuccess, "git \(arguments.joined(separator: " ")): \(result.text)")
        return result.text.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

/// Access rules of the tests: `ada` pushes, `bob` only reads, both with the password `secret`, to `shop/web`.
struct TestAccess: GitAccess {
    func authorize(path: String, service: GitService, authorization: String?) async -> GitAuthorization {
        guard let authorization else { return .unauthenticated }
        let pair = Data(base64Encoded: String(authorization.dropFirst("Basic ".count)))
        let text = pair.map { String(decoding: $0, as: UTF8.self) } ?? ""
        guard text == "ada:secret" || text == "bob:secret" else { return .unauthenticated }
        guard path == "shop/web" else { return .notFound }
        if text == "bob:secret" && service == .receivePack {
            return .forbidden("You are not allowed to push code to this project.")
        }
        return .granted(projectID: 1, userID: 7, username: String(text.prefix(3)))
    }
}

/// `main` only moves forward, and nobody pushes to `locked`.
struct TestPolicy: PushPolicy {
    func verdict(on push: ProposedPush) async -> PushVerdict {
        if push.updates.contains(where: { $0.ref == "refs/heads/locked" }) {
            return .reject(message: "You are not allowed to push code to protected branches on this project.")
        }
        return .accept(fastForwardOnly: ["refs/heads/main"])
    }
}

final class RecordedPushes: PushObserver {
    private let events = Mutex<[PushEvent]>([])

    func pushed(_ event: PushEvent) async { events.withLock { $0.append(event) } }
    var all: [PushEvent] { events.withLock { $0 } }
}

/// A live server with one project, and a developer's machine.
struct GitWorld {
    let repository: Repository
    let pushes: RecordedPushes
    let client: GitClient
    let folder: String
    let port: Int

    func url(user: String? = "ada:secret", path: String = "shop/web.git") -> String {
        "http://\(user.map { $0 + "@" } ?? "")127.0.0.1:\(port)/\(path)"
    }
}

func withGitWorld(_ body: @escaping @Sendable (GitWorld) async throws -> Void) async throws {
    try await withTemporaryFolder { folder in
        let store = try RepositoryStore(root: "\(folder)/store")
        let repository = try await store.create(projectID: 1)
        let pushes = RecordedPushes()
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let router = Router()
        SmartHTTP(store: store, access: TestAccess(), policy: TestPolicy(), observer: pushes, logger: logger)
            .addRoutes(to: router)
        try FileManager.default.createDirectory(atPath: "\(folder)/client", withIntermediateDirectories: true)
        try await withServer(router, logger: logger) { port in
            let client = GitClient(home: "\(folder)/client")
            try await body(
                GitWorld(repository: repository, pushes: pushes, client: client, folder: "\(folder)/client", port: port)
            )
        }
    }
}

/// Serves a router on a free port of the loopback while the body runs.
func withServer(
    _ router: Router<BasicRequestContext>,
    logger: Logger,
    _ body: @escaping @Sendable (Int) async throws -> Void
) async throws {
    let (ports, port) = AsyncStream.makeStream(of: Int.self)
    let application = Application(
        router: router,
        configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0)),
        onServerRunning: { channel in
            port.yield(channel.localAddress?.port ?? 0)
            port.finish()
        },
        logger: logger
    )
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await application.run() }
        let bound = try #require(await ports.first { _ in true })
        defer { group.cancelAll() }
        try await body(bound)
    }
}
