import Foundation
import NIOCore
import Subprocess
import SystemPackage
import Testing

@testable import Git

@Suite struct RepositoryTests {
    @Test func aCommitThroughTheAPIIsReadBack() async throws {
        try await withRepository { _, repository in
            #expect(try await repository.isEmpty())
            let first = try await repository.write(
                ["README.md": "# Shop\n", "src/main.c": "int x;\n"],
                message: "First\n\nBody"
            )
            #expect(first.title == "First")
            #expect(first.author.name == "Ada")
            #expect(try await repository.blob("src/main.c", at: "main").bytes == Array("int x;\n".utf8))
            let tree = try await repository.tree(at: "main")
            #expect(tree.map(\.name) == ["src", "README.md"])
            #expect(try await repository.tree(at: "main", path: "src").map(\.path) == ["src/main.c"])
            let all = try await repository.tree(at: "main", recursive: true)
            #expect(all.map(\.path) == ["README.md", "src", "src/main.c"])
        }
    }

    @Test func historyIsPagedAndBoundToPaths() async throws {
        try await withRepository { _, repository in
            for number in 1...5 {
                try await repository.write(["file\(number % 2)": "\(number)\n"], message: "Change \(number)")
            }
            var query = Repository.HistoryQuery(revision: "main", limit: 2)
            query.skip = 1
            #expect(try await repository.log(query).map(\.title) == ["Change 4", "Change 3"])
            query.path = "file1"
            query.skip = 0
            #expect(try await repository.log(query).map(\.title) == ["Change 5", "Change 3"])
            #expect(try await repository.commitCount(query) == 3)
        }
    }

    @Test func namesResolveBranchFirst() async throws {
        try await withRepository { _, repository in
            let first = try await repository.write(["a": "1"])
            let second = try await repository.write(["a": "2"])
            _ = try await repository.createTag("same", at: first.id, by: someone)
            _ = try await repository.createBranch("same", at: second.id)
            #expect(try await repository.resolve("same") == second.id)
            #expect(try await repository.resolve(first.shortID) == first.id)
            #expect(try await repository.resolve("refs/tags/same") == first.id)
        }
    }

    @Test(arguments: [
        "", "-x", "--help", "main~1", "main^", "a..b", "main:README.md", "@{0}", "nothing", "HEAD^{tree}", "a b",
    ])
    func expressionsAndOptionsAreNoNames(_ revision: String) async throws {
        try await withRepository { _, repository in
            try await repository.write(["README.md": "x"])
            let error = await #expect(throws: GitError.self) { try await repository.resolve(revision) }
            #expect(error?.code == .notFound)
        }
    }

    @Test(arguments: ["../../etc/passwd", "/etc/passwd", ".git/config", "a/../../b", "", "--output=x"])
    func pathsCannotLeaveTheRepository(_ path: String) async throws {
        try await withRepository { _, repository in
            try await repository.write(["README.md": "x"])
            let error = await #expect(throws: GitError.self) { try await repository.blob(path, at: "main") }
            #expect(error?.code == .notFound)
        }
    }

