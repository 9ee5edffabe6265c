import Foundation

extension Repository {
    /// What a job gets to work on.
    package struct SourceRequest: Sendable, Hashable {
        /// The full name of the commit.
        package var commit: String
        /// The branch or tag that the work tree's HEAD stands for; only a name in `.git`, the work tree is detached.
        package var ref: String
        /// How many commits of history come along; 0 brings all.
        package var depth: Int
        /// The URL that `origin` is set to. It must not carry credentials.
        package var origin: String
        /// What git runs where the server of `origin` asks who is there, as in `credential.helper`. The archive is shared, so the
        /// command must find its secret where it runs.
        package var credentialHelper: String

        package init(
            commit: String,
            ref: String = "",
            depth: Int = 20,
            origin: String,
            credentialHelper: String = ""
        ) {
            self.commit = commit
            self.ref = ref
            self.depth = depth
            self.origin = origin
            self.credentialHelper = credentialHelper
        }

        /// The part of `origin` that names the server.
        var server: String {
            let parts = origin.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
            return parts.prefix(3).joined(separator: "/")
        }
    }

    /// A tar archive of a work tree at a commit, with a shallow `.git` inside.
    ///
    /// Archives are made once and kept in a bounded cache: the jobs of a pipeline share one.
    /// - Throws: `GitError(.notFound)` when the commit is not in the repository.
    package func sources(_ request: SourceRequest) async throws -> SourceArchive {
        let commit = try await resolve(request.commit)
        let key = SourceCache.key([
            String(projectID), commit, request.ref, String(request.depth), request.origin, request.credentialHelper,
        ])
        if let archive = sourceCache.open(key) { return archive }
        let folder = sourceCache.temporaryPath()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await checkOut(commit, of: request, into: "\(folder)/tree")
        return try await pack("\(folder)/tree", into: "\(folder)/archive.tar", as: key)
    }

    /// A tar.gz or zip or tar of a commit's files, as a stream of `git archive`.
    package func archive(_ revision: String, format: ArchiveFormat, prefix: String) async throws -> [UInt8] {
        let commit = try await resolve(revision)
        let arguments = ["archive", "--format=\(format.rawValue)", "--prefix=\(prefix)/", commit]
        return try await git.run(arguments, in: path, limit: 512 << 20, timeout: .seconds(300)).standardOutput
    }

    package enum ArchiveFormat: String, Sendable, CaseIterable {
        case tarGzip = "tar.gz"
        case tar
        case zip
    }

    // MARK: - Private

    private func checkOut(_ commit: String, of request: SourceRequest, into tree: String) async throws {
        try FileManager.default.createDirectory(atPath: tree, withIntermediateDirectories: true)
        _ = try await git.run(["init", "--quiet", "--template=", tree])
        // What goes from one folder of this machine to the next is not worth the time that making it small takes.
        var fetch = ["-c", "core.compression=0", "fetch", "--quiet", "--no-tags"]
        fetch.append("--upload-pack=git -c core.compression=0 -c pack.window=0 upload-pack")
        if request.depth > 0 { fetch.append("--depth=\(request.depth)") }
        // The file protocol honours --depth; a plain path would not.
        _ = try await git.run(fetch + ["file://\(path)", commit], in: tree, timeout: .seconds(600))
        _ = try await git.run(["remote", "add", "origin", request.origin], in: tree)
        if !request.credentialHelper.isEmpty {
            let name = "credential.\(request.server).helper"
            _ = try await git.run(["config", name, request.credentialHelper], in: tree)
        }
        if !request.ref.isEmpty,
            try await git.output(["check-ref-format", "--branch", request.ref], in: tree).status == 0
        {
            _ = try await git.run(["update-ref", "refs/remotes/origin/\(request.ref)", commit], in: tree)
        }
        _ = try await git.run(
            ["-c", "core.hooksPath=/dev/null", "checkout", "--quiet", "--detach", commit],
            in: tree,
            timeout: .seconds(600)
        )
        try? FileManager.default.removeItem(atPath: "\(tree)/.git/FETCH_HEAD")
    }

    private func pack(_ tree: String, into file: String, as key: String) async throws -> SourceArchive {
        let arguments = [
            "--create", "--file", file, "--owner=0", "--group=0", "--numeric-owner", "--directory", tree, ".",
        ]
        let result = try await git.program("tar", arguments, timeout: .seconds(600))
        guard result.status == 0 else { throw GitError(.failed, "tar failed: \(result.standardError)") }
        return try sourceCache.adopt(file, as: key)
    }
}
