import Foundation
import KubernetesClient
import KubernetesModel
import NIOCore
import TestKit
import Testing

@testable import Releases

/// Plays the controllers of a ``MemoryCluster``: makes each Deployment ready, or a pod of it fail when its image says `broken`.
private struct FakeControllers: Sendable {
    let cluster: MemoryCluster

    func run() async throws {
        let watch = try await cluster.watch(.deployments, namespace: nil, options: ListOptions(resourceVersion: "0"))
        for deployment in cluster.all(.deployments) { settle(AnyObjectView(deployment)) }
        for try await event in watch {
            switch event {
            case .added(let object), .modified(let object): settle(AnyObjectView(object))
            case .deleted, .bookmark: continue
            }
        }
    }

    /// The Deployment counts as it is now: the event may tell of an earlier one.
    private func settle(_ event: AnyObjectView) {
        let current = cluster.find(.deployments, namespace: event.namespace, name: event.name)
        guard let deployment = current.map(AnyObjectView.init) else { return }
        let template = deployment.spec["template"] ?? [:]
        let image = template["spec", "containers"]?[0]?["image"]?.string ?? ""
        let revision = ConfigurationNames.hash(of: ["template": template])
        if image.contains("stuck") { return }
        let seen: JSON = ["observedGeneration": JSON(deployment.generation)]
        guard deployment.annotations["revision"] != revision else {
            return cluster.setStatus(.deployments, namespace: deployment.namespace, name: deployment.name, seen)
        }
        cluster.modify(.deployments, namespace: deployment.namespace, name: deployment.name) {
            $0["metadata", "annotations", "revision"] = .string(revision)
        }
        let isBroken = image.contains("broken")
        let replicas = isBroken ? 0 : 1
        if isBroken { putBrokenPod(deployment, revision) }
        cluster.setStatus(
            .deployments,
            namespace: deployment.namespace,
            name: deployment.name,
            [
                "observedGeneration": JSON(deployment.generation), "updatedReplicas": 1, "replicas": 1,
                "availableReplicas": JSON(replicas),
            ]
        )
    }

    private func putBrokenPod(_ deployment: AnyObjectView, _ revision: String) {
        let namespace = deployment.namespace
        let set = "\(deployment.name)-\(revision)"
        func owned(_ name: String, by kind: String, _ owner: AnyObjectView) -> JSON {
            [
                "metadata": [
                    "name": .string(name), "namespace": .string(namespace),
                    "ownerReferences": .array([
                        OwnerReference(controller: owner, apiVersion: "apps/v1", kind: kind).json
                    ]),
                ]
            ]
        }
        let replicaSet = cluster.put(.replicaSets, owned(set, by: "Deployment", deployment))
        var pod = owned("\(set)-x", by: "ReplicaSet", AnyObjectView(replicaSet))
        pod["status"] = [
            "containerStatuses": [
                [
                    "name": "web", "ready": false, "restartCount": 2,
                    "state": ["waiting": ["reason": "CrashLoopBackOff"]],
                    "lastState": ["terminated": ["exitCode": 7]],
                ]
            ]
        ]
        cluster.setLogs(namespace: namespace, pod: "\(set)-x", [Array("starting\nno database\n".utf8)])
        cluster.put(.pods, pod)
    }
}

struct ReleaseServiceTests {
    private struct Bench: Sendable {
        let cluster: MemoryCluster
        let service: ReleaseService
        static let namespace = "demo-shop-daily"

        /// Deploys manifests and gives exit code and text.
        func deploy(
            _ yaml: String,
            within timeout: String? = nil,
            request: String = "",
            of project: ReleaseProject = OpenAccess.project
        ) async throws -> (code: Int, text: String) {
            let archive = TarArchiveMaker.archive([("k8s/app.yaml", "0", yaml)])
            return try await run { output in
                try await service.deploy(
                    body(archive),
                    to: try await service.environment("daily", of: project),
                    within: timeout,
                    for: OpenAccess.caller,
                    request: request,
                    output
                )
            }
        }

        func rollBack(
            to number: String? = nil,
            of project: ReleaseProject = OpenAccess.project
        ) async throws -> (code: Int, text: String) {
            try await run { output in
                let environment = try await service.environment("daily", of: project)
                return try await service.rollBack(environment, to: number, OpenAccess.origin, output)
            }
        }

        private func run(_ work: (ProgressOutput) async throws -> Int) async throws -> (code: Int, text: String) {
            let output = ProgressOutput()
            let code = try await work(output)
            output.finish()
            return (code, try await output.text())
        }

        func release(_ number: Int) -> Release? {
            cluster.find(.releases, namespace: Self.namespace, name: "r-\(number)").map(Release.init)
        }

