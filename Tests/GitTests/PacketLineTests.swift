import HTTPTypes
import Testing

@testable import Git

@Suite struct PacketLineTests {
    @Test func linesCarryTheirLengthAsFourDigits() {
        #expect(
            String(decoding: PacketLine.encode("# service=git-upload-pack\n"), as: UTF8.self)
                == "001e# service=git-upload-pack\n"
        )
        #expect(PacketLine.encode("") == Array("0004".utf8))
    }

    @Test(arguments: ["zzzz", "0003", "0001x", "fff1"])
    func malformedLengthsAreRefused(_ text: String) {
        var offset = 0
        #expect(throws: PacketLine.Malformed.self) { try PacketLine.next(in: Array(text.utf8), at: &offset) }
    }

    @Test(arguments: ["", "00", "0009abc"])
    func anUnfinishedLineAsksForMore(_ text: String) throws {
        var offset = 0
        #expect(try PacketLine.next(in: Array(text.utf8), at: &offset) == .incomplete)
        #expect(offset == 0)
    }
}

@Suite struct PushRequestTests {
    private static let zero = String(repeating: "0", count: 40)
    private static let one = String(repeating: "1", count: 40)
    private static let two = String(repeating: "2", count: 40)

    private func body(_ lines: [String], options: [String]? = nil) -> [UInt8] {
        let commands = lines.flatMap { PacketLine.encode($0) } + PacketLine.flush
        guard let options else { return commands }
        return commands + options.flatMap { PacketLine.encode($0) } + PacketLine.flush
    }

    @Test func commandsAndCapabilitiesAreRead() throws {
        let bytes = body([
            "\(Self.zero) \(Self.one) refs/heads/main\0 report-status side-band-64k agent=git/2.39\n",
            "\(Self.one) \(Self.zero) refs/heads/old\n",
        ])
        let request = try #require(try PushRequest.parse(bytes + Array("PACK…".utf8)))
        #expect(
            request.updates == [
                .init(ref: "refs/heads/main", before: Self.zero, after: Self.one),
                .init(ref: "refs/heads/old", before: Self.one, after: Self.zero),
            ]
        )
        #expect(request.capabilities.contains("side-band-64k"))
    }

    @Test func optionsFollowWhenTheyWereAgreedOn() throws {
        let line = "\(Self.one) \(Self.two) refs/heads/main\0push-options\n"
        #expect(try PushRequest.parse(body([line])) == nil)
        let request = try #require(try PushRequest.parse(body([line], options: ["ci.skip", "title=a b"])))
        #expect(request.options == ["ci.skip", "title=a b"])
    }

    @Test func everyPrefixAsksForMore() throws {
        let bytes = body(["\(Self.one) \(Self.two) refs/heads/main\0push-options"], options: ["ci.skip"])
        for length in 0..<bytes.count {
            #expect(try PushRequest.parse(Array(bytes[..<length])) == nil)
        }
        #expect(try PushRequest.parse(bytes) != nil)
    }

    @Test func aShallowLineIsNoCommand() throws {
        let request = try PushRequest.parse(body(["shallow \(Self.one)", "\(Self.one) \(Self.two) refs/heads/main"]))
        #expect(request?.updates.count == 1)
    }

    @Test func garbageIsRefused() {
        #expect(throws: PacketLine.Malformed.self) { try PushRequest.parse(body(["not a command"])) }
    }
}

@Suite struct TargetTests {
    @Test(arguments: [
        ("/shop/web.git/info/refs", "service=git-upload-pack", "shop/web", GitService.uploadPack),
        ("/shop/web/info/refs", "service=git-receive-pack", "shop/web", .receivePack),
        ("/a/b/c/d.git/info/refs", "x=1&service=git-upload-pack", "a/b/c/d", .uploadPack),
    ])
    func advertisementsAreFound(_ path: String, _ query: String, _ project: String, _ service: GitService) throws {
        let target = try #require(Target(method: .get, path: path, query: query, version: ""))
        #expect(target.path == project)
        #expect(target.service == service)
        #expect(target.isAdvertisement)
    }

    @Test(arguments: ["/shop/web.git/HEAD", "/shop/web.git/objects/info/packs", "/shop/web.git/info/refs"])
    func theDumbProtocolHasNoService(_ path: String) throws {
        let target = try #require(Target(method: .get, path: path, query: "", version: ""))
        #expect(target.service == nil)
    }

    @Test(arguments: ["/api/v4/projects", "/shop/web", "/info/refs", "/web.git/info/refs?", "/"])
    func otherRequestsAreLeftAlone(_ path: String) {
        #expect(Target(method: .get, path: path, query: "", version: "") == nil)
    }

    @Test(arguments: [("version=2", true), ("version=1", false), ("version=2\nX: y", false), ("a:version=2", true)])
    func onlyASaneVersionTwoIsPassedOn(_ header: String, _ isPassed: Bool) {
        let target = Target(method: .post, path: "/shop/web.git/git-upload-pack", query: "", version: header)
        #expect(target?.protocolVersion == (isPassed ? header : nil))
    }
}

@Suite struct FileTableTests {
    private func table() -> FileTable {
        FileTable(entries: [
            "README.md": .init(mode: "100644", content: .object("r")),
            "src/run.sh": .init(mode: "100755", content: .object("s")),
        ])
    }

    @Test func actionsChangeTheFiles() throws {
        var table = table()
        try table.apply(CommitAction(.create, "src/new.txt", content: [1]))
        try table.apply(CommitAction(.update, "src/run.sh", content: [2]))
        try table.apply(CommitAction(.move, "docs/README.md", previousPath: "README.md"))
        #expect(table.entries["src/new.txt"] == .init(mode: "100644", content: .bytes([1])))
        #expect(table.entries["src/run.sh"] == .init(mode: "100755", content: .bytes([2])))
        #expect(table.entries["docs/README.md"] == .init(mode: "100644", content: .object("r")))
        #expect(table.entries["README.md"] == nil)
        #expect(table.changes.keys.sorted() == ["README.md", "docs/README.md", "src/new.txt", "src/run.sh"])
    }

    @Test func chmodKeepsTheContent() throws {
        var table = table()
        try table.apply(CommitAction(.chmod, "README.md", isExecutable: true))
        #expect(table.entries["README.md"] == .init(mode: "100755", content: .object("r")))
    }

    @Test(arguments: [
        (CommitAction(.create, "README.md"), "already exists"),
        (CommitAction(.update, "missing"), "doesn't exist"),
        (CommitAction(.delete, "missing"), "doesn't exist"),
        (CommitAction(.move, "x"), "previous_path is missing"),
        (CommitAction(.move, "x", previousPath: "missing"), "doesn't exist"),
        (CommitAction(.create, "README.md/x"), "is a file, not a folder"),
        (CommitAction(.create, "src"), "A folder with this name already exists"),
        (CommitAction(.create, "../etc/passwd"), "not a path inside"),
        (CommitAction(.create, "/etc/passwd"), "not a path inside"),
        (CommitAction(.create, "a/.git/config"), "not a path inside"),
        (CommitAction(.create, "a/.GIT/config"), "not a path inside"),
        (CommitAction(.create, "a//b"), "not a path inside"),
        (CommitAction(.create, ""), "not a path inside"),
    ])
    func whatDoesNotFitIsRefused(_ action: CommitAction, _ words: String) throws {
        var table = table()
        let error = #expect(throws: GitError.self) { try table.apply(action) }
        #expect(error?.code == .invalid)
        #expect(error?.message.contains(words) == true)
    }
}
