/// A log that keeps the values of some collections encrypted; keys, uids and revisions stay readable.
///
/// Rows that are in clear, as before there was encryption, or that an older key encrypted, are read and encrypted by the present key on
/// the first pass over the log.
final class EncryptedLog: RevisionLog {
    private let log: any RevisionLog
    private let keys: EncryptionKeys
    private let collections: Set<String>

    /// Reads the keys at `keyPath`; makes them when nothing in the log is encrypted yet.
    ///
    /// - Throws: ``EncryptionFailure`` when the keys are gone or unusable.
    init(_ log: any RevisionLog, keyPath: String, collections: Set<String>) throws {
        self.log = log
        self.collections = collections
        if let keys = try EncryptionKeys.read(keyPath) {
            self.keys = keys
            return
        }
        try log.forEachRow { row in
            guard EncryptionKeys.isEncrypted(row.value) else { return }
            throw EncryptionFailure(
                "\(keyPath) is missing, and \(Self.context(row)) is encrypted by a key of it; restore the file from a backup"
            )
        }
        keys = try EncryptionKeys.make(at: keyPath)
    }

    func compactedRevision() throws -> Int64 { try log.compactedRevision() }

    func forEachRow(_ body: (LogRow) throws -> Void) throws {
        var outdated: [LogRow] = []
        try log.forEachRow { row in
            guard EncryptionKeys.isEncrypted(row.value) else {
                if collections.contains(row.key.collection) { outdated.append(row) }
                return try body(row)
            }
            let opened = try keys.decrypt(row.value, context: Self.context(row))
            let clear = row.replacing(value: opened.value)
            if !opened.isCurrent { outdated.append(clear) }
            try body(clear)
        }
        guard !outdated.isEmpty else { return }
        try log.replaceValues(outdated.map(encrypted))
    }

    func append(_ rows: [LogRow]) throws {
        try log.append(rows.map { collections.contains($0.key.collection) ? try encrypted($0) : $0 })
    }

    func replaceValues(_ rows: [LogRow]) throws { try log.replaceValues(rows) }

    func compact(through revision: Int64) throws { try log.compact(through: revision) }

    func close() throws { try log.close() }

    // MARK: - Private

    private func encrypted(_ row: LogRow) throws -> LogRow {
        row.replacing(value: try keys.encrypt(row.value, context: Self.context(row)))
    }

    /// Bound to the value, so that it cannot be passed off as another object's or a later version.
    private static func context(_ row: LogRow) -> String {
        "\(row.key.collection)/\(row.key.namespace)/\(row.key.name) at revision \(row.revision)"
    }
}

extension LogRow {
    fileprivate func replacing(value: [UInt8]) -> LogRow {
        LogRow(revision: revision, key: key, uid: uid, isDeletion: isDeletion, value: value)
    }
}
