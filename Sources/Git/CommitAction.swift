/// One change of a file in a commit made through the API.
package struct CommitAction: Sendable, Hashable {
    package enum Kind: String, Sendable, CaseIterable {
        case create, update, delete, move, chmod
    }

    package var kind: Kind
    package var path: String
    /// Where a moved file was.
    package var previousPath: String?
    /// The new bytes; nil on a move keeps the old ones.
    package var content: [UInt8]?
    package var isExecutable: Bool?
    /// When set, the action fails unless this commit is the last that touched the file.
    package var lastCommitID: String?

    package init(
        _ kind: Kind,
        _ path: String,
        previousPath: String? = nil,
        content: [UInt8]? = nil,
        isExecutable: Bool? = nil,
        lastCommitID: String? = nil
    ) {
        self.kind = kind
        self.path = path
        self.previousPath = previousPath
        self.content = content
        self.isExecutable = isExecutable
        self.lastCommitID = lastCommitID
    }
}

/// A commit to make through the API.
package struct CommitRequest: Sendable {
    package var branch: String
    /// Where a new branch begins: a branch, tag or commit.
    package var start: String?
    package var message: String
    package var author: Signature
    package var committer: Signature
    package var actions: [CommitAction]

    package init(
        branch: String,
        start: String? = nil,
        message: String,
        author: Signature,
        committer: Signature? = nil,
        actions: [CommitAction]
    ) {
        self.branch = branch
        self.start = start
        self.message = message
        self.author = author
        self.committer = committer ?? author
        self.actions = actions
    }
}

/// The files of a commit under change. Pure: paths, modes and contents in, paths, modes and contents out.
struct FileTable {
    enum Content: Hashable {
        /// An object that is in the repository.
        case object(String)
        /// Bytes that become an object.
        case bytes([UInt8])
    }

    struct Entry: Hashable {
        var mode: String
        var content: Content
    }

    private(set) var entries: [String: Entry]
    /// What changed: nil means removed.
    private(set) var changes: [String: Entry?] = [:]

    init(entries: [String: Entry] = [:]) {
        self.entries = entries
    }

    /// - Throws: `GitError(.invalid)` with GitLab's words when the action does not fit the files.
    mutating func apply(_ action: CommitAction) throws(GitError) {
        guard Repository.isPlausiblePath(action.path) else {
            throw GitError(.invalid, "\"\(action.path)\" is not a path inside a repository")
        }
        switch action.kind {
        case .create:
            guard entries[action.path] == nil else {
                throw GitError(.invalid, "A file with this name already exists: \(action.path)")
            }
            try put(action, mode: "100644", fallback: .bytes([]))
        case .update:
            let old = try existing(action.path)
            try put(action, mode: old.mode, fallback: .bytes([]))
        case .chmod:
            let old = try existing(action.path)
            try put(action, mode: old.mode, fallback: old.content)
        case .delete:
            _ = try existing(action.path)
            remove(action.path)
        case .move:
            try move(action)
        }
    }

    private mutating func move(_ action: CommitAction) throws(GitError) {
        guard let previous = action.previousPath else {
            throw GitError(.invalid, "previous_path is missing for the move to \(action.path)")
        }
        let old = try existing(previous)
        guard entries[action.path] == nil else {
            throw GitError(.invalid, "A file with this name already exists: \(action.path)")
        }
        remove(previous)
        try put(action, mode: old.mode, fallback: old.content)
    }

    private func existing(_ path: String) throws(GitError) -> Entry {
        guard let entry = entries[path] else {
            throw GitError(.invalid, "A file with this name doesn't exist: \(path)")
        }
        return entry
    }

    private mutating func put(_ action: CommitAction, mode: String, fallback: Content) throws(GitError) {
        try checkFolders(of: action.path)
        var mode = mode
        if let isExecutable = action.isExecutable { mode = isExecutable ? "100755" : "100644" }
        let entry = Entry(mode: mode, content: action.content.map(Content.bytes) ?? fallback)
        entries[action.path] = entry
        changes[action.path] = .some(entry)
    }

    private mutating func remove(_ path: String) {
        entries[path] = nil
        changes[path] = .some(nil)
    }

    /// A file cannot be where a folder is, nor inside of a file.
    private func checkFolders(of path: String) throws(GitError) {
        var folder = path
        while let slash = folder.lastIndex(of: "/") {
            folder = String(folder[..<slash])
            if entries[folder] != nil { throw GitError(.invalid, "\"\(folder)\" is a file, not a folder") }
        }
        if entries.keys.contains(where: { $0.hasPrefix(path + "/") }) {
            throw GitError(.invalid, "A folder with this name already exists: \(path)")
        }
    }
}
