extension Repository {
    /// Which part of a history to list.
    package struct HistoryQuery: Sendable {
        /// A branch, tag or commit, or `one..other` / `one...other` given by `range`.
        package var revision: String
        /// Commits reachable from here are left out.
        package var excluding: String?
        /// Only commits that touch this path.
        package var path: String?
        package var since: String?
        package var until: String?
        package var author: String?
        package var firstParentOnly = false
        package var skip = 0
        /// At most this many commits come, 1...1000.
        package var limit = 20

        package init(revision: String, limit: Int = 20) {
            self.revision = revision
            self.limit = limit
        }
    }

    /// One commit.
    /// - Throws: `GitError(.notFound)`.
    package func commit(_ revision: String) async throws -> Commit {
        let id = try await resolve(revision)
        let output = try await git.run(["log", "-1", "--no-show-signature", Commit.format, id, "--"], in: path)
        guard let commit = Commit.parse(output.standardOutput).first else {
            throw GitError(.notFound, "no commit is named \"\(revision)\"")
        }
        return commit
    }

    /// The commits of a history, newest first.
    package func log(_ query: HistoryQuery) async throws -> [Commit] {
        var arguments = ["log", "--no-show-signature", Commit.format]
        arguments += ["--max-count=\(min(max(query.limit, 1), 1000))", "--skip=\(max(query.skip, 0))"]
        arguments += try await selection(query)
        return Commit.parse(try await git.run(arguments, in: path).standardOutput)
    }

    /// How many commits a query without its paging has.
    package func commitCount(_ query: HistoryQuery) async throws -> Int {
        let output = try await git.run(["rev-list", "--count"] + selection(query), in: path)
        return Int(output.line) ?? 0
    }

    /// Lines added and removed by a commit, against its first parent.
    package func statistics(of revision: String) async throws -> (additions: Int, deletions: Int) {
        let id = try await resolve(revision)
        let arguments = ["diff-tree", "--root", "--no-commit-id", "--numstat", "-r", "-m", "--first-parent", id]
        let lines = try await git.run(arguments, in: path).text.split(separator: "\n")
        return lines.reduce(into: (0, 0)) { sum, line in
            let columns = line.split(separator: "\t")
            guard columns.count >= 3 else { return }
            sum.0 += Int(columns[0]) ?? 0
            sum.1 += Int(columns[1]) ?? 0
        }
    }

    // MARK: - Private

    private func selection(_ query: HistoryQuery) async throws -> [String] {
        var arguments: [String] = []
        if query.firstParentOnly { arguments.append("--first-parent") }
        if let since = query.since { arguments.append("--since=\(since)") }
        if let until = query.until { arguments.append("--until=\(until)") }
        if let author = query.author { arguments += ["--fixed-strings", "--author=\(author)"] }
        arguments.append(try await resolve(query.revision))
        if let excluding = query.excluding { arguments.append("^" + (try await resolve(excluding))) }
        arguments.append("--")
        if let path = query.path { arguments.append(":(literal)\(path)") }
        return arguments
    }

    func commits(named ids: [String]) async throws -> [String: Commit] {
        guard !ids.isEmpty else { return [:] }
        // Names go through standard input: thousands of branches do not fit into a command line.
        let input = Array(ids.map { $0 + "^{commit}\n" }.joined().utf8)
        let arguments = [
            "log", "--no-walk=unsorted", "--ignore-missing", "--no-show-signature", Commit.format, "--stdin",
        ]
        let output = try await git.run(arguments, in: path, input: input)
        return Dictionary(
            Commit.parse(output.standardOutput).map { ($0.id, $0) },
            uniquingKeysWith: { first, _ in first }
        )
    }
}
