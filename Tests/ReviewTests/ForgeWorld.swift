import Foundation
import Git
import Logging
import Synchronization
import Testing

@testable import Review

/// A forge in a temporary folder.
struct ForgeWorld {
    let forge: Forge
    let folder: String

    /// Makes a user with the password `secret-NAME`.
    func user(_ name: String, isAdministrator: Bool = false) async throws -> User {
        try await forge.createUser(
            NewUser(
                username: name,
                name: name.capitalized,
                email: "\(name)@example.com",
                password: "secret-\(name)",
                isAdministrator: isAdministrator
            ),
            by: .system
        )
    }

    func principal(_ user: User, _ scopes: Set<TokenScope> = [.api]) -> Principal { .user(user, scopes: scopes) }

    func token(of user: User, _ scopes: [TokenScope] = [.api]) async throws -> String {
        try await forge.createToken(ofUser: user.id, name: "test", scopes: scopes, by: .system).secret
    }

    /// Makes the first commit of a branch, and tells nobody.
    func commit(to branch: String, of project: Project) async throws -> String {
        let request = CommitRequest(
            branch: branch,
            message: "Change",
            author: Signature(name: "Ada", email: "ada@example.com"),
            actions: [CommitAction(.create, "README.md", content: Array("hello\n".utf8))]
        )
        return try await forge.repository(of: project).commit(request).commit.id
    }

    func root() async throws -> User { try #require(try await forge.user(named: "root")) }
}

func withForge(externalURL: String = "http://sampan.test", _ body: (ForgeWorld) async throws -> Void) async throws {
    let folder = NSTemporaryDirectory() + "sampan-forge-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    do {
        let world = try await openForge(in: folder, externalURL: externalURL)
        try await body(world)
        try world.forge.close()
        try FileManager.default.removeItem(atPath: folder)
    } catch {
        try? FileManager.default.removeItem(atPath: folder)
        throw error
    }
}

func openForge(in folder: String, externalURL: String = "http://sampan.test") async throws -> ForgeWorld {
    var configuration = Forge.Configuration(
        databasePath: "\(folder)/forge.sqlite",
        initialPasswordFile: "\(folder)/root.password",
        externalURL: externalURL
    )
    configuration.passwordRounds = 1024
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let store = try RepositoryStore(root: "\(folder)/git")
    return ForgeWorld(forge: try await Forge.open(configuration, repositories: store, logger: logger), folder: folder)
}

extension PushEvent {
    /// That a branch came.
    static func created(_ branch: String, _ commit: String, in project: Project) -> PushEvent {
        PushEvent(
            projectID: project.id,
            ref: "refs/heads/\(branch)",
            before: nothing,
            after: commit,
            userID: 1,
            username: "root"
        )
    }
}

/// Jobs by their tokens.
final class TestJobs: JobTokenResolver {
    private let jobs = Mutex<[String: JobIdentity]>([:])

    func set(_ job: JobIdentity?, token: String) { jobs.withLock { $0[token] = job } }
    func job(withToken token: String) async -> JobIdentity? { jobs.withLock { $0[token] } }
}
