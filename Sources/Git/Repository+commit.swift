import Foundation

extension Repository {
    /// A commit that was made, and where its branch was before (forty zeros for a new branch).
    package struct CommitResult: Sendable {
        package let commit: Commit
        package let before: String
    }

    /// Makes a commit from actions on files, all or nothing.
    ///
    /// The branch moves only if it is still where it was when the files were read (compare and swap).
    /// - Throws: `GitError` with `.invalid` when an action does not fit, `.conflict` when the branch moved meanwhile.
    package func commit(_ request: CommitRequest) async throws -> CommitResult {
        let ref = "refs/heads/\(request.branch)"
        try await checkName(ref, called: request.branch)
        let (before, parent) = try await parent(for: request)
        var table = FileTable(entries: try await entries(of: parent))
        for action in request.actions {
            try await checkFreshness(of: action, at: parent)
            try table.apply(action)
        }
        let tree = try await write(table, onto: parent)
        let id = try await writeCommit(tree, parent: parent, request)
        try await moveReference(ref, from: before, to: id)
        return CommitResult(commit: try await commit(id), before: before)
    }

    // MARK: - Private

    /// Where the branch is (forty zeros: nowhere), and which commit the new one follows (nil: none).
    private func parent(for request: CommitRequest) async throws -> (before: String, parent: String?) {
        let arguments = ["rev-parse", "--verify", "--quiet", "refs/heads/\(request.branch)"]
        let head = try await git.output(arguments, in: path)
        if head.status == 0 {
            if let start = request.start, start != request.branch {
                throw GitError(.invalid, "A branch called '\(request.branch)' already exists. Leave out the start.")
            }
            return (head.line, head.line)
        }
        if let start = request.start { return (PushEvent.nothing, try await resolve(start)) }
        guard try await isEmpty() else {
            throw GitError(.invalid, "You can only create or edit files when you are on a branch")
        }
        return (PushEvent.nothing, nil)
    }

    private func entries(of commit: String?) async throws -> [String: FileTable.Entry] {
        guard let commit else { return [:] }
        let output = try await git.run(["ls-tree", "-r", "-z", "--full-tree", commit], in: path, limit: 256 << 20)
        var entries: [String: FileTable.Entry] = [:]
        for record in output.standardOutput.split(separator: 0) {
            guard let tab = record.firstIndex(of: UInt8(ascii: "\t")) else { continue }
            let facts = String(decoding: record[..<tab], as: UTF8.self).split(separator: " ")
            let file = String(decoding: record[(tab + 1)...], as: UTF8.self)
            entries[file] = FileTable.Entry(mode: String(facts[0]), content: .object(String(facts[2])))
        }
        return entries
    }

    private func checkFreshness(of action: CommitAction, at parent: String?) async throws {
        guard let expected = action.lastCommitID, let parent else { return }
        let last = try await lastCommit(of: action.previousPath ?? action.path, at: parent)
        guard last?.id == expected else {
            throw GitError(
                .invalid,
                "You are attempting to update a file that has changed since you started editing it: \(action.path)"
            )
        }
    }

    private func write(_ table: FileTable, onto parent: String?) async throws -> String {
        // The index lies beside no repository file: it is ours alone and vanishes with this call.
        let index = "\(path)/sampan-index-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: index) }
        let environment = ["GIT_INDEX_FILE": index]
        let start = parent.map { [$0] } ?? ["--empty"]
        _ = try await git.run(["read-tree"] + start, in: path, environment: environment)
        var lines: [UInt8] = []
        for (file, entry) in table.changes.sorted(by: {
            ($0.value == nil ? 0 : 1, $0.key) < ($1.value == nil ? 0 : 1, $1.key)
        }) {
            let mode = entry?.mode ?? "0"
            let object = try await object(for: entry)
            lines += Array("\(mode) \(object)\t\(file)".utf8) + [0]
        }
        _ = try await git.run(["update-index", "-z", "--index-info"], in: path, input: lines, environment: environment)
        return try await git.run(["write-tree"], in: path, environment: environment).line
    }

    private func object(for entry: FileTable.Entry?) async throws -> String {
        switch entry?.content {
        case nil: return PushEvent.nothing
        case .object(let id): return id
        case .bytes(let bytes): return try await git.run(["hash-object", "-w", "--stdin"], in: path, input: bytes).line
        }
    }

    private func writeCommit(_ tree: String, parent: String?, _ request: CommitRequest) async throws -> String {
        var arguments = ["commit-tree", tree, "-F", "-"]
        if let parent { arguments += ["-p", parent] }
        var environment = [
            "GIT_AUTHOR_NAME": request.author.name,
            "GIT_AUTHOR_EMAIL": request.author.email,
            "GIT_COMMITTER_NAME": request.committer.name,
            "GIT_COMMITTER_EMAIL": request.committer.email,
        ]
        if !request.author.date.isEmpty { environment["GIT_AUTHOR_DATE"] = request.author.date }
        let message = request.message.hasSuffix("\n") ? request.message : request.message + "\n"
        return try await git.run(arguments, in: path, input: Array(message.utf8), environment: environment).line
    }
}
