import Foundation
import GRDB
import Git
import HTTPTypes
import Testing

@testable import Review

@Suite struct ForgeTests {
    @Test func theFirstStartMakesRootOnce() async throws {
        try await withForge { world in
            let file = "\(world.folder)/root.password"
            let password = try String(contentsOfFile: file, encoding: .utf8).trimmingCharacters(in: .newlines)
            let attributes = try FileManager.default.attributesOfItem(atPath: file)
            #expect(attributes[.posixPermissions] as? NSNumber == 0o600)
            let principal = try await world.forge.authenticate(.basic(username: "root", secret: password))
            #expect(principal?.userID == (try await world.root()).id)
            let again = try await openForge(in: world.folder)
            #expect(try await again.forge.users().count == 1)
            #expect(try String(contentsOfFile: file, encoding: .utf8) == password + "\n")
        }
    }

    @Test func commitsAreDurable() async throws {
        try await withForge { world in
            let level = try await world.forge.database.write { try Int.fetchOne($0, sql: "PRAGMA synchronous") }
            #expect(level == 2)
        }
    }

    @Test func secretsAreNotInTheDatabase() async throws {
        try await withForge { world in
            let ada = try await world.user("ada")
            let token = try await world.token(of: ada)
            try await world.forge.database.writeWithoutTransaction {
                try $0.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)")
            }
            let bytes = try Data(contentsOf: URL(filePath: "\(world.folder)/forge.sqlite"))
            #expect(bytes.range(of: Data("ada@example.com".utf8)) != nil)
            #expect(bytes.range(of: Data(token.utf8)) == nil)
            #expect(bytes.range(of: Data("secret-ada".utf8)) == nil)
        }
    }

    @Test func tokensOpenUntilTheyEnd() async throws {
        try await withForge { world in
            let ada = try await world.user("ada")
            let issued = try await world.forge.createToken(ofUser: ada.id, name: "t", scopes: [.readAPI], by: .system)
            #expect(issued.secret.hasPrefix("glpat-"))
            let expected = Principal.user(ada, scopes: [.readAPI])
            #expect(try await world.forge.authenticate(.token(issued.secret)) == expected)
            #expect(try await world.forge.authenticate(.basic(username: "x", secret: issued.secret)) == expected)
            #expect(try await world.forge.authenticate(.token(issued.secret + "x")) == nil)
            try await world.forge.revokeToken(issued.token.id, by: .system)
            #expect(try await world.forge.authenticate(.token(issued.secret)) == nil)
            let past = try await world.forge.createToken(
                ofUser: ada.id,
                name: "old",
                scopes: [.api],
                expiresAt: "2020-01-01",
                by: .system
            )
            #expect(try await world.forge.authenticate(.token(past.secret)) == nil)
        }
    }

    @Test(arguments: ["2030-13-01", "tomorrow", "2030-2-30", "2030-02-30"])
    func onlyDatesEndATokens(_ text: String) async throws {
        try await withForge { world in
            let root = try await world.root()
            let error = await #expect(throws: GitLabError.self) {
                try await world.forge.createToken(
                    ofUser: root.id,
                    name: "t",
                    scopes: [.api],
                    expiresAt: text,
                    by: .system
                )
            }
            #expect(error?.description.contains("expires_at is invalid") == true)
        }
    }

    @Test func blockedUsersStayOutside() async throws {
        try await withForge { world in
            let ada = try await world.user("ada")
            let token = try await world.token(of: ada)
            #expect(try await world.forge.authenticate(.basic(username: "ada", secret: "secret-ada")) != nil)
            try await world.forge.setState(.blocked, ofUser: ada.id, by: .system)
            #expect(try await world.forge.authenticate(.token(token)) == nil)
            #expect(try await world.forge.authenticate(.basic(username: "ada", secret: "secret-ada")) == nil)
        }
    }

    @Test func aChangedPasswordEndsTheOldOneAtOnce() async throws {
        try await withForge { world in
            let ada = try await world.user("ada")
            #expect(try await world.forge.authenticate(.basic(username: "ada", secret: "secret-ada")) != nil)
            try await world.forge.setPassword("another secret", ofUser: ada.id, by: .system)
            #expect(try await world.forge.authenticate(.basic(username: "ada", secret: "secret-ada")) == nil)
            #expect(try await world.forge.authenticate(.basic(username: "ada", secret: "another secret")) != nil)
        }
    }

    @Test func jobTokensActForTheirProject() async throws {
        try await withForge { world in
            let ada = try await world.user("ada")
            let author = Author(userID: ada.id, name: "ada")
            let project = try await world.forge.createProject(path: "shop/web", by: author)
            let other = try await world.forge.createProject(path: "shop/lib", by: author)
            let foreign = try await world.forge.createProject(path: "bank/core", by: .system)
            let jobs = TestJobs()
            world.forge.setJobTokenResolver(jobs)
            let identity = JobIdentity(jobID: 3, projectID: project.id, userID: ada.id, ref: "main")
            jobs.set(identity, token: "glcbt-x")
            let job = try #require(try await world.forge.authenticate(.jobToken("glcbt-x")))
            #expect(job == .job(identity))
            #expect(try await world.forge.authenticate(.basic(username: "gitlab-ci-token", secret: "glcbt-x")) == job)
            #expect(try await world.forge.allows(job, .pushImages, in: project))
            #expect(try await !world.forge.allows(job, .push, in: project))
            #expect(try await !world.forge.allows(job, .maintain, in: project))
            #expect(try await world.forge.allows(job, .fetch, in: other))
            #expect(try await !world.forge.allows(job, .pushImages, in: other))
            #expect(try await !world.forge.allows(job, .read, in: foreign))
            jobs.set(nil, token: "glcbt-x")
            #expect(try await world.forge.authenticate(.jobToken("glcbt-x")) == nil)
        }
    }

    @Test func rolesComeDownFromGroups() async throws {
        try await withForge { world in
            let ada = try await world.user("ada")
            let project = try await world.forge.createProject(path: "shop/backend/api", by: .system)
            let principal = world.principal(ada)
            #expect(try await world.forge.accessLevel(of: principal, in: project) == .none)
            let shop = try #require(try await world.forge.namespace(path: "shop"))
            try await world.forge.setMember(ada.id, of: shop, level: .reporter, by: .system)
            #expect(try await world.forge.accessLevel(of: principal, in: project) == .reporter)
            try await world.forge.setMember(ada.id, of: project, level: .developer, by: .system)
            #expect(try await world.forge.accessLevel(of: principal, in: project) == .developer)
            try await world.forge.setMember(ada.id, of: project, level: .owner, expiresAt: "2020-01-01", by: .system)
            #expect(try await world.forge.accessLevel(of: principal, in: project) == .reporter)
            let members = try await world.forge.members(of: project, inherited: true)
            #expect(members.map(\.user.username) == ["ada"])
        }
    }

    @Test func everyChangeIsInTheAuditLog() async throws {
        try await withForge { world in
            let author = Author(userID: 1, name: "root", address: "192.0.2.1")
            let project = try await world.forge.createProject(path: "shop/web", by: author)
            var change = ProjectChange()
            change.description = "x"
            _ = try await world.forge.updateProject(project, change, by: author)
            try await world.forge.deleteProject(project, by: author)
            let events = try await world.forge.auditEvents(target: "project:\(project.id)")
            #expect(events.map(\.action) == ["project_deleted", "project_updated", "project_created"])
            #expect(events.allSatisfy { $0.address == "192.0.2.1" && $0.authorName == "root" })
        }
    }

    @Test func aMissingRepositoryIsMadeAtStart() async throws {
        try await withForge { world in
            let project = try await world.forge.createProject(path: "shop/web", by: .system)
            try world.forge.repositories.delete(projectID: project.id)
            try await world.forge.ensureRepositories()
            #expect(try await world.forge.repository(of: project).isEmpty())
        }
    }

    @Test(arguments: [
        (["master"], "main", "master"), (["topic", "main"], "main", "main"), (["alpha", "master"], "main", "master"),
        (["trunk"], "trunk", "trunk"), (["main"], "trunk", "main"), (["a", "b"], "main", "b"),
    ])
    func theFirstBranchBecomesTheDefaultOne(_ branches: [String], _ meant: String, _ expected: String) async throws {
        try await withForge { world in
            let group = try await world.forge.createGroup(path: "shop", name: "shop", by: .system)
            var project = try await world.forge.createProject(
                path: "web",
                name: "web",
                in: group,
                defaultBranch: meant,
                by: .system
            )
            let repository = try world.forge.repository(of: project)
            let first = try await world.commit(to: branches[0], of: project)
            for name in branches.dropFirst() { _ = try await repository.createBranch(name, at: first) }
            for name in branches.reversed() { await world.forge.pushed(.created(name, first, in: project)) }
            project = try #require(try await world.forge.project(project.id))
            #expect(project.defaultBranch == expected)
            #expect(try await world.forge.protectedBranches(of: project.id).map(\.name) == [expected])
            let head = try String(contentsOfFile: "\(repository.path)/HEAD", encoding: .utf8)
            #expect(head == "ref: refs/heads/\(expected)\n")

            // Later branches change nothing.
            _ = try await repository.createBranch("later", at: first)
            await world.forge.pushed(.created("later", first, in: project))
            #expect(try await world.forge.project(project.id)?.defaultBranch == expected)
        }
    }

    @Test func aFirstPushThatACrashKeptFromBeingNotedIsFollowedAtStart() async throws {
        try await withForge { world in
            let project = try await world.forge.createProject(path: "shop/web", by: .system)
            _ = try await world.commit(to: "master", of: project)
            try await world.forge.ensureRepositories()
            #expect(try await world.forge.project(project.id)?.defaultBranch == "master")
            #expect(try await world.forge.protectedBranches(of: project.id).map(\.name) == ["master"])
        }
    }

    @Test func onlyABranchCanBeMadeTheDefaultOne() async throws {
        try await withForge { world in
            let project = try await world.forge.createProject(path: "shop/web", by: .system)
            var change = ProjectChange()
            change.defaultBranch = "trunk"
            let changed = try await world.forge.updateProject(project, change, by: .system)
            #expect(changed.defaultBranch == "trunk")
            _ = try await world.commit(to: "trunk", of: project)
            change.defaultBranch = "nowhere"
            await #expect(throws: GitLabError.self) {
                try await world.forge.updateProject(changed, change, by: .system)
            }
            #expect(try await world.forge.project(project.id)?.defaultBranch == "trunk")
        }
    }

    @Test func aRenamedProjectKeepsItsOldPathsFromOthers() async throws {
        try await withForge { world in
            func rename(_ project: Project, _ path: String) async throws -> Project {
                var change = ProjectChange()
                change.path = path
                return try await world.forge.updateProject(project, change, by: .system)
            }
            var project = try await world.forge.createProject(path: "shop/web", by: .system)
            project = try await rename(project, "store")
            project = try await rename(project, "market")
            for path in ["shop/web", "Shop/Store", "shop/market"] {
                #expect(try await world.forge.project(path: path)?.id == project.id)
            }
            await #expect(throws: GitLabError.self) {
                try await world.forge.createProject(path: "shop/web", by: .system)
            }
            let other = try await world.forge.createProject(path: "shop/other", by: .system)
            await #expect(throws: GitLabError.self) { try await rename(other, "store") }

            // Its own it may have back, and once it is gone everybody.
            project = try await rename(project, "web")
            #expect(project.pathWithNamespace == "shop/web")
            #expect(try await world.forge.project(path: "shop/market")?.id == project.id)
            try await world.forge.deleteProject(project, by: .system)
            #expect(try await world.forge.project(path: "shop/market") == nil)
            let next = try await world.forge.createProject(path: "shop/market", by: .system)
            #expect(try await world.forge.project(path: "shop/market") == next)
        }
    }

    @Test func deletedProjectsLeaveNothingAndNeverComeBackUnderTheirNumber() async throws {
        try await withForge { world in
            let project = try await world.forge.createProject(path: "shop/web", by: .system)
            let group = try #require(try await world.forge.namespace(path: "shop"))
            try await world.forge.deleteGroup(group, by: .system)
            #expect(try await world.forge.project(project.id) == nil)
            #expect(throws: GitError.self) { try world.forge.repositories.repository(ofProject: project.id) }
            let next = try await world.forge.createProject(path: "shop/web", by: .system)
            #expect(next.id > project.id)
        }
    }

    @Test(arguments: ["web", "shop/", "/web", "shop//web", "shop/../web", "api/web", "shop/x.git"])
    func badProjectPathsAreRefused(_ path: String) async throws {
        try await withForge { world in
            await #expect(throws: GitLabError.self) { try await world.forge.createProject(path: path, by: .system) }
        }
    }
}

