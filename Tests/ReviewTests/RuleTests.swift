import Foundation
import Git
import Hummingbird
import NIOCore
import Testing

@testable import Review

@Suite struct PathRuleTests {
    @Test(arguments: ["shop", "my-shop", "a.b_c", "_x", "9lives", "X"])
    func goodNamesPass(_ name: String) throws {
        try PathRule.check(name)
    }

    @Test(arguments: [
        "", "-x", "x-", ".", "..", "a..b", "x.", "a/b", "a b", "x.git", "x.GIT", "x.atom", "ä", "a\0", "../etc",
        ".hidden",
        String(repeating: "x", count: 256),
    ])
    func badNamesAreRefusedWithWords(_ name: String) {
        let error = #expect(throws: GitLabError.self) { try PathRule.check(name) }
        #expect(error?.status == .badRequest)
        #expect(error?.description.contains("can contain only letters") == true)
    }

    @Test(arguments: ["api", "API", "v2", "jwt", "-", "mirror", "sampan"])
    func whatTheWebPortUsesIsReserved(_ name: String) throws {
        #expect(throws: GitLabError.self) { try PathRule.check(name) }
        if PathRule.isValid(name) { try PathRule.check(name, isFirst: false) }
    }
}

@Suite struct ProtectedBranchTests {
    private func rule(
        _ name: String,
        push: AccessLevel = .maintainer,
        force: Bool = false
    ) -> ProtectedBranch {
        ProtectedBranch(
            id: 1,
            projectID: 1,
            name: name,
            pushAccessLevel: push,
            mergeAccessLevel: .maintainer,
            allowForcePush: force
        )
    }

    @Test(arguments: [
        ("main", "main", true), ("main", "main2", false), ("release/*", "release/1", true),
        ("release/*", "release", false),
        ("*", "anything/at/all", true), ("*-stable", "v1-stable", true), ("a*b*c", "a-b-c", true),
        ("a*b*c", "acb", false),
        ("ab*ba", "aba", false), ("*x*", "axb", true), ("Main", "main", false),
    ])
    func patternsMatchWholeNames(_ pattern: String, _ branch: String, _ matches: Bool) {
        #expect(rule(pattern).matches(branch) == matches)
    }

    private static let nothing = PushEvent.nothing
    private static let old = String(repeating: "1", count: 40)
    private static let new = String(repeating: "2", count: 40)

    private func verdict(
        _ rules: [ProtectedBranch],
        _ level: AccessLevel,
        _ ref: String,
        _ before: String,
        _ after: String,
        first: Bool = false
    ) -> PushVerdict {
        BranchProtection(rules: rules, level: level, defaultBranch: "main", isFirstPush: first)
            .verdict(on: [.init(ref: ref, before: before, after: after)])
    }

    @Test(arguments: [
        (AccessLevel.developer, AccessLevel.maintainer, false), (.maintainer, .maintainer, true),
        (.owner, .maintainer, true),
        (.developer, .developer, true), (.owner, .none, false),
    ])
    func theRuleSaysWhoPushes(_ level: AccessLevel, _ push: AccessLevel, _ passes: Bool) {
        let answer = verdict([rule("main", push: push)], level, "refs/heads/main", Self.old, Self.new)
        let refusal = PushVerdict.reject(
            message: "You are not allowed to push code to protected branches on this project."
        )
        #expect(answer == (passes ? .accept(fastForwardOnly: ["refs/heads/main"]) : refusal))
    }

    @Test func developersMakeTheFirstBranch() {
        let first = verdict([rule("main")], .developer, "refs/heads/main", Self.nothing, Self.new, first: true)
        #expect(first == .accept(fastForwardOnly: ["refs/heads/main"]))
        let later = verdict([rule("main")], .developer, "refs/heads/main", Self.nothing, Self.new)
        #expect(later != first)
    }

    @Test func theMostPermissiveRuleCounts() {
        let rules = [rule("main", push: .none), rule("*", push: .developer, force: true)]
        #expect(verdict(rules, .developer, "refs/heads/main", Self.old, Self.new) == .accept())
    }

