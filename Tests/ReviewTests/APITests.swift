import AsyncHTTPClient
import Foundation
import Git
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NIOHTTP1
import Subprocess
import Synchronization
import SystemPackage
import Testing

@testable import Review

/// A client of a live server.
struct APIClient {
    let port: Int
    let token: String?

    struct Answer {
        let status: Int
        let headers: HTTPHeaders
        let body: ByteBuffer

        var json: Any? {
            try? JSONSerialization.jsonObject(with: Data(body.readableBytesView), options: .fragmentsAllowed)
        }
        var object: [String: Any] { json as? [String: Any] ?? [:] }
        var list: [[String: Any]] { json as? [[String: Any]] ?? [] }
        var text: String { String(buffer: body) }
        var message: String { object["message"] as? String ?? text }
    }

    func send(_ method: HTTPMethod, _ path: String, _ body: [String: Any]? = nil) async throws -> Answer {
        var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)/api/v4\(path)")
        request.method = method
        if let token { request.headers.add(name: "PRIVATE-TOKEN", value: token) }
        if let body {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: try JSONSerialization.data(withJSONObject: body)))
        }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(30))
        let bytes = try await response.body.collect(upTo: 32 << 20)
        return Answer(status: Int(response.status.code), headers: response.headers, body: bytes)
    }
}

final class SeenPushes: PushObserver {
    private let events = Mutex<[PushEvent]>([])
    func pushed(_ event: PushEvent) async { events.withLock { $0.append(event) } }
    var all: [PushEvent] { events.withLock { $0 } }
}

/// A live server over a forge, and root's client to it.
func withAPI(_ body: @escaping @Sendable (ForgeWorld, APIClient, SeenPushes) async throws -> Void) async throws {
    try await withForge { world in
        let pushes = SeenPushes()
        world.forge.pushObservers.add(pushes)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let router = Router()
        ForgeRoutes(forge: world.forge, logger: logger).addRoutes(to: router)
        let (ports, port) = AsyncStream.makeStream(of: Int.self)
        let application = Application(
            router: router,
            configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in
                port.yield(channel.localAddress?.port ?? 0)
                port.finish()
            },
            logger: logger
        )
        let token = try await world.token(of: try await world.root())
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await application.run() }
            let bound = try #require(await ports.first { _ in true })
            defer { group.cancelAll() }
            try await body(world, APIClient(port: bound, token: token), pushes)
        }
    }
}

@Suite(.serialized) struct APITests {
    @Test func strangersGetA401AndErrorsHaveGitLabsShape() async throws {
        try await withAPI { _, root, _ in
            let stranger = APIClient(port: root.port, token: nil)
            #expect(try await stranger.send(.GET, "/user").message == "401 Unauthorized")
            #expect(try await stranger.send(.GET, "/version").status == 401)
            #expect(try await APIClient(port: root.port, token: "wrong").send(.GET, "/projects").status == 401)
            let missing = try await root.send(.GET, "/projects/99")
            #expect(missing.status == 404)
            #expect(missing.message == "404 Project Not Found")
            #expect(missing.headers.first(name: "Content-Type")?.hasPrefix("application/json") == true)
            #expect(try await root.send(.GET, "/version").object["version"] as? String == ForgeRoutes.version)
        }
    }

    @Test func projectsAreMadeFoundChangedAndDeleted() async throws {
        try await withAPI { _, root, _ in
            let group = try await root.send(.POST, "/groups", ["name": "Shop", "path": "shop"])
            #expect(group.status == 201)
            let body: [String: Any] = [
                "name": "Web Shop", "namespace_id": group.object["id"] ?? 0, "initialize_with_readme": true,
            ]
            let made = try await root.send(.POST, "/projects", body)
            #expect(made.status == 201, "\(made.text)")
            #expect(made.object["path_with_namespace"] as? String == "shop/web-shop")
            #expect(made.object["http_url_to_repo"] as? String == "http://sampan.test/shop/web-shop.git")
            #expect(made.object["web_url"] as? String == "http://sampan.test/shop/web-shop")
            #expect(made.object["default_branch"] as? String == "main")
            let found = try await root.send(.GET, "/projects/shop%2Fweb-shop")
            #expect(found.object["id"] as? Int == made.object["id"] as? Int)
            let created = try #require(found.object["created_at"] as? String)
            #expect(created.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil, "\(created)")
            let changed = try await root.send(
                .PUT,
                "/projects/shop%2Fweb-shop",
                ["path": "web", "visibility": "public"]
            )
            #expect(changed.object["path_with_namespace"] as? String == "shop/web")
            #expect(try await root.send(.GET, "/groups/shop/projects").list.count == 1)
            #expect(try await root.send(.DELETE, "/projects/shop%2Fweb").status == 202)
            #expect(try await root.send(.GET, "/projects/shop%2Fweb").status == 404)
        }
    }

