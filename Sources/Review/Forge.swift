import Foundation
import GRDB
package import Git
package import Logging
import Synchronization

/// People, groups, projects and who may do what: the base of everything that developers touch.
///
/// State is in one SQLite database. Every change is one durable transaction that also writes the audit log. Methods that
/// change something take an `Author` and do not ask whether that author may: `require(_:_:in:)` and its siblings do, and
/// the edges (web, git, registry) call them first.
package final class Forge: Sendable {
    package struct Configuration: Sendable {
        /// The SQLite file.
        package var databasePath: String
        /// Where the first password of `root` is written, with mode 0600.
        package var initialPasswordFile: String
        /// How people reach the web port, without a slash at the end.
        package var externalURL: String
        /// scrypt's cost; see `PasswordHasher`.
        package var passwordRounds = 16384

        package init(databasePath: String, initialPasswordFile: String, externalURL: String) {
            self.databasePath = databasePath
            self.initialPasswordFile = initialPasswordFile
            self.externalURL = externalURL
        }
    }

    package let configuration: Configuration
    package let repositories: RepositoryStore
    /// Hear of every moved reference, by push or by API, from `pushed(_:)`.
    package let pushObservers = PushObservers()
    package let logger: Logger

    let database: DatabasePool
    let hasher: PasswordHasher
    let credentials = CredentialCache()
    private let projectListeners = Mutex<[AsyncStream<Void>.Continuation]>([])
    private let jobTokens = Mutex<(any JobTokenResolver)?>(nil)

    /// Opens the database, brings its tables up to date and makes the administrator `root` when there is none.
    package static func open(
        _ configuration: Configuration,
        repositories: RepositoryStore,
        logger: Logger
    ) async throws -> Forge {
        let forge = try Forge(configuration, repositories: repositories, logger: logger)
        try await forge.database.writeWithoutTransaction { database in
            try database.execute(sql: "PRAGMA synchronous = FULL")
            guard try Int.fetchOne(database, sql: "PRAGMA synchronous") == 2 else {
                throw DatabaseError(message: "SQLite did not accept synchronous=FULL")
            }
        }
        try Schema.migrator.migrate(forge.database)
        try await forge.ensureAdministrator()
        return forge
    }

    private init(_ configuration: Configuration, repositories: RepositoryStore, logger: Logger) throws {
        var options = GRDB.Configuration()
        options.foreignKeysEnabled = true
        options.busyMode = .timeout(10)
        self.configuration = configuration
        self.repositories = repositories
        self.logger = logger
        database = try DatabasePool(path: configuration.databasePath, configuration: options)
        hasher = PasswordHasher(rounds: configuration.passwordRounds)
    }

    /// Closes the database. Nothing else may be called afterwards.
    package func close() throws {
        try database.close()
    }

    /// Says who knows the tokens of running jobs. Until then no job can sign in.
    package func setJobTokenResolver(_ resolver: any JobTokenResolver) {
        jobTokens.withLock { $0 = resolver }
    }

    var jobTokenResolver: (any JobTokenResolver)? { jobTokens.withLock { $0 } }

    // MARK: - Changes

    /// Wakes up at once, and after a project was renamed or deleted; changes that come faster than they are read are one.
    package func projectChanges() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        continuation.yield()
        projectListeners.withLock { $0.append(continuation) }
        return stream
    }

    func noteProjectChange() {
        for listener in projectListeners.withLock({ $0 }) { listener.yield() }
    }

    // MARK: - Audit

    /// The newest lines of the audit log, of one target or of all.
    package func auditEvents(target: String? = nil, limit: Int = 100) async throws -> [AuditEvent] {
        try await database.read { database in
            try AuditEvent.fetchAll(
                database,
                sql: "SELECT * FROM audit_events WHERE ?1 IS NULL OR target = ?1 ORDER BY id DESC LIMIT ?2",
                arguments: [target, min(max(limit, 1), 1000)]
            )
        }
    }

    /// Adds a line to the audit log; other rooms write their changes here too. Details must not hold secrets.
    package func audit(_ action: String, of target: String, details: String = "", by author: Author) async throws {
        try await database.write { try Self.audit(action, of: target, details: details, by: author, in: $0) }
    }

    static func audit(
        _ action: String,
        of target: String,
        details: String = "",
        by author: Author,
        in database: Database
    ) throws {
        try database.execute(
            sql: """
                INSERT INTO audit_events (created_at, author_id, author_name, address, action, target, details)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [Date(), author.userID, author.name, author.address, action, target, details]
        )
    }

    // MARK: - Private

    private func ensureAdministrator() async throws {
        let hasUsers = try await database.read { try Int.fetchOne($0, sql: "SELECT 1 FROM users LIMIT 1") != nil }
        guard !hasUsers else { return }
        let password = Secrets.text(24)
        let file = URL(filePath: configuration.initialPasswordFile)
        try Data().write(to: file, options: .atomic)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file.path())
        let handle = try FileHandle(forWritingTo: file)
        try handle.write(contentsOf: Data((password + "\n").utf8))
        try handle.synchronize()
        try handle.close()
        let root = NewUser(
            username: "root",
            name: "Administrator",
            email: "root@localhost",
            password: password,
            isAdministrator: true
        )
        _ = try await createUser(root, by: .system)
        logger.info("made the administrator", metadata: ["username": "root", "password-file": "\(file.path())"])
    }
}
