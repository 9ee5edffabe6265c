import Foundation

extension Repository {
    /// A branch or tag and the object that it points to.
    package struct Reference: Sendable, Hashable {
        package let name: String
        package let target: String
    }

    /// All branches as full reference names with their commits, sorted by name.
    package func heads() async throws -> [Reference] { try await references(below: "refs/heads") }

    /// All branches and tags as full reference names with what they point to. The cheap listing for reconciling.
    package func branchesAndTags() async throws -> [Reference] {
        try await references(below: "refs/heads", "refs/tags")
    }

    private func references(below folders: String...) async throws -> [Reference] {
        let output = try await git.run(["for-each-ref", "--format=%(objectname) %(refname)"] + folders, in: path)
        return output.text.split(separator: "\n").map { line in
            Reference(name: String(line.dropFirst(41)), target: String(line.prefix(40)))
        }
    }

    /// All branches with their last commits, sorted by name.
    package func branches() async throws -> [Branch] {
        let heads = try await heads()
        let commits = try await commits(named: heads.map(\.target))
        return heads.compactMap { head in
            commits[head.target].map { Branch(name: String(head.name.dropFirst(11)), commit: $0) }
        }
    }

    /// - Throws: `GitError(.notFound)`.
    package func branch(_ name: String) async throws -> Branch {
        Branch(name: name, commit: try await commit(try await target(of: "refs/heads/\(name)", called: name)))
    }

    /// All tags, sorted by name.
    package func tags() async throws -> [Tag] {
        let format = "--format=%(refname)%00%(objectname)%00%(*objectname)%00%(objecttype)%00%(contents)%00"
        let output = try await git.run(["for-each-ref", format, "refs/tags"], in: path)
        let fields = output.standardOutput.split(separator: 0, omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
        let records = stride(from: 0, through: fields.count - 5, by: 5).map { Array(fields[$0..<$0 + 5]) }
        let commits = try await commits(named: records.map { $0[2].isEmpty ? $0[1] : $0[2] })
        return records.compactMap { record in
            guard let commit = commits[record[2].isEmpty ? record[1] : record[2]] else { return nil }
            let name = record[0].trimmingCharacters(in: .newlines).dropFirst("refs/tags/".count)
            let message = record[3] == "tag" ? record[4].trimmingCharacters(in: .newlines) : ""
            return Tag(name: String(name), message: message, target: record[1], commit: commit)
        }
    }

    /// - Throws: `GitError(.notFound)`.
    package func tag(_ name: String) async throws -> Tag {
        guard let tag = try await tags().first(where: { $0.name == name }) else {
            throw GitError(.notFound, "no tag is named \"\(name)\"")
        }
        return tag
    }

    /// Makes a branch at a revision.
    /// - Throws: `GitError` with `.invalid` for a bad name, `.conflict` when the branch exists, `.notFound` for the revision.
    package func createBranch(_ name: String, at revision: String) async throws -> Branch {
        let commit = try await resolve(revision)
        try await checkName("refs/heads/\(name)", called: name)
        try await moveReference("refs/heads/\(name)", from: PushEvent.nothing, to: commit)
        return Branch(name: name, commit: try await self.commit(commit))
    }

    /// Removes a branch and returns the commit it pointed to.
    @discardableResult
    package func deleteBranch(_ name: String) async throws -> String {
        let target = try await target(of: "refs/heads/\(name)", called: name)
        try await moveReference("refs/heads/\(name)", from: target, to: PushEvent.nothing)
        return target
    }

    /// Makes a tag at a revision; with a message an annotated one.
    package func createTag(
        _ name: String,
        at revision: String,
        message: String = "",
        by tagger: Signature
    ) async throws -> Tag {
        let commit = try await resolve(revision)
        try await checkName("refs/tags/\(name)", called: name)
        var target = commit
        if !message.isEmpty {
            let date = "\(Int(Date().timeIntervalSince1970)) +0000"
            let object =
                "object \(commit)\ntype commit\ntag \(name)\ntagger \(tagger.name) <\(tagger.email)> \(date)\n\n\(message)\n"
            target = try await git.run(["mktag"], in: path, input: Array(object.utf8)).line
        }
        try await moveReference("refs/tags/\(name)", from: PushEvent.nothing, to: target)
        return try await tag(name)
    }

    /// Removes a tag and returns the object it pointed to.
    @discardableResult
    package func deleteTag(_ name: String) async throws -> String {
        let target = try await target(of: "refs/tags/\(name)", called: name)
        try await moveReference("refs/tags/\(name)", from: target, to: PushEvent.nothing)
        return target
    }

    /// Moves a reference if, and only if, it points to `before` (forty zeros: does not exist).
    /// - Throws: `GitError(.conflict)` when it points elsewhere.
    package func moveReference(_ ref: String, from before: String, to after: String) async throws {
        let result = try await git.output(["update-ref", ref, after, before], in: path)
        guard result.status == 0 else {
            let words = result.standardError.trimmingCharacters(in: .whitespacesAndNewlines)
            throw GitError(.conflict, "\(ref) was not moved: \(words)")
        }
    }

    /// Makes `HEAD` point to a branch, whether or not the branch exists yet.
    package func setDefaultBranch(_ name: String) async throws {
        try await checkName("refs/heads/\(name)", called: name)
        _ = try await git.run(["symbolic-ref", "HEAD", "refs/heads/\(name)"], in: path)
    }

    /// Whether the repository has no branch at all.
    package func isEmpty() async throws -> Bool {
        try await git.run(["for-each-ref", "--count=1", "refs/heads"], in: path).standardOutput.isEmpty
    }

    // MARK: - Private

    private func target(of ref: String, called name: String) async throws -> String {
        let result = try await git.output(["rev-parse", "--verify", "--quiet", ref], in: path)
        guard result.status == 0 else { throw GitError(.notFound, "there is no \"\(name)\"") }
        return result.line
    }

    func checkName(_ ref: String, called name: String) async throws {
        guard !name.hasPrefix("-"), try await git.output(["check-ref-format", ref]).status == 0 else {
            throw GitError(.invalid, "\"\(name)\" is not a valid name for a branch or tag")
        }
    }
}
