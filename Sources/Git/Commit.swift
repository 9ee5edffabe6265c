/// A commit's facts.
package struct Commit: Sendable, Hashable {
    package let id: String
    package let parentIDs: [String]
    package let author: Signature
    package let committer: Signature
    /// The whole message.
    package let message: String

    package var shortID: String { String(id.prefix(8)) }
    /// The message's first line.
    package var title: String { message.split(separator: "\n", maxSplits: 1).first.map(String.init) ?? "" }
}

/// Who did something, and when.
package struct Signature: Sendable, Hashable {
    package let name: String
    package let email: String
    /// ISO 8601 with the zone of the person, for example `2026-01-31T12:00:00+08:00`. Empty means now, when writing.
    package let date: String

    package init(name: String, email: String, date: String = "") {
        self.name = name
        self.email = email
        self.date = date
    }
}

package struct Branch: Sendable, Hashable {
    package let name: String
    package let commit: Commit
}

package struct Tag: Sendable, Hashable {
    package let name: String
    /// The message of an annotated tag, empty for a lightweight one.
    package let message: String
    /// The name of the tag object, or of the commit for a lightweight tag.
    package let target: String
    package let commit: Commit
}

extension Commit {
    /// The `--format` whose output `parse` reads: every field ends in a NUL, so no message can look like a separator.
    static let format = "--format=tformat:%H%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B%x00"
    private static let fieldCount = 9

    /// Reads the output of `git log` with `format`.
    static func parse(_ output: [UInt8]) -> [Commit] {
        let fields = output.split(separator: 0, omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
        return stride(from: 0, through: fields.count - fieldCount, by: fieldCount).map { start in
            Commit(fields: Array(fields[start..<start + fieldCount]))
        }
    }

    private init(fields: [String]) {
        // The newline that ends a record is the first byte of the next one.
        id = String(fields[0].drop { $0 == "\n" })
        parentIDs = fields[1].split(separator: " ").map(String.init)
        author = Signature(name: fields[2], email: fields[3], date: fields[4])
        committer = Signature(name: fields[5], email: fields[6], date: fields[7])
        message = fields[8]
    }
}
