import Foundation
import GRDB

/// The log in a SQLite file in WAL mode. A write returns only after it is on the disk (`synchronous=FULL`).
final class SQLiteLog: RevisionLog {
    private let database: DatabaseQueue

    /// Opens the log at `path`, or makes it.
    init(path: String) throws {
        var configuration = Configuration()
        configuration.journalMode = .wal
        configuration.label = "kubernetes-store"
        // A server that is just stopping may still finish its last write.
        configuration.busyMode = .timeout(5)
        database = try DatabaseQueue(path: path, configuration: configuration)
        try Self.requireDurableCommits(database)
        try database.write(Self.createSchema)
        // A process that was killed leaves former values in the journal; one that is just stopping cleans up itself.
        try? Self.emptyJournal(database)
    }

    func compactedRevision() throws -> Int64 {
        try database.read { database in
            try Int64.fetchOne(database, sql: "SELECT revision FROM compaction") ?? 0
        }
    }

    func forEachRow(_ body: (LogRow) throws -> Void) throws {
        try database.read { database in
            let rows = try Row.fetchCursor(
                database,
                sql: "SELECT revision, resource, namespace, name, uid, deleted, value FROM log ORDER BY revision"
            )
            while let row = try rows.next() {
                try body(Self.logRow(row))
            }
        }
    }

    func append(_ rows: [LogRow]) throws {
        do {
            try database.write { try Self.insert(rows, in: $0) }
        } catch let error as DatabaseError where error.resultCode == .SQLITE_FULL {
            throw StoreError.diskFull
        }
    }

    private static func insert(_ rows: [LogRow], in database: Database) throws {
        let statement = try database.cachedStatement(
            sql: """
                INSERT INTO log (revision, resource, namespace, name, uid, deleted, value)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """
        )
        for row in rows {
            try row.value.withUnsafeBytes { bytes in
                try statement.execute(arguments: [
                    row.revision, row.key.collection, row.key.namespace, row.key.name, row.uid, row.isDeletion,
                    Data(bytes),
                ])
            }
        }
    }

    func replaceValues(_ rows: [LogRow]) throws {
        // First, so that a crash at any point leaves either rows to replace or nothing of their former values.
        try database.vacuum()
        try database.writeWithoutTransaction { try $0.execute(sql: "PRAGMA secure_delete=ON") }
        try database.write { database in
            let statement = try database.cachedStatement(sql: "UPDATE log SET value = ? WHERE revision = ?")
            for row in rows {
                try statement.execute(arguments: [Data(row.value), row.revision])
            }
        }
        try database.writeWithoutTransaction { try $0.execute(sql: "PRAGMA secure_delete=OFF") }
        try Self.emptyJournal(database)
    }

    func compact(through revision: Int64) throws {
        try database.write { database in
            try database.execute(
                sql: """
                    DELETE FROM log WHERE revision <= :revision AND (deleted = 1 OR EXISTS (
                        SELECT 1 FROM log AS later WHERE later.resource = log.resource
                        AND later.namespace = log.namespace AND later.name = log.name
                        AND later.revision > log.revision AND later.revision <= :revision))
                    """,
                arguments: ["revision": revision]
            )
            try database.execute(
                sql: "INSERT OR REPLACE INTO compaction (id, revision) VALUES (1, ?)",
                arguments: [revision]
            )
        }
    }

    func close() throws {
        try database.close()
    }

    // MARK: - Private

    /// GRDB sets `synchronous=NORMAL` in WAL mode, which may lose acknowledged commits when the power fails.
    private static func requireDurableCommits(_ database: DatabaseQueue) throws {
        try database.writeWithoutTransaction { database in
            try database.execute(sql: "PRAGMA synchronous=FULL")
            let level = try Int.fetchOne(database, sql: "PRAGMA synchronous")
            guard level == 2 else {
                throw DatabaseError(message: "SQLite refused synchronous=FULL; its level is \(level ?? -1)")
            }
        }
    }

    private static func emptyJournal(_ database: DatabaseQueue) throws {
        _ = try database.writeWithoutTransaction { try $0.checkpoint(.truncate) }
    }

    private static func createSchema(_ database: Database) throws {
        try database.execute(
            sql: """
                CREATE TABLE IF NOT EXISTS log (
                    revision INTEGER PRIMARY KEY,
                    resource TEXT NOT NULL,
                    namespace TEXT NOT NULL,
                    name TEXT NOT NULL,
                    uid TEXT NOT NULL,
                    deleted INTEGER NOT NULL,
                    value BLOB NOT NULL
                );
                CREATE INDEX IF NOT EXISTS log_by_object ON log (resource, namespace, name, revision);
                CREATE TABLE IF NOT EXISTS compaction (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL);
                """
        )
    }

    private static func logRow(_ row: Row) throws -> LogRow {
        LogRow(
            revision: row[0],
            key: StoreKey(collection: row[1], namespace: row[2], name: row[3]),
            uid: row[4],
            isDeletion: row[5],
            value: Array(row[6] as Data)
        )
    }
}
