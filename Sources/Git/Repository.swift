import Foundation

/// A bare repository on disk. A value: it holds no handle, and every method runs git.
package struct Repository: Sendable {
    package let projectID: Int
    package let path: String
    package let git: GitProgram
    let sourceCache: SourceCache

    /// The commit that a name stands for: a full or short commit name, a branch, a tag, or a full reference.
    ///
    /// Branches win over tags, and both over short commit names.
    /// - Throws: `GitError(.notFound)`.
    package func resolve(_ revision: String) async throws -> String {
        for candidate in Self.candidates(for: revision) {
            let result = try await git.output(["rev-parse", "--verify", "--quiet", "\(candidate)^{commit}"], in: path)
            if result.status == 0 { return result.line }
        }
        throw GitError(.notFound, "no branch, tag or commit is named \"\(revision)\"")
    }

    /// Whether `ancestor` is `descendant` or one of its ancestors.
    package func isAncestor(_ ancestor: String, of descendant: String) async throws -> Bool {
        let arguments = ["merge-base", "--is-ancestor", try await resolve(ancestor), try await resolve(descendant)]
        let result = try await git.output(arguments, in: path)
        guard result.status <= 1 else { throw GitError(.failed, result.standardError) }
        return result.status == 0
    }

    /// The best common ancestor, or nil when the histories share nothing.
    package func mergeBase(_ one: String, _ other: String) async throws -> String? {
        let result = try await git.output(["merge-base", try await resolve(one), try await resolve(other)], in: path)
        guard result.status <= 1 else { throw GitError(.failed, result.standardError) }
        return result.status == 0 ? result.line : nil
    }

    /// The bytes that the repository takes on disk, as `git count-objects` sees it.
    package func size() async throws -> Int {
        let lines = try await git.run(["count-objects", "-v"], in: path).text.split(separator: "\n")
        return lines.reduce(0) { sum, line in
            let parts = line.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
            guard parts.count == 2, parts[0] == "size" || parts[0] == "size-pack" else { return sum }
            return sum + (Int(parts[1]) ?? 0) * 1024
        }
    }

    // MARK: - Private

    static func candidates(for revision: String) -> [String] {
        guard isPlausibleRevision(revision) else { return [] }
        if revision == "HEAD" || revision.hasPrefix("refs/") { return [revision] }
        let isHexadecimal = revision.utf8.allSatisfy { "0123456789abcdefABCDEF".utf8.contains($0) }
        if isHexadecimal && revision.utf8.count == 40 { return [revision] }
        let names = ["refs/heads/\(revision)", "refs/tags/\(revision)"]
        return isHexadecimal && (4..<40).contains(revision.utf8.count) ? names + [revision] : names
    }

    /// A name that git takes as a name only, never as an option or an expression.
    private static func isPlausibleRevision(_ revision: String) -> Bool {
        guard !revision.isEmpty, revision.utf8.count <= 1024, !revision.hasPrefix("-") else { return false }
        let forbidden = Set(" ~^:?*[\\\u{7f}".utf8)
        return !revision.contains("..") && !revision.contains("@{")
            && revision.utf8.allSatisfy { $0 > 0x20 && !forbidden.contains($0) }
    }
}