    @Test func freeBranchesAndTagsAreFree() {
        #expect(verdict([rule("main")], .developer, "refs/heads/topic", Self.old, Self.new) == .accept())
        #expect(verdict([rule("*", push: .none)], .developer, "refs/tags/v1", Self.nothing, Self.new) == .accept())
    }

    @Test func theDefaultBranchStays() {
        let answer = verdict([], .owner, "refs/heads/main", Self.old, Self.nothing)
        #expect(answer == .reject(message: "The default branch of a project cannot be deleted."))
    }
}

@Suite struct RequestFieldsTests {
    @Test func formsAndQueriesAreRead() throws {
        let fields = RequestFields.parse(
            form: "name=My+Shop&path=a%2Fb&scopes[]=api&scopes[]=read_api&n=5&on=true&empty="
        )
        #expect(try fields.string("name") == "My Shop")
        #expect(try fields.string("path") == "a/b")
        #expect(try fields.strings("scopes") == ["api", "read_api"])
        #expect(try fields.int("n") == 5)
        #expect(try fields.bool("on") == true)
        #expect(try fields.int("empty") == nil)
    }

    @Test func wrongTypesNameTheParameter() {
        let fields = RequestFields([
            "n": .string("x"), "b": .string("maybe"), "o": .object([:]), "v": .string("secret"),
        ])
        #expect(throws: GitLabError.self) { try fields.int("n") }
        #expect(throws: GitLabError.self) { try fields.bool("b") }
        #expect(throws: GitLabError.self) { try fields.string("o") }
        #expect(throws: GitLabError.self) { try fields.objects("n") }
        let error = #expect(throws: GitLabError.self) { try fields.choice("v", of: Visibility.self) }
        #expect(error?.description == "v does not have a valid value: it must be one of private, internal, public")
        let missing = #expect(throws: GitLabError.self) { try fields.required("name") }
        #expect(missing?.description == "name is missing")
    }

    @Test func wholeNumbersOfJSONAreTexts() throws {
        let fields = RequestFields(["id": .number(7), "ratio": .number(0.5)])
        #expect(try fields.string("id") == "7")
        #expect(throws: GitLabError.self) { try fields.int("ratio") }
    }
}

@Suite struct PageTests {
    private func request(_ uri: String) -> Request {
        Request(
            head: .init(method: .get, scheme: nil, authority: nil, path: uri),
            body: RequestBody(buffer: ByteBuffer())
        )
    }

    @Test func headersNameTheNeighbours() throws {
        let page = Page(number: 2, size: 10)
        let uri = "/api/v4/projects?search=x&page=2&per_page=10&private_token=secret"
        let headers = page.headers(total: 25, request: request(uri), externalURL: "http://host")
        #expect(headers[.init("X-Total")!] == "25")
        #expect(headers[.init("X-Total-Pages")!] == "3")
        #expect(headers[.init("X-Next-Page")!] == "3")
        let link = try #require(headers[.init("Link")!])
        #expect(link.contains("<http://host/api/v4/projects?search=x&page=3&per_page=10>; rel=\"next\""))
        #expect(link.contains("rel=\"prev\"") && link.contains("rel=\"last\""))
        #expect(!link.contains("secret"))
    }

    @Test(arguments: [(0, 0, 1, 1), (-5, 1000, 1, 100), (Int.max, 100, Int.max, 100)])
    func bordersAreKept(_ number: Int, _ size: Int, _ expectedNumber: Int, _ expectedSize: Int) {
        let page = Page(number: number, size: size)
        #expect(page.number == expectedNumber)
        #expect(page.size == expectedSize)
        #expect(Page(number: Int.max, size: 100).slice([1, 2, 3]).isEmpty)
    }
}

@Suite struct CredentialTests {
    private func request(_ headers: HTTPFields, query: String = "") -> Request {
        Request(
            head: .init(method: .get, scheme: nil, authority: nil, path: "/x\(query)", headerFields: headers),
            body: RequestBody(buffer: ByteBuffer())
        )
    }

