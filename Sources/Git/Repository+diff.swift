import Foundation

/// How one file differs between two commits.
package struct FileDiff: Sendable, Hashable {
    package let oldPath: String
    package let newPath: String
    /// Six octal digits; `000000` where the file does not exist.
    package let oldMode: String
    package let newMode: String
    /// One letter as git names it: A, C, D, M, R, T.
    package let status: Character
    /// The hunks, from the first `@@`; empty for binary files, renames without a change, and what was too large.
    package var patch: String
    /// Whether the hunks were left out because all of them together are too large.
    package var isTooLarge = false

    package var isNew: Bool { status == "A" }
    package var isDeleted: Bool { status == "D" }
    package var isRenamed: Bool { status == "R" }
}

extension Repository {
    /// The hunks of one comparison that are kept in memory: 8 MiB.
    package static let patchLimit = 8 << 20

    /// How the files of one commit differ from another's; from nothing when `old` is nil.
    package func diff(from old: String?, to new: String) async throws -> [FileDiff] {
        let from = try await old.mapAsync { try await resolve($0) } ?? Self.emptyTree
        let to = try await resolve(new)
        let raw = try await git.run(
            ["diff", "--raw", "-z", "-M", "--no-abbrev", "--no-ext-diff", from, to, "--"],
            in: path
        )
        let files = Self.parseRaw(raw.standardOutput)
        do {
            let arguments = ["diff", "-p", "-M", "--no-color", "--no-ext-diff", "--no-textconv", from, to, "--"]
            let patch = try await git.run(arguments, in: path, limit: Self.patchLimit)
            return Self.attach(Self.splitPatch(patch.text), to: files)
        } catch let error as GitError where error.code == .tooLarge {
            return files.map { file in
                var file = file
                file.isTooLarge = true
                return file
            }
        }
    }

    /// How a commit differs from its first parent.
    package func diff(of revision: String) async throws -> [FileDiff] {
        let commit = try await commit(revision)
        return try await diff(from: commit.parentIDs.first, to: commit.id)
    }

    /// The paths that differ between two commits.
    package func changedPaths(from old: String?, to new: String) async throws -> [String] {
        let from = try await old.mapAsync { try await resolve($0) } ?? Self.emptyTree
        let arguments = ["diff", "--name-only", "-z", "--no-renames", from, try await resolve(new), "--"]
        return try await git.run(arguments, in: path).standardOutput.split(separator: 0)
            .map { String(decoding: $0, as: UTF8.self) }
    }

    // MARK: - Private

    /// The tree without entries, which every git knows.
    private static let emptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

    /// Reads `:OLDMODE NEWMODE OLD NEW STATUS NUL PATH NUL [PATH NUL]`.
    static func parseRaw(_ output: [UInt8]) -> [FileDiff] {
        var fields = output.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }[...]
        var files: [FileDiff] = []
        while let head = fields.popFirst(), let oldPath = fields.popFirst() {
            let facts = head.dropFirst().split(separator: " ")
            guard facts.count == 5, let status = facts[4].first else { break }
            let newPath = status == "R" || status == "C" ? fields.popFirst() ?? oldPath : oldPath
            files.append(
                FileDiff(
                    oldPath: oldPath,
                    newPath: newPath,
                    oldMode: String(facts[0]),
                    newMode: String(facts[1]),
                    status: status,
                    patch: ""
                )
            )
        }
        return files
    }

    /// The hunks of each file, in git's order.
    static func splitPatch(_ patch: String) -> [String] {
        var sections: [String] = []
        var isInHunk = false
        for line in patch.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("diff --git ") {
                sections.append("")
                isInHunk = false
            } else if line.hasPrefix("@@ ") {
                isInHunk = true
            }
            // Lines of a hunk begin with a sign or a space; an empty one is only what the split left at the end.
            guard isInHunk, !line.isEmpty, !sections.isEmpty else { continue }
            sections[sections.count - 1] += line + "\n"
        }
        return sections
    }

    /// Both lists have git's order; a change of type has two sections.
    private static func attach(_ sections: [String], to files: [FileDiff]) -> [FileDiff] {
        var sections = sections[...]
        return files.map { file in
            var file = file
            file.patch = sections.popFirst() ?? ""
            if file.status == "T" { file.patch += sections.popFirst() ?? "" }
            return file
        }
    }
}

extension Optional {
    fileprivate func mapAsync<Result>(_ transform: (Wrapped) async throws -> Result) async rethrows -> Result? {
        switch self {
        case .none: nil
        case .some(let value): try await transform(value)
        }
    }
}