    @Test func badParametersAreNamed() async throws {
        try await withAPI { _, root, _ in
            let taken = try await root.send(.POST, "/groups", ["name": "x", "path": "api"])
            #expect(taken.status == 400)
            #expect(taken.text.contains("'api' is a reserved name"))
            #expect(try await root.send(.POST, "/groups", ["path": "x"]).message == "name is missing")
            let visibility = try await root.send(.POST, "/groups", ["name": "x", "path": "x", "visibility": "secret"])
            #expect(visibility.message.contains("must be one of private, internal, public"))
            #expect(
                try await root.send(
                    .POST,
                    "/users",
                    ["username": "a b", "name": "A", "email": "a@b.c", "password": "12345678"]
                ).status == 400
            )
        }
    }

    @Test func listsArePaged() async throws {
        try await withAPI { world, root, _ in
            for number in 1...5 { _ = try await world.forge.createProject(path: "shop/p\(number)", by: .system) }
            let page = try await root.send(.GET, "/projects?per_page=2&page=2&search=shop")
            #expect(page.list.map { $0["path"] as? String } == ["p3", "p2"])
            #expect(page.headers.first(name: "X-Total") == "5")
            #expect(page.headers.first(name: "X-Next-Page") == "3")
            #expect(page.headers.first(name: "Link")?.contains("search=shop&page=3&per_page=2>; rel=\"next\"") == true)
        }
    }

    @Test func filesAndCommitsThroughTheAPI() async throws {
        try await withAPI { world, root, pushes in
            let project = try await world.forge.createProject(path: "shop/web", by: .system)
            let base = "/projects/\(project.id)/repository"
            let commit = try await root.send(
                .POST,
                "\(base)/commits",
                [
                    "branch": "main", "commit_message": "First",
                    "actions": [
                        ["action": "create", "file_path": "src/a b.txt", "content": "hello\n"],
                        ["action": "create", "file_path": "logo.bin", "content": "AAEC/w==", "encoding": "base64"],
                    ],
                ]
            )
            #expect(commit.status == 201, "\(commit.text)")
            let id = try #require(commit.object["id"] as? String)
            #expect(pushes.all.map(\.after) == [id])
            #expect(commit.object["short_id"] as? String == String(id.prefix(8)))
            #expect((commit.object["stats"] as? [String: Int])?["additions"] == 1)
            let raw = try await root.send(.GET, "\(base)/files/logo.bin/raw?ref=main")
            #expect(Array(raw.body.readableBytesView) == [0, 1, 2, 255])
            let file = try await root.send(.GET, "\(base)/files/src%2Fa%20b.txt?ref=main")
            #expect(file.object["content"] as? String == Data("hello\n".utf8).base64EncodedString())
            #expect(file.object["last_commit_id"] as? String == id)
            let update = ["branch": "main", "commit_message": "Second", "content": "bye\n"]
            #expect(try await root.send(.PUT, "\(base)/files/src%2Fa%20b.txt", update).status == 200)
            let compare = try await root.send(.GET, "\(base)/compare?from=\(id)&to=main")
            #expect((compare.object["commits"] as? [[String: Any]])?.map { $0["title"] as? String } == ["Second"])
            #expect(
                (compare.object["diffs"] as? [[String: Any]])?.first?["diff"] as? String
                    == "@@ -1 +1 @@\n-hello\n+bye\n"
            )
            let escape = try await root.send(.POST, "\(base)/files/..%2F..%2Fx", update)
            #expect(escape.status == 400)
            let list = try await root.send(.GET, "\(base)/commits?ref_name=main")
            #expect(list.headers.first(name: "X-Total") == "2")
            #expect(try await root.send(.GET, "\(base)/tree?recursive=true").list.count == 3)
            let archive = try await root.send(.GET, "\(base)/archive.tar.gz")
            #expect(archive.body.readableBytesView.starts(with: [0x1f, 0x8b]))
        }
    }

    @Test func branchesTagsAndProtection() async throws {
        try await withAPI { world, root, _ in
            let project = try await world.forge.createProject(path: "shop/web", by: .system)
            let base = "/projects/shop%2Fweb"
            let first: [String: Any] = [
                "branch": "main", "commit_message": "m",
                "actions": [["action": "create", "file_path": "a", "content": "x"]],
            ]
            #expect(try await root.send(.POST, "\(base)/repository/commits", first).status == 201)
            let branch = try await root.send(.POST, "\(base)/repository/branches?branch=feature/x&ref=main")
            #expect(branch.status == 201, "\(branch.text)")
            #expect(
                try await root.send(.GET, "\(base)/repository/branches/feature%2Fx").object["protected"] as? Bool
                    == false
            )
            #expect(try await root.send(.GET, "\(base)/repository/branches/main").object["protected"] as? Bool == true)
            #expect(
                try await root.send(.POST, "\(base)/repository/branches?branch=main&ref=main").message
                    == "Branch already exists"
            )
            let tag = try await root.send(
                .POST,
                "\(base)/repository/tags",
                ["tag_name": "v1", "ref": "main", "message": "R"]
            )
            #expect(tag.object["message"] as? String == "R")
            #expect(try await root.send(.DELETE, "\(base)/repository/branches/main").status == 403)
            #expect(try await root.send(.DELETE, "\(base)/repository/branches/feature%2Fx").status == 204)
            let dev = try await world.user("dev")
            try await world.forge.setMember(dev.id, of: project, level: .developer, by: .system)
            let client = APIClient(port: root.port, token: try await world.token(of: dev))
            var second = first
            second["actions"] = [["action": "update", "file_path": "a", "content": "y"]]
            #expect(try await client.send(.POST, "\(base)/repository/commits", second).status == 403)
            let rule = try await root.send(.PATCH, "\(base)/protected_branches/main", ["push_access_level": 30])
            #expect(rule.status == 200, "\(rule.text)")
            #expect(try await client.send(.POST, "\(base)/repository/commits", second).status == 201)
            #expect(try await client.send(.DELETE, "\(base)/protected_branches/main").status == 403)
        }
    }

    @Test func membersCannotRiseAboveThemselves() async throws {
        try await withAPI { world, root, _ in
            let project = try await world.forge.createProject(path: "shop/web", by: .system)
            let lead = try await world.user("lead")
            let dev = try await world.user("dev")
            try await world.forge.setMember(lead.id, of: project, level: .maintainer, by: .system)
            let client = APIClient(port: root.port, token: try await world.token(of: lead))
            let members = "/projects/\(project.id)/members"
            #expect(try await client.send(.POST, members, ["user_id": dev.id, "access_level": 50]).status == 403)
            #expect(try await client.send(.POST, members, ["user_id": dev.id, "access_level": 30]).status == 201)
            #expect(try await client.send(.POST, members, ["user_id": dev.id, "access_level": 30]).status == 409)
            #expect(try await client.send(.PUT, "\(members)/\(lead.id)", ["access_level": 50]).status == 403)
            #expect(try await client.send(.PUT, "\(members)/\(dev.id)", ["access_level": 31]).status == 400)
            #expect(try await client.send(.GET, "\(members)/all").list.count == 2)
            #expect(try await client.send(.DELETE, "\(members)/\(dev.id)").status == 204)
            #expect(try await client.send(.DELETE, "/projects/\(project.id)").status == 403)
        }
    }

    @Test func tokensAreIssuedSeenAndRevoked() async throws {
        try await withAPI { world, root, _ in
            let ada = try await world.user("ada")
            let body: [String: Any] = ["name": "ci", "scopes": ["read_api"], "expires_at": "2099-01-01"]
            let made = try await root.send(.POST, "/users/\(ada.id)/personal_access_tokens", body)
            let secret = try #require(made.object["token"] as? String)
            let client = APIClient(port: root.port, token: secret)
            #expect(try await client.send(.GET, "/personal_access_tokens/self").object["name"] as? String == "ci")
            #expect(try await client.send(.GET, "/user").object["username"] as? String == "ada")
            #expect(try await client.send(.POST, "/groups", ["name": "x", "path": "x"]).status == 403)
            #expect(
                try await root.send(.GET, "/personal_access_tokens?user_id=\(ada.id)").text.contains(secret) == false
            )
            #expect(try await client.send(.DELETE, "/personal_access_tokens/self").status == 204)
            #expect(try await client.send(.GET, "/user").status == 401)
        }
    }

    @Test func usersAreChanged() async throws {
        try await withAPI { world, root, _ in
            let ada = try await world.user("ada")
            _ = try await world.user("bob")
            let home = try #require(try await world.forge.namespace(path: "ada"))
            let project = try await world.forge.createProject(path: "toy", name: "Toy", in: home, by: .system)
            let change = ["username": "ada.l", "name": "Ada L", "email": "l@example.com", "password": "another one"]
            let answer = try await root.send(.PUT, "/users/\(ada.id)", change)
            #expect(answer.status == 200)
            #expect(answer.object["username"] as? String == "ada.l")
            #expect(answer.object["name"] as? String == "Ada L")
            #expect(answer.object["email"] as? String == "l@example.com")
            #expect(try await world.forge.authenticate(.basic(username: "ada.l", secret: "another one")) != nil)
            #expect(try await world.forge.authenticate(.basic(username: "ada", secret: "secret-ada")) == nil)
            #expect(try await world.forge.project(project.id)?.pathWithNamespace == "ada.l/toy")
            #expect(try await world.forge.project(path: "ada/toy")?.id == project.id)
            #expect(try await root.send(.GET, "/users?username=ada.l").list.count == 1)

            for (field, value, status) in [
                ("username", "bob", 409), ("email", "bob@example.com", 409), ("username", "a/b", 400),
                ("email", "nothing", 400), ("name", "", 400), ("password", "short", 400),
            ] {
                let body = ["name": "Not this"].merging([field: value]) { $1 }
                #expect(try await root.send(.PUT, "/users/\(ada.id)", body).status == status, "\(field) \(value)")
            }
            // Refused as a whole.
            #expect(try await world.forge.user(ada.id)?.name == "Ada L")
            #expect(try await root.send(.PUT, "/users/\(ada.id)", ["username": "Ada.L"]).status == 200)
            let asBob = APIClient(port: root.port, token: try await world.token(of: try await world.user("eve")))
            #expect(try await asBob.send(.PUT, "/users/\(ada.id)", ["name": "x"]).status == 403)
        }
    }

    @Test func gitAsksTheForge() async throws {
        try await withAPI { world, root, pushes in
            let project = try await world.forge.createProject(path: "shop/deep/web", by: .system)
            let dev = try await world.user("dev")
            try await world.forge.setMember(dev.id, of: project, level: .developer, by: .system)
            let folder = "\(world.folder)/client"
            let url = "http://dev:secret-dev@127.0.0.1:\(root.port)/shop/deep/web.git"
            let first = try await shell(
                "git init -q -b main \(folder) && cd \(folder) && git commit -q --allow-empty -m a && git push \(url) main"
            )
            #expect(first.status == 0, "\(first.text)")
            #expect(pushes.all.map(\.username) == ["dev"])
            let second = try await shell("cd \(folder) && git commit -q --allow-empty -m b && git push \(url) main")
            #expect(second.status != 0)
            #expect(
                second.text.contains(
                    "remote: GitLab: You are not allowed to push code to protected branches on this project."
                )
            )
            let topic = try await shell("cd \(folder) && git push \(url) main:topic")
            #expect(topic.status == 0, "\(topic.text)")
            let stranger = try await shell("git ls-remote http://127.0.0.1:\(root.port)/shop/deep/web.git")
            #expect(stranger.text.contains("could not read Username"))
            let hidden = try await shell("git ls-remote http://x:y@127.0.0.1:\(root.port)/shop/nothing.git")
            #expect(hidden.text.contains("Authentication failed"))
        }
    }

    @Test func theFirstPushedBranchIsTheDefaultOne() async throws {
        try await withAPI { world, root, _ in
            let project = try await world.forge.createProject(path: "shop/web", by: .system)
            let dev = try await world.user("dev")
            try await world.forge.setMember(dev.id, of: project, level: .developer, by: .system)
            let folder = "\(world.folder)/client"
            let url = "http://dev:secret-dev@127.0.0.1:\(root.port)/shop/web.git"
            let push = try await shell(
                "git init -q -b master \(folder) && cd \(folder) && git commit -q --allow-empty -m a && git push \(url) master"
            )
            #expect(push.status == 0, "\(push.text)")
            let answer = try await root.send(.GET, "/projects/\(project.id)")
            #expect(answer.object["default_branch"] as? String == "master")
            let clone = try await shell("git clone -q \(url) \(folder)2 && git -C \(folder)2 branch --show-current")
            #expect(clone.text == "master\n")
            // Protected like any default branch: this developer could make it, and cannot push to it.
            let second = try await shell("cd \(folder) && git commit -q --allow-empty -m b && git push \(url) master")
            #expect(second.text.contains("not allowed to push code to protected branches"), "\(second.text)")
        }
    }

    private func shell(_ script: String) async throws -> (status: Int32, text: String) {
        let result = try await Subprocess.run(
            .name("sh"),
            arguments: ["-c", script],
            environment: .custom([
                "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_AUTHOR_NAME": "Dev", "GIT_AUTHOR_EMAIL": "dev@example.com", "GIT_COMMITTER_NAME": "Dev",
                "GIT_COMMITTER_EMAIL": "dev@example.com", "LC_ALL": "C.UTF-8",
            ]),
            output: .string(limit: 1 << 20),
            error: .combinedWithOutput
        )
        return (result.terminationStatus.exitCode, result.standardOutput)
    }
}