/// One row of who may do what.
struct AccessRow: Sendable, CustomTestStringConvertible {
    let level: AccessLevel
    let visibility: Visibility
    let allowed: Set<Permission>
    var testDescription: String { "\(level) in a \(visibility.rawValue) project" }
}

@Suite struct AccessTests {
    private static let visitors: Set<Permission> = [.read, .readCode, .fetch, .readPipelines, .pullImages]
    private static let developer = visitors.union([.push, .writeCode, .runPipelines, .pushImages])
    private static let maintainer = developer.union([.maintain, .deployToProtected])

    static let rows: [AccessRow] = [
        AccessRow(level: .none, visibility: .private, allowed: []),
        AccessRow(level: .guest, visibility: .private, allowed: [.read]),
        AccessRow(level: .reporter, visibility: .private, allowed: visitors),
        AccessRow(level: .developer, visibility: .private, allowed: developer),
        AccessRow(level: .maintainer, visibility: .private, allowed: maintainer),
        AccessRow(level: .owner, visibility: .private, allowed: Set(Permission.allCases)),
        AccessRow(level: .none, visibility: .internal, allowed: visitors),
        AccessRow(level: .none, visibility: .public, allowed: visitors),
        AccessRow(level: .developer, visibility: .public, allowed: developer),
    ]

