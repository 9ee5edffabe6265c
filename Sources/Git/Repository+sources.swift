import Foundation

extension Repository {
    /// What a job gets to work on.
    package struct SourceRequest: Sendable, Hashable {
        /// The full name of the commit.
        package var commit: String
        /// The branch or tag that the work tree's HEAD stands for; only a name in `.git`, the work tree is detached.
        package var ref: String
        package var isTag: Bool
        /// How many commits of history come along; 0 brings all, with all branches and tags.
        package var depth: Int
        /// The URL that `origin` is set to. It must not carry credentials.
        package var origin: String
        /// What git runs where the server of `origin` asks who is there, as in `credential.helper`. The archive is shared, so the
        /// command must find its secret where it runs.
        package var credentialHelper: String

        package init(
            commit: String,
            ref: String = "",
            isTag: Bool = false,
            depth: Int = 20,
            origin: String,
            credentialHelper: String = ""
        ) {
            self.commit = commit
            self.ref = ref
            self.isTag = isTag
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
        var facts = [
            String(projectID), commit, request.ref, "\(request.isTag)", "\(request.depth)", request.origin,
            request.credentialHelper,
        ]
        if request.depth == 0 { facts += try await branchesAndTags().map { "\($0.name) \($0.target)" } }
        let key = SourceCache.key(facts)
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
        try await fetch(commit, of: request, into: tree)
        _ = try await git.run(["remote", "add", "origin", request.origin], in: tree)
        if !request.credentialHelper.isEmpty {
            let name = "credential.\(request.server).helper"
            _ = try await git.run(["config", name, request.credentialHelper], in: tree)
        }
        _ = try await git.run(
            ["-c", "core.hooksPath=/dev/null", "checkout", "--quiet", "--detach", commit],
            in: tree,
            timeout: .seconds(600)
        )
        try? FileManager.default.removeItem(atPath: "\(tree)/.git/FETCH_HEAD")
    }

    private func fetch(_ commit: String, of request: SourceRequest, into tree: String) async throws {
        // What goes from one folder of this machine to the next is not worth the time that making it small takes.
        var fetch = ["-c", "core.compression=0", "fetch", "--quiet", "--no-tags"]
        fetch.append("--upload-pack=git -c core.compression=0 -c pack.window=0 upload-pack")
        if request.depth > 0 { fetch.append("--depth=\(request.depth)") }
        // The file protocol honours --depth; a plain path would not.
        fetch += ["file://\(path)", commit]
        if request.depth == 0 { fetch += ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"] }
        _ = try await git.run(fetch, in: tree, timeout: .seconds(600))
        let folder = request.isTag ? "refs/tags" : "refs/remotes/origin"
        guard !request.ref.isEmpty,
            try await git.output(["check-ref-format", "\(folder)/\(request.ref)"], in: tree).status == 0
        else { return }
        if request.isTag {
            // An annotated tag is an object of its own. It may have been deleted meanwhile; the commit is there.
            let refspec = "+refs/tags/\(request.ref):refs/tags/\(request.ref)"
            let arguments = [
                "fetch", "--quiet", "--no-tags", "--depth=\(max(1, request.depth))", "file://\(path)", refspec,
            ]
            if request.depth > 0 { _ = try await git.output(arguments, in: tree) }
        } else {
            _ = try await git.run(["update-ref", "\(folder)/\(request.ref)", commit], in: tree)
        }
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
