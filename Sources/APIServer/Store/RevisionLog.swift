/// A row of the log: one version of one object.
struct LogRow: Sendable {
    let revision: Int64
    let key: StoreKey
    let uid: String
    let isDeletion: Bool
    let value: [UInt8]
}

/// The durable half of the store: an append-only log of object versions in the order of their revisions.
///
/// All methods block and are called by one thread at a time: the store's writer.
protocol RevisionLog: Sendable {
    /// The revision up to which superseded rows were given up; zero for a new log.
    func compactedRevision() throws -> Int64

    /// Calls `body` with every kept row, in ascending order of revision.
    func forEachRow(_ body: (LogRow) throws -> Void) throws

    /// Makes `rows` durable, all or none, before it returns. Throws ``StoreError/diskFull`` when there is no room for them.
    func append(_ rows: [LogRow]) throws

    /// Gives kept rows the values of `rows` of the same revisions, all or none; nothing of the former values stays on the disk.
    func replaceValues(_ rows: [LogRow]) throws

    /// Gives up rows up to `revision` that a later row supersedes, and deletions.
    func compact(through revision: Int64) throws

    func close() throws
}
