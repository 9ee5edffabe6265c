import Foundation

/// One entry of a folder in a commit.
package struct TreeEntry: Sendable, Hashable {
    package enum Kind: String, Sendable {
        case blob, tree, commit
    }

    package let id: String
    package let name: String
    /// The path from the top of the repository.
    package let path: String
    package let kind: Kind
    /// Six octal digits, for example `100644`.
    package let mode: String
}

/// A file's content in a commit.
package struct Blob: Sendable {
    package let id: String
    package let bytes: [UInt8]
    package let mode: String
}

extension Repository {
    /// The largest file that is read into memory: 100 MiB.
    package static let blobLimit = 100 << 20

    /// The entries of a folder, folders first, both by name; with `recursive` everything below.
    /// - Throws: `GitError(.notFound)` for the revision, or when the path is no folder in it.
    package func tree(
        at revision: String,
        path folder: String = "",
        recursive: Bool = false
    ) async throws -> [TreeEntry] {
        let commit = try await resolve(revision)
        let folder = folder.trimmingCharacters(in: CharacterSet(charactersIn: "/"))
        if !folder.isEmpty {
            guard try await entry(folder, at: commit)?.kind == .tree else {
                throw GitError(.notFound, "there is no folder \"\(folder)\" at \(revision)")
            }
        }
        var arguments = ["ls-tree", "-z", "--full-tree"]
        if recursive { arguments += ["-r", "-t"] }
        arguments += [folder.isEmpty ? commit : "\(commit):\(folder)"]
        let output = try await git.run(arguments, in: path)
        let entries = Self.parseTree(output.standardOutput, under: folder)
        return recursive
            ? entries : entries.sorted { ($0.kind == .tree ? 0 : 1, $0.name) < ($1.kind == .tree ? 0 : 1, $1.name) }
    }

    /// A file's bytes, at most `limit`.
    /// - Throws: `GitError` with `.notFound` when there is no such file, `.tooLarge` when it is larger.
    package func blob(_ file: String, at revision: String, limit: Int = Repository.blobLimit) async throws -> Blob {
        let commit = try await resolve(revision)
        guard let entry = try await entry(file, at: commit), entry.kind == .blob else {
            throw GitError(.notFound, "there is no file \"\(file)\" at \(revision)")
        }
        let bytes = try await blob(id: entry.id, limit: limit)
        return Blob(id: entry.id, bytes: bytes, mode: entry.mode)
    }

    /// A blob's bytes by its object name.
    package func blob(id: String, limit: Int = Repository.blobLimit) async throws -> [UInt8] {
        guard id.utf8.count == 40, id.utf8.allSatisfy({ "0123456789abcdef".utf8.contains($0) }) else {
            throw GitError(.notFound, "there is no blob \"\(id)\"")
        }
        let result = try await git.output(["cat-file", "blob", id], in: path, limit: limit)
        guard result.status == 0 else { throw GitError(.notFound, "there is no blob \"\(id)\"") }
        return result.standardOutput
    }

    /// The last commit that touched a path.
    package func lastCommit(of file: String, at revision: String) async throws -> Commit? {
        var query = HistoryQuery(revision: revision, limit: 1)
        query.path = file
        return try await log(query).first
    }

    // MARK: - Private

    func entry(_ file: String, at commit: String) async throws -> TreeEntry? {
        guard Self.isPlausiblePath(file) else { return nil }
        let arguments = ["--literal-pathspecs", "ls-tree", "-z", "--full-tree", commit, "--", file]
        let output = try await git.run(arguments, in: path)
        return Self.parseTree(output.standardOutput, under: "").first
    }

    /// A path inside a repository: relative, without empty, `.`, `..` or `.git` parts.
    package static func isPlausiblePath(_ path: String) -> Bool {
        guard !path.isEmpty, path.utf8.count <= 4096, !path.utf8.contains(0) else { return false }
        return path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy {
            !$0.isEmpty && $0 != "." && $0 != ".." && $0.lowercased() != ".git"
        }
    }

    private static func parseTree(_ output: [UInt8], under folder: String) -> [TreeEntry] {
        output.split(separator: 0).compactMap { record in
            guard let tab = record.firstIndex(of: UInt8(ascii: "\t")) else { return nil }
            let facts = String(decoding: record[..<tab], as: UTF8.self).split(separator: " ")
            guard facts.count >= 3, let kind = TreeEntry.Kind(rawValue: String(facts[1])) else { return nil }
            let path = String(decoding: record[record.index(after: tab)...], as: UTF8.self)
            return TreeEntry(
                id: String(facts[2]),
                name: (path as NSString).lastPathComponent,
                path: folder.isEmpty ? path : "\(folder)/\(path)",
                kind: kind,
                mode: String(facts[0])
            )
        }
    }
}