        func find(_ resource: Resource, _ name: String) -> JSON? {
            cluster.find(resource, namespace: Self.namespace, name: name)
        }
        func names(_ resource: Resource) -> [String] { cluster.all(resource).map { AnyObjectView($0).name } }
    }

    private func withBench(
        cluster: MemoryCluster = MemoryCluster(),
        deadline: Duration = .seconds(20),
        _ work: @escaping @Sendable (Bench) async throws -> Void
    ) async throws {
        try await withFolder { folder in
            var configuration = ReleaseService.Configuration(
                workspace: folder,
                registry: "127.0.0.1:8080",
                domain: "localhost"
            )
            configuration.deadline = deadline
            let service = ReleaseService(
                configuration: configuration,
                client: cluster,
                access: OpenAccess(),
                images: try ImageBuildStore(path: folder + "/builds.sqlite"),
                logger: quiet
            )
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await FakeControllers(cluster: cluster).run() }
                group.addTask { try await service.run() }
                let result = await Result.catching { try await work(Bench(cluster: cluster, service: service)) }
                group.cancelAll()
                while (try? await group.next()) != nil {}
                try result.get()
            }
        }
    }

    private static func app(image: String, greeting: String = "hello", extra: String = "") -> String {
        """
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: settings}
        data: {greeting: \(greeting)}
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web}
        spec:
          selector: {matchLabels: {app: web}}
          template:
            metadata: {labels: {app: web}}
            spec:
              containers: [{name: web, image: "\(image)", envFrom: [{configMapRef: {name: settings}}]}]
        ---
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: {name: web}
        spec: {rules: [{backendRefs: [{name: web, port: 80}]}]}
        \(extra)
        """
    }

    @Test func deploysAndPrunesWhatLeft() async throws {
        try await withBench { bench in
            let extra = "---\napiVersion: v1\nkind: Service\nmetadata: {name: old}\nspec: {ports: [{port: 80}]}\n"
            let first = try await bench.deploy(Self.app(image: "nginx:1", extra: extra))
            #expect(first.code == 0, "\(first.text)")
            #expect(first.text.contains("release 1 is deployed: http://demo-shop-daily.localhost"))
            #expect(bench.find(.services, "old") != nil && bench.find(.secrets, "sampan-registry") != nil)
            let second = try await bench.deploy(Self.app(image: "nginx:2", greeting: "bye"))
            #expect(second.code == 0 && second.text.contains("removed service/old"), "\(second.text)")
            #expect(bench.find(.services, "old") == nil)
            #expect(bench.release(1)?.phase == .superseded && bench.release(2)?.phase == .deployed)
            // Both versions of the configuration stay, so that release 1 can come back.
            #expect(bench.names(.configMaps).count == 2)
        }
    }

    @Test func putsThePreviousReleaseBackAndSaysWhy() async throws {
        try await withBench { bench in
            #expect(try await bench.deploy(Self.app(image: "nginx:1")).code == 0)
            let before = bench.find(.deployments, "web")?["spec", "template"]
            let failed = try await bench.deploy(Self.app(image: "broken:2"))
            #expect(failed.code == 1)
            #expect(failed.text.contains("CrashLoopBackOff: container web ended with exit code 7"), "\(failed.text)")
            #expect(failed.text.contains("| no database") && failed.text.contains("release 1 is put back"))
            #expect(bench.find(.deployments, "web")?["spec", "template"] == before)
            #expect(bench.release(1)?.phase == .deployed && bench.release(2)?.phase == .failed)
            #expect(bench.release(2)?.message.contains("no database") == true)
        }
    }

    @Test func givesUpAtTheDeadline() async throws {
        try await withBench(deadline: .milliseconds(900)) { bench in
            let late = try await bench.deploy(Self.app(image: "stuck:1"))
            #expect(late.code == 1 && late.text.contains("deployment/web is not ready after 0 s"), "\(late.text)")
            #expect(late.text.contains("there is no earlier one"))
        }
    }

    @Test func givesUpWhenTheCallerSaysSo() async throws {
        try await withBench { bench in
            let late = try await bench.deploy(Self.app(image: "stuck:1"), within: "1s")
            #expect(late.code == 1 && late.text.contains("deployment/web is not ready after 1 s"), "\(late.text)")
        }
    }

    @Test(arguments: [("90", 90), ("90s", 90), ("10m", 600), ("24h", 86_400)])
    func readsTimes(_ text: String, _ seconds: Int) throws {
        #expect(try ReleaseTimeout.parse(text) == .seconds(seconds))
    }

    @Test(arguments: ["", "0", "-1", "s", "1.5m", "25h", "9223372036854775807h", "soon"])
    func refusesTimesThatAreNone(_ text: String) {
        #expect(throws: ReleaseError.self) { try ReleaseTimeout.parse(text) }
    }

    @Test func rollsBackToTheSameBytes() async throws {
        try await withBench { bench in
            #expect(try await bench.deploy(Self.app(image: "nginx:1", greeting: "one")).code == 0)
            let template = bench.find(.deployments, "web")?["spec", "template"]
            #expect(try await bench.deploy(Self.app(image: "nginx:2", greeting: "two")).code == 0)
            let back = try await bench.rollBack()
            #expect(back.code == 0, "\(back.text)")
            #expect(bench.find(.deployments, "web")?["spec", "template"] == template)
            #expect(bench.release(3)?.rollbackOf == 1 && bench.release(3)?.phase == .deployed)
            #expect(bench.release(2)?.phase == .superseded)
            let forward = try await bench.rollBack(to: "2")
            #expect(forward.code == 0 && bench.release(4)?.rollbackOf == 2)
            let unknown = try await bench.rollBack(to: "99")
            #expect(unknown.code == 1 && unknown.text.contains("there is no release 99; kept are: 1, 2, 3, 4"))
        }
    }

    @Test func appliesNothingOfAManifestThatTheClusterRefuses() async throws {
        try await withBench { bench in
            #expect(try await bench.deploy(Self.app(image: "nginx:1")).code == 0)
            bench.cluster.fail(
                .patch,
                .deployments,
                with: StatusError.badRequest(#"strict decoding error: unknown field "spec.replicsa""#)
            )
            let refused = try await bench.deploy(Self.app(image: "nginx:2"))
            #expect(refused.code == 1)
            #expect(
                refused.text.contains(
                    #"k8s/app.yaml:6: deployment/web: strict decoding error: unknown field "spec.replicsa""#
                ),
                "\(refused.text)"
            )
            #expect(bench.release(2) == nil)
            let image = bench.find(.deployments, "web")?["spec", "template", "spec", "containers"]?[0]?["image"]
            #expect(image == "nginx:1")
        }
    }

    @Test func refusesWorkloadsThatTheClusterSaysNobodyRuns() async throws {
        let kinds = KindsWithoutController(["daemonsets.apps": "use a Deployment"])
        let agent = "---\napiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: agent}\nspec: {}"
        try await withBench(cluster: MemoryCluster([(.configMaps, kinds.configMap)])) { bench in
            let refused = try await bench.deploy(Self.app(image: "nginx:1", extra: agent))
            #expect(refused.code == 1)
            #expect(refused.text.contains(#"k8s/app.yaml:21: DaemonSet "agent": "#), "\(refused.text)")
            #expect(bench.release(1) == nil)
            #expect(try await bench.deploy(Self.app(image: "nginx:1")).code == 0)
            bench.cluster.fail(.get, .configMaps, with: StatusError.forbidden("no"))
            #expect(try await bench.deploy(Self.app(image: "nginx:2")).code == 0, "a cluster may hide its list")
        }
    }

    @Test func refusesANamespaceOfSomebodyElse() async throws {
        let cluster = MemoryCluster([(.namespaces, ["metadata": ["name": .string(Bench.namespace)]])])
        try await withBench(cluster: cluster) { bench async throws in
            let refused = try await bench.deploy(Self.app(image: "nginx:1"))
            #expect(refused.code == 1 && refused.text.contains("belongs to somebody else"), "\(refused.text)")
        }
    }

    @Test func aRenamedProjectKeepsItsEnvironmentsAndNobodyInheritsThem() async throws {
        try await withBench { bench in
            let extra = "---\napiVersion: v1\nkind: Service\nmetadata: {name: old}\nspec: {ports: [{port: 80}]}\n"
            #expect(try await bench.deploy(Self.app(image: "nginx:1", extra: extra)).code == 0)
            let renamed = ReleaseProject(id: OpenAccess.project.id, path: "demo/store", webURL: "")
            let second = try await bench.deploy(Self.app(image: "nginx:2"), of: renamed)
            #expect(second.code == 0 && second.text.contains("release 2 of demo/store to daily"), "\(second.text)")
            #expect(second.text.contains("http://demo-shop-daily.localhost"))
            #expect(bench.names(.namespaces) == [Bench.namespace])
            #expect(bench.find(.services, "old") == nil)
            let namespaces = EnvironmentNamespaces(client: bench.cluster)
            #expect(try await namespaces.name(project: "demo/store", environment: "daily") == Bench.namespace)

            let newcomer = ReleaseProject(id: 8, path: "demo/shop", webURL: "")
            let refused = try await bench.deploy(Self.app(image: "nginx:3"), of: newcomer)
            #expect(refused.code == 1)
            #expect(
                refused.text.contains(
                    "belongs to demo/store daily, not to demo/shop daily; its project has the number 7"
                ),
                "\(refused.text)"
            )
            let back = try await bench.rollBack(of: newcomer)
            #expect(back.code == 1 && back.text.contains("there is no earlier release"), "\(back.text)")
            #expect(bench.release(2)?.phase == .deployed && bench.release(3) == nil)
            #expect(try await bench.rollBack(of: renamed).code == 0)
            #expect(bench.release(3)?.rollbackOf == 1)
        }
    }

    @Test func aNamespaceOfAnEarlierVersionIsTakenOverByItsOwner() async throws {
        let namespace: JSON = [
            "metadata": [
                "name": .string(Bench.namespace), "annotations": ["sampan.dev/owner": "demo/shop daily"],
            ]
        ]
        try await withBench(cluster: MemoryCluster([(.namespaces, namespace)])) { bench async throws in
            let stranger = ReleaseProject(id: 8, path: "demo-shop", webURL: "")
            #expect(try await bench.deploy(Self.app(image: "nginx:1"), of: stranger).code == 1)
            #expect(try await bench.deploy(Self.app(image: "nginx:1")).code == 0)
            let view = AnyObjectView(try #require(bench.cluster.all(.namespaces).first))
            #expect(view.labels[EnvironmentNamespaces.projectLabel] == "7")
        }
    }

    @Test func oneReleaseAtATime() async throws {
        try await withBench { bench in
            try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<4 {
                    group.addTask { try await bench.deploy(Self.app(image: "nginx:\(number)")).code }
                }
                for try await code in group { #expect(code == 0) }
            }
            #expect(bench.cluster.all(.releases).count == 4)
            #expect(bench.cluster.all(.releases).filter { Release($0).phase == .deployed }.count == 1)
            #expect(bench.release(4)?.phase == .deployed)
        }
    }

    @Test func aRequestThatIsSentAgainMakesNoSecondRelease() async throws {
        try await withBench { bench in
            for _ in 0..<2 {
                let answer = try await bench.deploy(Self.app(image: "nginx:1"), request: "7-a")
                #expect(answer.code == 0 && answer.text.contains("release 1 is deployed: http://"), "\(answer.text)")
            }
            for _ in 0..<2 {
                let answer = try await bench.deploy(Self.app(image: "broken:2"), request: "8-b")
                #expect(answer.code == 1 && answer.text.contains("no database"), "\(answer.text)")
            }
            #expect(bench.cluster.all(.releases).count == 2)
            bench.cluster.modify(.releases, namespace: Bench.namespace, name: "r-2") {
                $0["status"] = ["phase": "deploying"]
            }
            let resumed = try await bench.deploy(Self.app(image: "broken:2"), request: "8-b")
            #expect(resumed.code == 1 && resumed.text.contains("release 2 goes on"), "\(resumed.text)")
            #expect(bench.release(2)?.phase == .failed && bench.release(3) == nil)
        }
    }

    @Test func theEndOfAReleaseIsStoredAsSoonAsTheClusterCan() async throws {
        try await withBench { bench in
            #expect(try await bench.deploy(Self.app(image: "nginx:1")).code == 0)
            let full = StatusError(code: 507, reason: "InsufficientStorage", message: "the disk is full")
            for _ in 0..<2 { bench.cluster.fail(.patch, .releases, with: full) }
            let refused = try await bench.deploy(Self.app(image: "nginx:2"))
            #expect(refused.code == 1 && refused.text.contains("the disk is full"), "\(refused.text)")
            #expect(bench.release(2)?.phase == .failed && bench.release(1)?.phase == .deployed)
        }
    }

    @Test func resumesWhatAnEarlierProcessDidNotFinish() async throws {
        let cluster = MemoryCluster()
        try await withBench(cluster: cluster) { bench async throws in
            #expect(try await bench.deploy(Self.app(image: "nginx:1")).code == 0)
        }
        let documents = try ManifestReader.read([("a.yaml", Self.app(image: "nginx:2"))])
        let renderer = BundleRendererTests.renderer()
        let bundle = try renderer.render(documents, release: "r-2").bundle
        var release = Release(
            number: 2,
            environment: renderer.environment,
            origin: OpenAccess.origin,
            images: [],
            bundle: bundle
        )
        release.json["status"] = ["phase": "deploying"]
        cluster.put(.releases, release.json)
        try await withBench(cluster: cluster) { bench async throws in
            try await waitUntil("release 2 is deployed") { bench.release(2)?.phase == .deployed }
            #expect(bench.release(2)?.message.contains("resumed after a restart of the platform") == true)
            try await waitUntil("release 1 is superseded") { bench.release(1)?.phase == .superseded }
            let image = bench.find(.deployments, "web")?["spec", "template", "spec", "containers"]?[0]?["image"]
            #expect(image == "nginx:2")
        }
    }
}