    @Test func aBranchThatMovedMeanwhileIsNotOverwritten() async throws {
        try await withRepository { _, repository in
            let first = try await repository.write(["a": "1"])
            let second = try await repository.write(["a": "2"])
            let error = await #expect(throws: GitError.self) {
                try await repository.moveReference("refs/heads/main", from: first.id, to: first.id)
            }
            #expect(error?.code == .conflict)
            #expect(try await repository.resolve("main") == second.id)
        }
    }

    @Test func concurrentCommitsNeverLoseOne() async throws {
        try await withRepository { _, repository in
            try await repository.write(["start": "x"])
            let made = await withTaskGroup(of: Bool.self) { group in
                for number in 0..<8 {
                    group.addTask {
                        let action = CommitAction(.create, "file\(number)", content: [])
                        let request = CommitRequest(
                            branch: "main",
                            message: "\(number)",
                            author: someone,
                            actions: [action]
                        )
                        return (try? await repository.commit(request)) != nil
                    }
                }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(made >= 1)
            #expect(try await repository.tree(at: "main").count == made + 1)
            #expect(try await repository.commitCount(.init(revision: "main")) == made + 1)
        }
    }

    @Test func aStaleFileIsNotOverwritten() async throws {
        try await withRepository { _, repository in
            let first = try await repository.write(["a": "1"])
            try await repository.write(["a": "2"])
            let action = CommitAction(.update, "a", content: Array("3".utf8), lastCommitID: first.id)
            let request = CommitRequest(branch: "main", message: "m", author: someone, actions: [action])
            let error = await #expect(throws: GitError.self) { try await repository.commit(request) }
            #expect(error?.message.contains("has changed since you started editing it") == true)
        }
    }

    @Test func deletingAndMovingReachesTheTree() async throws {
        try await withRepository { _, repository in
            try await repository.write(["a/one": "1", "two": "2"])
            let actions = [CommitAction(.delete, "two"), CommitAction(.move, "two/three", previousPath: "a/one")]
            _ = try await repository.commit(
                CommitRequest(branch: "main", message: "m", author: someone, actions: actions)
            )
            #expect(try await repository.tree(at: "main", recursive: true).map(\.path) == ["two", "two/three"])
        }
    }

    @Test func branchesAndTagsComeAndGo() async throws {
        try await withRepository { _, repository in
            let commit = try await repository.write(["a": "1"])
            _ = try await repository.createBranch("feature/x", at: "main")
            #expect(try await repository.branches().map(\.name) == ["feature/x", "main"])
            #expect(try await repository.heads().map(\.name) == ["refs/heads/feature/x", "refs/heads/main"])
            let tag = try await repository.createTag("v1", at: "main", message: "Release", by: someone)
            #expect(tag.message == "Release")
            #expect(tag.commit.id == commit.id)
            #expect(tag.target != commit.id)
            try await repository.deleteBranch("feature/x")
            try await repository.deleteTag("v1")
            #expect(try await repository.branches().map(\.name) == ["main"])
            #expect(try await repository.tags().isEmpty)
        }
    }

    @Test(arguments: ["-f", "a..b", "a b", "x.lock", "/x", "x/", ""])
    func badBranchNamesAreRefused(_ name: String) async throws {
        try await withRepository { _, repository in
            try await repository.write(["a": "1"])
            let error = await #expect(throws: GitError.self) { try await repository.createBranch(name, at: "main") }
            #expect(error?.code == .invalid)
        }
    }

    @Test func differencesCarryHunksAndRenames() async throws {
        try await withRepository { _, repository in
            let text = (1...30).map { "line \($0)\n" }.joined()
            let first = try await repository.write(["old": text, "gone": "x\n", "kept": "a\n"])
            let actions = [
                CommitAction(.move, "new", previousPath: "old"), CommitAction(.delete, "gone"),
                CommitAction(.update, "kept", content: Array("b\n".utf8)),
                CommitAction(.create, "more", content: Array("m\n".utf8)),
            ]
            let request = CommitRequest(branch: "main", message: "m", author: someone, actions: actions)
            let second = try await repository.commit(request).commit
            let diff = try await repository.diff(from: first.id, to: second.id)
            #expect(diff.map(\.newPath) == ["gone", "kept", "more", "new"])
            #expect(diff.map { String($0.status) } == ["D", "M", "A", "R"])
            #expect(diff[1].patch == "@@ -1 +1 @@\n-a\n+b\n")
            #expect(diff[3].oldPath == "old" && diff[3].patch.isEmpty)
            let changed = try await repository.changedPaths(from: first.id, to: second.id)
            #expect(changed.sorted() == ["gone", "kept", "more", "new", "old"])
            #expect(try await repository.isAncestor(first.id, of: "main"))
            #expect(try await !repository.isAncestor("main", of: first.id))
            #expect(try await repository.diff(of: first.id).count == 3)
        }
    }
}

@Suite struct RepositoryStoreTests {
    @Test func aRepositoryIsMadeOnceAndRemoved() async throws {
        try await withTemporaryFolder { folder in
            let store = try RepositoryStore(root: folder)
            let repository = try await store.create(projectID: 107)
            #expect(repository.path == "\(folder)/repositories/07/107.git")
            let error = await #expect(throws: GitError.self) { try await store.create(projectID: 107) }
            #expect(error?.code == .conflict)
            try store.delete(projectID: 107)
            #expect(throws: GitError.self) { try store.repository(ofProject: 107) }
            try store.delete(projectID: 107)
        }
    }
}

extension RepositoryStoreTests {
    @Test func leftoversOfAKilledServerAreRemoved() async throws {
        try await withRepository { store, repository in
            let commit = try await repository.write(["a": "1"])
            let leftovers = ["\(store.root)/tmp/x", "\(repository.path)/objects/tmp_objdir-incoming-x"]
            for path in leftovers {
                try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            }
            let files = ["sampan-index-x", "HEAD.lock", "packed-refs.lock", "refs/heads/main.lock"]
            for name in files { try Data().write(to: URL(filePath: "\(repository.path)/\(name)")) }
            try store.removeLeftovers()
            for path in leftovers + files.map({ "\(repository.path)/\($0)" }) {
                #expect(!FileManager.default.fileExists(atPath: path))
            }
            #expect(try await repository.resolve("main") == commit.id)
        }
    }
}

