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

    @Test func theNamespacesOfAProjectFollowItsFate() async throws {
        try await withForge { forge, project in
            let cluster = MemoryCluster()
            let access = ForgeEnvironmentAccess(forge: forge, client: cluster)
            let root = try #require(try await forge.user(named: "root"))
            let other = try await forge.createProject(path: "demo/other", by: .system)
            for (project, environment) in [(project, "daily"), (project, "review/one"), (other, "daily")] {
                let job = job(of: root, in: project.id)
                let account = try #require(try await access.account(for: job, of: project, environment: environment))
                try await access.prepare(account, jobsNamespace: "sampan-jobs")
            }
            // As an earlier version made it, and one whose project this forge has never heard of.
            cluster.put(.namespaces, namespace("old", owner: "demo/other old one"))
            cluster.put(.namespaces, namespace("lost", owner: "gone/away daily", project: 99))
            func names(_ resource: Resource) -> [String] {
                cluster.all(resource).map { AnyObjectView($0).name }.sorted()
            }
            func owner(_ name: String) -> String? {
                let namespace = cluster.all(.namespaces).map(AnyObjectView.init).first { $0.name == name }
                return namespace?.annotations[EnvironmentNamespaces.ownerAnnotation]
            }

            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await NamespaceTending(forge: forge, client: cluster, logger: quiet).run() }
                defer { group.cancelAll() }
                var change = ProjectChange()
                change.path = "renamed"
                let renamed = try await forge.updateProject(other, change, by: .system)
                try await waitUntil("the namespaces know the new name") {
                    owner("demo-other-daily") == "demo/renamed daily"
                }
                let job = job(of: root, in: renamed.id)
                let account = try await access.account(for: job, of: renamed, environment: "daily")
                #expect(account?.namespace == "demo-other-daily")

                try await forge.deleteProject(project, by: .system)
                try await waitUntil("the namespaces of the project are gone") {
                    !names(.namespaces).contains { $0.hasPrefix("demo-shop") }
                }
                #expect(names(.namespaces) == ["demo-other-daily", "lost", "old"])
                #expect(names(.serviceAccounts) == ["demo-other-daily"])
            }
        }
    }

    @Test func whatAnEarlierVersionMadeIsMarkedAtStart() async throws {
        try await withForge { forge, project in
            let cluster = MemoryCluster()
            cluster.put(.namespaces, namespace("old", owner: "demo/shop review of one"))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await NamespaceTending(forge: forge, client: cluster, logger: quiet).run() }
                defer { group.cancelAll() }
                let namespaces = EnvironmentNamespaces(client: cluster)
                let release = ReleaseProject(id: project.id, path: "demo/shop", webURL: "")
                try await waitUntil("the namespace is marked") {
                    try await namespaces.environment("review of one", of: release).namespace == "old"
                }
            }
        }
    }

    private func namespace(_ name: String, owner: String, project: Int? = nil) -> JSON {
        var labels = ["app.kubernetes.io/managed-by": "sampan"]
        labels[EnvironmentNamespaces.projectLabel] = project.map(String.init)
        return [
            "metadata": [
                "name": .string(name), "labels": JSON(labels),
                "annotations": [EnvironmentNamespaces.ownerAnnotation: .string(owner)],
            ]
        ]
    }

    @Test func leavesANamespaceOfOthersAlone() async throws {
        try await withForge { forge, project in
            let cluster = MemoryCluster()
            _ = try await cluster.create(.namespaces, ["metadata": ["name": "demo-shop-daily"]])
            let access = ForgeEnvironmentAccess(forge: forge, client: cluster)
            let account = JobAccount(
                name: "demo-shop-daily",
                namespace: "demo-shop-daily",
                projectID: project.id,
                project: "demo/shop",
                environment: "daily"
            )
            await #expect(throws: ReleaseError.self) { try await access.prepare(account, jobsNamespace: "sampan-jobs") }
            #expect(cluster.all(.roleBindings).isEmpty)
        }
    }
}
