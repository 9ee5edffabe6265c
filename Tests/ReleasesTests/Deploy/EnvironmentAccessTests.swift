import Foundation
import Git
import KubernetesClient
import KubernetesModel
import Pipelines
import Review
import TestKit
import Testing

@testable import Releases

/// Which jobs may reach which namespace of the cluster.
struct EnvironmentAccessTests {
    private func withForge(_ body: (Forge, Project) async throws -> Void) async throws {
        try await withFolder { folder in
            var settings = Forge.Configuration(
                databasePath: "\(folder)/forge.sqlite",
                initialPasswordFile: "\(folder)/password",
                externalURL: "http://127.0.0.1"
            )
            settings.passwordRounds = 2
            let forge = try await Forge.open(
                settings,
                repositories: try RepositoryStore(root: "\(folder)/git"),
                logger: quiet
            )
            let root = try #require(try await forge.user(named: "root"))
            let project = try await forge.createProject(
                path: "demo/shop",
                by: Author(userID: root.id, name: "root")
            )
            try await body(forge, project)
            try forge.close()
        }
    }

    private func job(of user: User, in project: Int) -> JobIdentity {
        JobIdentity(jobID: 1, projectID: project, userID: user.id, ref: "main")
    }

    @Test func followsTheRoleOfWhoeverStartedTheJob() async throws {
        try await withForge { forge, project in
            let access = ForgeEnvironmentAccess(forge: forge, client: MemoryCluster())
            let root = try #require(try await forge.user(named: "root"))
            let developer = try await forge.createUser(
                NewUser(username: "dev", name: "Dev", email: "dev@example.com", password: "secret-dev-1"),
                by: .system
            )
            let stranger = try await forge.createUser(
                NewUser(username: "eve", name: "Eve", email: "eve@example.com", password: "secret-eve-1"),
                by: .system
            )
            try await forge.setMember(developer.id, of: project, level: .developer, by: .system)
            func namespace(_ user: User, _ environment: String, project id: Int? = nil) async throws -> String? {
                let job = job(of: user, in: id ?? project.id)
                return try await access.account(for: job, of: project, environment: environment)?.namespace
            }
            #expect(try await namespace(root, "production") == "demo-shop-production")
            #expect(try await namespace(developer, "review/One") == "demo-shop-review-one")
            #expect(try await namespace(developer, "production") == nil)
            #expect(try await namespace(stranger, "daily") == nil)
            #expect(try await namespace(root, "daily", project: project.id + 1) == nil)
            #expect(try await namespace(root, "$UNSET") == nil)
        }
    }

    @Test func joinsTheAccountToTheEnvironmentAndNothingElse() async throws {
        try await withForge { forge, project in
            let cluster = MemoryCluster()
            let access = ForgeEnvironmentAccess(forge: forge, client: cluster)
            let root = try #require(try await forge.user(named: "root"))
            let found = try await access.account(for: job(of: root, in: project.id), of: project, environment: "daily")
            let account = try #require(found)
            for _ in 1...2 { try await access.prepare(account, jobsNamespace: "sampan-jobs") }

            let owners = cluster.all(.namespaces).map { AnyObjectView($0).annotations["sampan.dev/owner"] }
            #expect(owners == ["demo/shop daily"])
            let accounts = cluster.all(.serviceAccounts).map(AnyObjectView.init)
            #expect(accounts.map { "\($0.namespace)/\($0.name)" } == ["sampan-jobs/demo-shop-daily"])
            let bindings = cluster.all(.roleBindings)
            #expect(bindings.map { AnyObjectView($0).namespace } == ["demo-shop-daily"])
            #expect(bindings.first?["roleRef", "name"] == "edit")
            let subjects = bindings.first?["subjects"]?.array ?? []
            #expect(subjects.map { $0["name"]?.string } == ["demo-shop-daily"])
            #expect(subjects.map { $0["namespace"]?.string } == ["sampan-jobs"])
        }
    }

    @Test func leavesANamespaceOfOthersAlone() async throws {
        try await withForge { forge, project in
            let cluster = MemoryCluster()
            _ = try await cluster.create(.namespaces, ["metadata": ["name": "demo-shop-daily"]])
            let access = ForgeEnvironmentAccess(forge: forge, client: cluster)
            let account = JobAccount(
                name: "demo-shop-daily",
                namespace: "demo-shop-daily",
                project: "demo/shop",
                environment: "daily"
            )
            await #expect(throws: ReleaseError.self) { try await access.prepare(account, jobsNamespace: "sampan-jobs") }
            #expect(cluster.all(.roleBindings).isEmpty)
        }
    }
}
