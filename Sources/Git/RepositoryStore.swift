import Foundation

/// Bare repositories on disk, one per project.
///
/// A repository lives at `<root>/repositories/NN/ID.git` where ID is the project's number and NN its last two digits.
/// Names that people choose never become part of a path, so no name can escape the root and a rename moves nothing.
package struct RepositoryStore: Sendable {
    package let root: String
    package let git: GitProgram
    let sourceCache: SourceCache

    /// Prepares the folders and the configuration that every git process of this store reads.
    package init(root: String) throws {
        self.root = root
        // A git that ends early must cost one error, not the process.
        signal(SIGPIPE, SIG_IGN)
        for folder in ["repositories", "home", "hooks", "cache", "tmp"] {
            try FileManager.default.createDirectory(atPath: "\(root)/\(folder)", withIntermediateDirectories: true)
        }
        try Self.replace("\(root)/gitconfig", with: Self.gitConfiguration(hooks: "\(root)/hooks"), mode: 0o600)
        for hook in ReceiveHook.allCases {
            try Self.replace("\(root)/hooks/\(hook.rawValue)", with: hook.script, mode: 0o700)
        }
        git = GitProgram(configurationFile: "\(root)/gitconfig", home: "\(root)/home")
        sourceCache = try SourceCache(directory: "\(root)/cache", temporary: "\(root)/tmp")
    }

    /// Makes the empty repository of a project with the default branch `defaultBranch`.
    ///
    /// The repository appears whole or not at all.
    /// - Throws: `GitError(.conflict)` when it exists.
    @discardableResult
    package func create(projectID: Int, defaultBranch: String = "main") async throws -> Repository {
        let path = path(ofProject: projectID)
        guard !FileManager.default.fileExists(atPath: path) else {
            throw GitError(.conflict, "the repository of project \(projectID) exists already")
        }
        let temporary = "\(root)/tmp/\(UUID().uuidString).git"
        defer { try? FileManager.default.removeItem(atPath: temporary) }
        _ = try await git.run([
            "init", "--quiet", "--bare", "--template=", "--initial-branch=\(defaultBranch)", temporary,
        ])
        try FileManager.default.createDirectory(
            atPath: (path as NSString).deletingLastPathComponent,
            withIntermediateDirectories: true
        )
        try FileManager.default.moveItem(atPath: temporary, toPath: path)
        return Repository(projectID: projectID, path: path, git: git, sourceCache: sourceCache)
    }

    /// The repository of a project.
    /// - Throws: `GitError(.notFound)` when there is none.
    package func repository(ofProject projectID: Int) throws -> Repository {
        let path = path(ofProject: projectID)
        guard FileManager.default.fileExists(atPath: "\(path)/HEAD") else {
            throw GitError(.notFound, "project \(projectID) has no repository")
        }
        return Repository(projectID: projectID, path: path, git: git, sourceCache: sourceCache)
    }

    /// Removes the repository of a project; removing what is not there is no error.
    package func delete(projectID: Int) throws {
        let path = path(ofProject: projectID)
        guard FileManager.default.fileExists(atPath: path) else { return }
        let doomed = "\(root)/tmp/\(UUID().uuidString).git"
        try FileManager.default.moveItem(atPath: path, toPath: doomed)
        try FileManager.default.removeItem(atPath: doomed)
    }

    /// Removes what an interrupted run left behind: temporary files, objects of pushes that were never accepted, and locks, behind
    /// which a reference could never move again. Call it once, before serving, when no git of an earlier run is alive.
    package func removeLeftovers() throws {
        let files = FileManager.default
        for name in try files.contentsOfDirectory(atPath: "\(root)/tmp") {
            try files.removeItem(atPath: "\(root)/tmp/\(name)")
        }
        for shelf in try files.contentsOfDirectory(atPath: "\(root)/repositories") {
            for name in try files.contentsOfDirectory(atPath: "\(root)/repositories/\(shelf)") {
                try Self.removeLeftovers(inRepository: "\(root)/repositories/\(shelf)/\(name)")
            }
        }
    }

    private static func removeLeftovers(inRepository path: String) throws {
        for (folder, prefix) in [(path, "sampan-index-"), ("\(path)/objects", "tmp_objdir-")] {
            for name in try FileManager.default.contentsOfDirectory(atPath: folder) where name.hasPrefix(prefix) {
                try FileManager.default.removeItem(atPath: "\(folder)/\(name)")
            }
        }
        for name in try FileManager.default.contentsOfDirectory(atPath: path) where name.hasSuffix(".lock") {
            try FileManager.default.removeItem(atPath: "\(path)/\(name)")
        }
        // No reference's name ends with .lock (git-check-ref-format).
        let references = FileManager.default.enumerator(atPath: "\(path)/refs")
        while let name = references?.nextObject() as? String {
            if name.hasSuffix(".lock") { try FileManager.default.removeItem(atPath: "\(path)/refs/\(name)") }
        }
    }

    // MARK: - Private

    func path(ofProject projectID: Int) -> String {
        precondition(projectID > 0, "A project's number is positive.")
        let shelf = String(projectID % 100)
        return "\(root)/repositories/\(shelf.count < 2 ? "0" + shelf : shelf)/\(projectID).git"
    }

    private static func gitConfiguration(hooks: String) -> String {
        """
        [safe]
        \tdirectory = *
        [core]
        \thooksPath = \(hooks)
        \tfsync = committed,reference
        \tlogAllRefUpdates = false
        [gc]
        \tautoDetach = false
        [receive]
        \tdenyNonFastForwards = false
        \tdenyDeletes = false
        \tdenyDeleteCurrent = ignore
        \tfsckObjects = true
        \tadvertisePushOptions = true
        \tadvertiseAtomic = true
        [receive "fsck"]
        \tmissingSpaceBeforeDate = ignore
        \tzeroPaddedFilemode = ignore
        [uploadpack]
        \tallowAnySHA1InWant = true
        \tallowFilter = true
        [http]
        \treceivepack = true
        [protocol]
        \tversion = 2
        [user]
        \tname = Sampan
        \temail = noreply@sampan.invalid
        [init]
        \tdefaultBranch = main

        """
    }

    private static func replace(_ path: String, with text: String, mode: Int) throws {
        try Data(text.utf8).write(to: URL(filePath: path), options: .atomic)
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
    }
}