    @Test(arguments: rows)
    func rolesAllowWhatTheySay(_ row: AccessRow) async throws {
        try await withForge { world in
            let ada = try await world.user("ada")
            let project = try await world.forge.createProject(path: "shop/web", visibility: row.visibility, by: .system)
            if row.level > .none { try await world.forge.setMember(ada.id, of: project, level: row.level, by: .system) }
            for permission in Permission.allCases {
                let isAllowed = try await world.forge.allows(world.principal(ada), permission, in: project)
                #expect(isAllowed == row.allowed.contains(permission), "\(permission)")
            }
        }
    }

    static let scopeRows: [(TokenScope, Set<Permission>)] = [
        (.api, Set(Permission.allCases)), (.readAPI, [.read, .readCode, .readPipelines]),
        (.readRepository, [.readCode, .fetch]), (.writeRepository, [.readCode, .fetch, .push]),
        (.readRegistry, [.pullImages]), (.writeRegistry, [.pullImages, .pushImages]), (.readUser, []),
    ]

    @Test(arguments: scopeRows)
    func scopesNarrowEvenAnAdministrator(_ scope: TokenScope, _ allowed: Set<Permission>) async throws {
        try await withForge { world in
            let root = try await world.root()
            let project = try await world.forge.createProject(path: "shop/web", by: .system)
            for permission in Permission.allCases {
                let isAllowed = try await world.forge.allows(world.principal(root, [scope]), permission, in: project)
                #expect(isAllowed == allowed.contains(permission), "\(permission)")
            }
        }
    }

    @Test func refusalsTellNoMoreThanTheyMust() async throws {
        try await withForge { world in
            let ada = world.principal(try await world.user("ada"))
            let hidden = try await world.forge.createProject(path: "shop/hidden", by: .system)
            let open = try await world.forge.createProject(path: "shop/open", visibility: .public, by: .system)
            func status(_ principal: Principal?, _ permission: Permission, _ project: Project) async throws -> Int {
                let error = await #expect(throws: GitLabError.self) {
                    try await world.forge.require(principal, permission, in: project)
                }
                return error?.status.code ?? 0
            }
            #expect(try await status(ada, .read, hidden) == 404)
            #expect(try await status(nil, .read, hidden) == 404)
            #expect(try await status(nil, .push, open) == 401)
            #expect(try await status(ada, .push, open) == 403)
            try await world.forge.require(nil, .fetch, in: open)
        }
    }
}
