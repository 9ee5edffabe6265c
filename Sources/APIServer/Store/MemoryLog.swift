import Synchronization

/// The log without durability, for tests; keeps the same rules of compaction.
final class MemoryLog: RevisionLog {
    private struct Content {
        var rows: [LogRow] = []
        var compacted: Int64 = 0
    }

    private let content = Mutex(Content())

    func compactedRevision() -> Int64 { content.withLock(\.compacted) }

    func forEachRow(_ body: (LogRow) throws -> Void) throws {
        for row in content.withLock(\.rows) { try body(row) }
    }

    func append(_ rows: [LogRow]) {
        content.withLock { $0.rows += rows }
    }

    func replaceValues(_ rows: [LogRow]) {
        let new = Dictionary(rows.map { ($0.revision, $0) }, uniquingKeysWith: { $1 })
        content.withLock { $0.rows = $0.rows.map { new[$0.revision] ?? $0 } }
    }

    func compact(through revision: Int64) {
        content.withLock { content in
            let old = content.rows.filter { $0.revision <= revision }
            let last = Dictionary(old.map { ($0.key, $0.revision) }, uniquingKeysWith: max)
            content.rows.removeAll { row in
                row.revision <= revision && (row.isDeletion || last[row.key] != row.revision)
            }
            content.compacted = revision
        }
    }

    func close() {}
}