@Suite struct SourcesTests {
    private func unpack(_ archive: SourceArchive, into folder: String) async throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        var bytes: [UInt8] = []
        while bytes.count < archive.size {
            let chunk = try await archive.read(at: bytes.count, length: 4096)
            try #require(chunk.readableBytes > 0)
            bytes += Array(chunk.readableBytesView)
        }
        let result = try await Subprocess.run(
            .name("tar"),
            arguments: ["--extract", "--directory", folder],
            input: .array(bytes),
            output: .discarded,
            error: .string(limit: 1 << 16)
        )
        try #require(result.terminationStatus.isSuccess, "\(result.standardError)")
    }

    @Test func aJobGetsAWorkTreeWithShallowHistory() async throws {
        try await withRepository { store, repository in
            for number in 1...5 {
                try await repository.write(["README.md": "\(number)\n"], message: "Change \(number)")
            }
            let commit = try await repository.resolve("main")
            let request = Repository.SourceRequest(
                commit: commit,
                ref: "main",
                depth: 2,
                origin: "http://127.0.0.1:8080/shop/web.git",
                credentialHelper: "!echo password=$SECRET"
            )
            let folder = "\(store.root)/job"
            try await unpack(try await repository.sources(request), into: folder)
            let git = GitClient(home: store.root)
            #expect(FileManager.default.contents(atPath: "\(folder)/README.md") == Data("5\n".utf8))
            #expect(try await git.check(["log", "--format=%s"], in: folder) == "Change 5\nChange 4")
            #expect(try await git.check(["status", "--porcelain"], in: folder) == "")
            #expect(try await git.check(["remote", "get-url", "origin"], in: folder) == request.origin)
            let known = try await git.check(["for-each-ref", "--format=%(objectname) %(refname)"], in: folder)
            #expect(known == "\(commit) refs/remotes/origin/main")
            let helper = try await git.check(
                ["config", "--get-urlmatch", "credential.helper", request.origin],
                in: folder
            )
            #expect(helper == request.credentialHelper)
            let other = try await git.run(
                ["config", "--get-urlmatch", "credential.helper", "http://elsewhere/x.git"],
                in: folder
            )
            #expect(!other.isSuccess)
        }
    }

    @Test func theWholeHistoryComesWithBranchesAndTags() async throws {
        try await withRepository { store, repository in
            var commits: [String] = []
            for number in 1...3 { commits.append(try await repository.write(["a": "\(number)\n"]).id) }
            _ = try await repository.createTag("v1", at: commits[0], message: "First", by: someone)
            _ = try await repository.createBranch("topic", at: commits[1])
            let commit = commits[2]
            let request = Repository.SourceRequest(commit: commit, ref: "main", depth: 0, origin: "http://x/y.git")
            let git = GitClient(home: store.root)
            try await unpack(try await repository.sources(request), into: "\(store.root)/job")
            #expect(try await git.check(["rev-list", "--count", "HEAD"], in: "\(store.root)/job") == "3")
            let described = try await git.check(["describe"], in: "\(store.root)/job")
            #expect(described == "v1-2-g\(commit.prefix(7))")
            #expect(try await git.check(["rev-parse", "origin/topic~1"], in: "\(store.root)/job").count == 40)

            // A tag that comes later is not missed because of what is kept.
            _ = try await repository.createTag("v2", at: "main", message: "Second", by: someone)
            try await unpack(try await repository.sources(request), into: "\(store.root)/again")
            #expect(try await git.check(["describe"], in: "\(store.root)/again") == "v2")
        }
    }

    @Test(arguments: ["Message", ""])
    func theWorkTreeOfATagKnowsItsTag(_ message: String) async throws {
        try await withRepository { store, repository in
            var commits: [String] = []
            for number in 1...3 { commits.append(try await repository.write(["a": "\(number)\n"]).id) }
            _ = try await repository.createTag("v1", at: commits[1], message: message, by: someone)
            let request = Repository.SourceRequest(
                commit: commits[1],
                ref: "v1",
                isTag: true,
                depth: 1,
                origin: "http://x/y.git"
            )
            try await unpack(try await repository.sources(request), into: "\(store.root)/job")
            let git = GitClient(home: store.root)
            #expect(try await git.check(["describe", "--tags", "--exact-match"], in: "\(store.root)/job") == "v1")
            #expect(try await git.check(["rev-list", "--count", "HEAD"], in: "\(store.root)/job") == "1")
            #expect(
                try await git.check(["for-each-ref", "--format=%(refname)"], in: "\(store.root)/job") == "refs/tags/v1"
            )
        }
    }

    @Test func anArchiveIsMadeOnce() async throws {
        try await withRepository { store, repository in
            let commit = try await repository.write(["README.md": "1\n"])
            let request = Repository.SourceRequest(commit: commit.id, depth: 1, origin: "http://x/y.git")
            let first = try await repository.sources(request)
            let files = try FileManager.default.contentsOfDirectory(atPath: "\(store.root)/cache")
            _ = try await repository.sources(request)
            #expect(try FileManager.default.contentsOfDirectory(atPath: "\(store.root)/cache") == files)
            #expect(files.count == 1)
            #expect(try FileManager.default.contentsOfDirectory(atPath: "\(store.root)/tmp").isEmpty)
            #expect(first.size > 0)
        }
    }

    @Test func theCacheForgetsTheOldestAndKeepsWhatIsOpen() async throws {
        try await withTemporaryFolder { folder in
            let cache = try SourceCache(directory: folder, temporary: folder, bound: 2500)
            for number in 1...3 {
                let file = "\(folder)/new"
                try Data(repeating: UInt8(number), count: 1000).write(to: URL(filePath: file))
                let held = try cache.adopt(file, as: "\(number)")
                #expect(held.size == 1000)
            }
            #expect(cache.open("1") == nil)
            #expect(cache.open("3") != nil)
        }
    }
}