    @Test func everyPlaceOfACredentialIsKnown() throws {
        func text(_ headers: HTTPFields, _ query: String = "") -> String {
            WebAuthentication.credential(in: request(headers, query: query)).map { "\($0)" } ?? "none"
        }
        #expect(text([.privateToken: "t"]) == #"token("t")"#)
        #expect(text([.jobToken: "t"]) == #"jobToken("t")"#)
        #expect(text([.authorization: "Bearer t"]) == #"token("t")"#)
        #expect(text([.authorization: "Basic YTpiOmM="]) == #"basic(username: "a", secret: "b:c")"#)
        #expect(text([:], "?private_token=t") == #"token("t")"#)
        #expect(text([:], "?job_token=t") == #"jobToken("t")"#)
        #expect(text([.authorization: "Basic !!!"]) == "none")
        #expect(text([:]) == "none")
    }
}

@Suite struct SecretBoxTests {
    @Test func valuesComeBackOnlyWithKeyAndContext() throws {
        try withFolder { folder in
            let box = try SecretBox(keyFile: "\(folder)/key")
            let sealed = try box.seal("password", context: "variable:1")
            #expect(!String(decoding: sealed, as: UTF8.self).contains("password"))
            #expect(try SecretBox(keyFile: "\(folder)/key").open(sealed, context: "variable:1") == "password")
            #expect(throws: SecretBox.Unreadable.self) { try box.open(sealed, context: "variable:2") }
            var broken = sealed
            broken[broken.count - 1] ^= 1
            #expect(throws: SecretBox.Unreadable.self) { try box.open(broken, context: "variable:1") }
            #expect(throws: SecretBox.Unreadable.self) { try box.open(Data(), context: "variable:1") }
            let other = try SecretBox(keyFile: "\(folder)/other")
            #expect(throws: SecretBox.Unreadable.self) { try other.open(sealed, context: "variable:1") }
        }
    }

    @Test func theKeyIsForItsOwnerOnly() throws {
        try withFolder { folder in
            _ = try SecretBox(keyFile: "\(folder)/key")
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(folder)/key")
            #expect(attributes[.posixPermissions] as? NSNumber == 0o600)
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: "\(folder)/key")
            let error = #expect(throws: SecretBox.Unreadable.self) { try SecretBox(keyFile: "\(folder)/key") }
            #expect(error?.description.contains("chmod 600") == true)
        }
    }

    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = NSTemporaryDirectory() + "sampan-box-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }
}

@Suite struct CredentialCacheTests {
    @Test func entriesEndAndCanBeForgotten() {
        let cache = CredentialCache(lifetime: .seconds(60))
        let start = ContinuousClock.now
        cache.remember(userID: 7, name: "ada", secret: "x", now: start)
        #expect(cache.userID(name: "ada", secret: "x", now: start + .seconds(59)) == 7)
        #expect(cache.userID(name: "ada", secret: "x", now: start + .seconds(60)) == nil)
        #expect(cache.userID(name: "adax", secret: "", now: start) == nil)
        #expect(cache.userID(name: "ada", secret: "y", now: start) == nil)
        cache.forget()
        #expect(cache.userID(name: "ada", secret: "x", now: start) == nil)
    }
}

@Suite struct PasswordHasherTests {
    @Test func onlyTheRightPasswordMatches() async throws {
        let hasher = PasswordHasher(rounds: 1024)
        let hash = try await hasher.hash("correct horse")
        #expect(hash.hasPrefix("scrypt$1024$8$1$"))
        #expect(try await hasher.matches("correct horse", hash: hash))
        #expect(try await !hasher.matches("wrong horse", hash: hash))
        #expect(try await hasher.hash("correct horse") != hash)
        #expect(try await PasswordHasher(rounds: 2048).matches("correct horse", hash: hash))
        #expect(try await !hasher.matches("x", hash: "nonsense"))
    }
}
