import Foundation
package import Git

/// A commit as the API shows it.
package struct CommitEntity: Encodable, Sendable {
    package struct Stats: Encodable, Sendable {
        let additions: Int
        let deletions: Int
        let total: Int
    }

    let id: String
    let shortID: String
    let createdAt: String
    let parentIDs: [String]
    let title: String
    let message: String
    let authorName: String
    let authorEmail: String
    let authoredDate: String
    let committerName: String
    let committerEmail: String
    let committedDate: String
    let webURL: String
    var stats: Stats?

    private enum CodingKeys: String, CodingKey {
        case id, createdAt, title, message, authorName, authorEmail, authoredDate, committerName, committerEmail
        case committedDate, stats
        case shortID = "shortId"
        case parentIDs = "parentIds"
        case webURL = "webUrl"
    }

    package init(_ commit: Commit, project: Project, externalURL: String) {
        id = commit.id
        shortID = commit.shortID
        createdAt = Self.withMilliseconds(commit.committer.date)
        parentIDs = commit.parentIDs
        title = commit.title
        message = commit.message
        authorName = commit.author.name
        authorEmail = commit.author.email
        authoredDate = Self.withMilliseconds(commit.author.date)
        committerName = commit.committer.name
        committerEmail = commit.committer.email
        committedDate = Self.withMilliseconds(commit.committer.date)
        webURL = "\(externalURL)/\(project.pathWithNamespace)/-/commit/\(commit.id)"
    }

    /// git writes whole seconds, GitLab three digits more.
    private static func withMilliseconds(_ date: String) -> String {
        guard date.utf8.count >= 19 else { return date }
        let zone = date.dropFirst(19)
        return "\(date.prefix(19)).000\(zone == "Z" ? "+00:00" : zone)"
    }
}

struct BranchEntity: Encodable {
    let name: String
    let commit: CommitEntity
    let merged: Bool
    let protected: Bool
    let developersCanPush: Bool
    let developersCanMerge: Bool
    let canPush: Bool
    let `default`: Bool
    let webURL: String

    init(_ branch: Branch, project: Project, rules: [ProtectedBranch], level: AccessLevel, externalURL: String) {
        let matching = rules.filter { $0.matches(branch.name) }
        name = branch.name
        commit = CommitEntity(branch.commit, project: project, externalURL: externalURL)
        merged = false
        protected = !matching.isEmpty
        developersCanPush = matching.contains { $0.pushAccessLevel == .developer }
        developersCanMerge = matching.contains { $0.mergeAccessLevel == .developer }
        canPush =
            matching.isEmpty
            ? level >= .developer : matching.contains { $0.pushAccessLevel != .none && level >= $0.pushAccessLevel }
        `default` = branch.name == project.defaultBranch
        webURL = "\(externalURL)/\(project.pathWithNamespace)/-/tree/\(branch.name)"
    }
}

struct TagEntity: Encodable {
    let name: String
    let message: String
    let target: String
    let commit: CommitEntity
    let protected = false

    init(_ tag: Tag, project: Project, externalURL: String) {
        name = tag.name
        message = tag.message
        target = tag.target
        commit = CommitEntity(tag.commit, project: project, externalURL: externalURL)
    }
}

struct TreeEntity: Encodable {
    let id: String
    let name: String
    let type: String
    let path: String
    let mode: String

    init(_ entry: TreeEntry) {
        id = entry.id
        name = entry.name
        type = entry.kind.rawValue
        path = entry.path
        mode = entry.mode
    }
}

struct DiffEntity: Encodable {
    let diff: String
    let newPath: String
    let oldPath: String
    let aMode: String
    let bMode: String
    let newFile: Bool
    let renamedFile: Bool
    let deletedFile: Bool
    let tooLarge: Bool

    init(_ file: FileDiff) {
        diff = file.patch
        newPath = file.newPath
        oldPath = file.oldPath
        aMode = file.oldMode
        bMode = file.newMode
        newFile = file.isNew
        renamedFile = file.isRenamed
        deletedFile = file.isDeleted
        tooLarge = file.isTooLarge
    }
}

struct FileEntity: Encodable {
    let fileName: String
    let filePath: String
    let size: Int
    let encoding = "base64"
    let contentSHA256: String
    let ref: String
    let blobID: String
    let commitID: String
    let lastCommitID: String
    let executeFilemode: Bool
    let content: String

    private enum CodingKeys: String, CodingKey {
        case fileName, filePath, size, encoding, ref, executeFilemode, content
        case contentSHA256 = "contentSha256"
        case blobID = "blobId"
        case commitID = "commitId"
        case lastCommitID = "lastCommitId"
    }
}

struct ProtectedBranchEntity: Encodable {
    struct Level: Encodable {
        let id: Int
        let accessLevel: Int
        let accessLevelDescription: String
    }

    let id: Int
    let name: String
    let pushAccessLevels: [Level]
    let mergeAccessLevels: [Level]
    let allowForcePush: Bool

    init(_ rule: ProtectedBranch) {
        id = rule.id
        name = rule.name
        pushAccessLevels = [Self.level(rule.id, rule.pushAccessLevel)]
        mergeAccessLevels = [Self.level(rule.id, rule.mergeAccessLevel)]
        allowForcePush = rule.allowForcePush
    }

    private static func level(_ id: Int, _ level: AccessLevel) -> Level {
        let description =
            switch level {
            case .none: "No one"
            case .developer: "Developers + Maintainers"
            case .owner: "Owners"
            default: "Maintainers"
            }
        return Level(id: id, accessLevel: level.rawValue, accessLevelDescription: description)
    }
}
