import KubernetesModel
import Testing

@testable import Releases

struct BundleRendererTests {
    static let digest = "sha256:" + String(repeating: "a", count: 64)
    static let registry = "127.0.0.1:8080"

    static func image(_ name: String, ports: [Int] = []) -> ImageBuild {
        let suffix = name.isEmpty ? "" : "/\(name)"
        return ImageBuild(
            projectID: 7,
            origin: OpenAccess.origin,
            name: name,
            reference: "\(registry)/demo/shop\(suffix)",
            digest: digest,
            ports: ports
        )
    }

    static func renderer(_ images: [ImageBuild] = [image("web")], environment: String = "daily") -> BundleRenderer {
        BundleRenderer(
            environment: ReleaseEnvironment(project: OpenAccess.project, name: environment),
            settings: .init(registry: registry, domain: "localhost"),
            origin: OpenAccess.origin,
            images: images
        )
    }

    private func render(_ yaml: String, _ renderer: BundleRenderer = renderer()) throws -> [JSON] {
        try renderer.render(ManifestReader.read([("k8s.yaml", yaml)]), release: "r-5").bundle.objects
    }

    private static let stack = """
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: {name: web}
        spec: {rules: [{backendRefs: [{name: web, port: 80}]}]}
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web}
        spec:
          selector: {matchLabels: {app: web}}
          template:
            metadata: {labels: {app: web}}
            spec:
              initContainers:
              - {name: init, image: web:1, envFrom: [{configMapRef: {name: settings}}, {secretRef: {name: key}}]}
              containers:
              - name: web
                image: web
                env:
                - {name: A, valueFrom: {configMapKeyRef: {name: settings, key: a}}}
                - {name: B, valueFrom: {secretKeyRef: {name: key, key: b}}}
                - {name: C, valueFrom: {configMapKeyRef: {name: elsewhere, key: c}}}
              volumes:
              - {name: v, configMap: {name: settings}}
              - {name: w, secret: {secretName: key}}
              - {name: x, projected: {sources: [{configMap: {name: settings}}, {secret: {name: key}}]}}
        ---
        apiVersion: v1
        kind: Secret
        metadata: {name: key}
        stringData: {b: secret}
        ---
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: settings}
        data: {a: "1"}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec: {selector: {app: web}, ports: [{port: 80}]}
        """

    @Test func hintsAtImagesWhoseNamesMeetNothing() throws {
        func hints(_ image: String, built: [String]) throws -> [String] {
            let manifest = """
                apiVersion: v1
                kind: Pod
                metadata: {name: p}
                spec: {containers: [{name: a, image: "\(image)"}, {name: b, image: "web:1"}]}
                """
            return try Self.renderer(built.map { Self.image($0) })
                .render(ManifestReader.read([("k8s.yaml", manifest)]), release: "r-5").notes
        }
        #expect(
            try hints("wrker:2", built: ["web", "worker"]) == [
                "hint: k8s.yaml:1: the image wrker:2 is none that this pipeline built; built and used by no manifest: worker"
            ]
        )
        #expect(try hints("worker:2", built: ["web", "worker"]) == [])
        #expect(try hints("nginx:1", built: ["web"]) == [], "everything that was built is used")
    }

    private static let idle = KindsWithoutController([
        "statefulsets.apps": "use a Deployment", "cronjobs.batch": "make Jobs",
        "persistentvolumeclaims": "use hostPath", "ingresses.networking.k8s.io": "use an HTTPRoute",
    ])

    /// What `renderer` of a cluster with idle kinds says of two manifests, or why it refuses them.
    private static func judgement(_ documents: String..., by kinds: KindsWithoutController = idle) throws -> [String] {
        var renderer = Self.renderer([])
        renderer.kindsWithoutController = kinds
        let text = documents.joined(separator: "\n---\n")
        return try renderer.render(ManifestReader.read([("k8s.yaml", text)]), release: "r-5").notes
    }

    private static func workload(_ kind: String, _ spec: String) -> String {
        "apiVersion: \(kind == "CronJob" ? "batch/v1" : "apps/v1")\nkind: \(kind)\nmetadata: {name: db}\nspec: {\(spec)}"
    }

    private static let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {}"
    private static let claimed =
        "template: {spec: {volumes: [{name: v, persistentVolumeClaim: {claimName: data}}], containers: []}}"

    @Test(arguments: [
        (
            workload("StatefulSet", "template: {}"), "k8s.yaml:1: StatefulSet \"db\": StatefulSet is stored",
            "use a Deployment"
        ),
        (workload("CronJob", "jobTemplate: {}"), "k8s.yaml:1: CronJob \"db\": CronJob is stored", "make Jobs"),
        (
            claim + "\n---\n" + workload("Deployment", claimed),
            "k8s.yaml:6: Deployment \"db\" would wait for the claim \"data\"", "use hostPath"
        ),
    ])
    func refusesWorkloadsThatNobodyWouldRun(_ text: String, _ place: String, _ remedy: String) throws {
        let error = #expect(throws: ReleaseError.self) { try Self.judgement(text) }
        let message = try #require(error).description
        #expect(message.contains(place) && message.contains("no controller") && message.contains(remedy), "\(message)")
        #expect(try Self.judgement(text, by: KindsWithoutController()) == [], "a cluster that says nothing runs them")
    }

    @Test func notesOtherObjectsThatNobodyActsOn() throws {
        let ingress = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\nspec: {}"
        let notes = try Self.judgement(ingress, Self.claim)
        #expect(notes.count == 2)
        #expect(notes.first?.hasPrefix("warning: k8s.yaml:1: Ingress \"web\": ") == true, "\(notes)")
        #expect(notes.first?.hasSuffix("use an HTTPRoute") == true)
        let bound = Self.claim.replacing("spec: {}", with: "spec: {volumeName: disk}")
        #expect(try Self.judgement(bound, Self.workload("Deployment", Self.claimed)).count == 1, "bound by hand")
    }

    @Test func ordersWhatOthersNeedFirstAndRoutesLast() throws {
        let kinds = try render(Self.stack).map { $0["kind"]?.string }
        #expect(kinds == ["ConfigMap", "Secret", "Service", "Deployment", "HTTPRoute"])
    }

    @Test func hashesConfigurationAndRewritesEveryReference() throws {
        let objects = try render(Self.stack)
        let settings = try #require(objects[0]["metadata", "name"]?.string)
        let key = try #require(objects[1]["metadata", "name"]?.string)
        #expect(settings.hasPrefix("settings-") && settings.count == "settings-".count + 10)
        let spec = try #require(objects[3]["spec", "template", "spec"])
        let initial = spec["initContainers"]?[0]?["envFrom"]
        #expect(initial?[0]?["configMapRef", "name"]?.string == settings)
        #expect(initial?[1]?["secretRef", "name"]?.string == key)
        let variables = spec["containers"]?[0]?["env"]
        #expect(variables?[0]?["valueFrom", "configMapKeyRef", "name"]?.string == settings)
        #expect(variables?[1]?["valueFrom", "secretKeyRef", "name"]?.string == key)
        #expect(variables?[2]?["valueFrom", "configMapKeyRef", "name"]?.string == "elsewhere")
        let volumes = spec["volumes"]
        #expect(volumes?[0]?["configMap", "name"]?.string == settings)
        #expect(volumes?[1]?["secret", "secretName"]?.string == key)
        #expect(volumes?[2]?["projected", "sources"]?[0]?["configMap", "name"]?.string == settings)
        #expect(volumes?[2]?["projected", "sources"]?[1]?["secret", "name"]?.string == key)
    }

    @Test func changesNamesOnlyWithContent() throws {
        func name(_ data: String, _ labels: String = "{}") throws -> String? {
            try render("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: \(labels)}\ndata: \(data)\n")[0][
                "metadata",
                "name"
            ]?
            .string
        }
        #expect(try name("{x: a, y: b}") == name("{y: b, x: a}"))
        #expect(try name("{x: a}") == name("{x: a}", "{team: one}"))
        #expect(try name("{x: a}") != name("{x: b}"))
        let kept =
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {sampan.dev/name-hash: disabled}}\n"
        #expect(try render(kept)[0]["metadata", "name"]?.string == "a")
    }

    @Test func equalInputGivesEqualBytesAndConfigurationDoesNotNameTheRelease() throws {
        let documents = try ManifestReader.read([("k8s.yaml", Self.stack)])
        let one = try Self.renderer().render(documents, release: "r-1").bundle
        #expect(try Self.renderer().render(documents, release: "r-1").bundle.json.encoded() == one.json.encoded())
        let two = try Self.renderer().render(documents, release: "r-2").bundle
        #expect(one.objects[0] == two.objects[0] && one.objects[1] == two.objects[1])
        #expect(one.objects[3]["spec"] == two.objects[3]["spec"])
        #expect(two.objects[3]["metadata", "labels", "sampan.dev/release"] == "r-2")
    }

    @Test(
        arguments: [
            ("web", "web"), ("web:1.2", "web"), ("127.0.0.1:8080/demo/shop/web", "web"),
            ("127.0.0.1:8080/demo/shop/web:latest", "web"),
            ("demo/shop/web", "web"), ("$CI_REGISTRY_IMAGE/web:x", "web"), ("${CI_REGISTRY_IMAGE}/web", "web"),
            ("shop", ""),
            ("$CI_REGISTRY_IMAGE", ""), ("127.0.0.1:8080/demo/shop:1", ""), ("nginx", nil), ("web@sha256:00", nil),
            ("docker.io/web", nil), ("127.0.0.1:8080/demo/other/web", nil), ("localhost:5000/web", nil),
        ] as [(String, String?)]
    )
    func putsInTheImagesThatWereBuilt(image: String, name: String?) throws {
        let substitution = ImageSubstitution(
            [Self.image("web"), Self.image("")],
            project: OpenAccess.project,
            registry: Self.registry
        )
        let expected = name.map { "127.0.0.1:8080/demo/shop\($0.isEmpty ? "" : "/\($0)")@\(Self.digest)" }
        #expect(substitution.reference(for: image) == expected)
    }

    @Test func attachesThePullSecretWhereOurRegistryIsUsed() throws {
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: IMAGE}]}\n"
        let ours = try render(pod.replacing("IMAGE", with: "web"))[0]
        #expect(ours["spec", "imagePullSecrets"] == [["name": "sampan-registry"]])
        let other = try render(pod.replacing("IMAGE", with: "nginx"))[0]
        #expect(other["spec", "imagePullSecrets"] == nil)
    }

    @Test(arguments: [
        (
            "batch/v1", "CronJob", "jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: web}]}}}}",
            ["spec", "jobTemplate", "spec", "template", "spec"]
        ),
        (
            "apps/v1", "StatefulSet", "template: {spec: {containers: [{name: a, image: web}]}}",
            ["spec", "template", "spec"]
        ),
        (
            "apps/v1", "DaemonSet", "template: {spec: {containers: [{name: a, image: web}]}}",
            ["spec", "template", "spec"]
        ),
    ])
    func findsThePodsOfEveryWorkload(version: String, kind: String, spec: String, path: [String]) throws {
        let object = try render("apiVersion: \(version)\nkind: \(kind)\nmetadata: {name: a}\nspec: {\(spec)}\n")[0]
        #expect(
            object[path: path]?["containers"]?[0]?["image"]?.string?.hasSuffix("/demo/shop/web@\(Self.digest)") == true
        )
    }

    @Test func namesJobsByWhatTheyDo() throws {
        let job =
            "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate}\nspec: {template: {spec: {containers: [{name: a, image: web}]}}}\n"
        let one = try render(job)[0]["metadata", "name"]?.string
        var newer = Self.image("web")
        newer.digest = "sha256:" + String(repeating: "b", count: 64)
        let two = try render(job, Self.renderer([newer]))[0]["metadata", "name"]?.string
        #expect(one?.hasPrefix("migrate-") == true && one != two)
        #expect(try render(job)[0]["metadata", "name"]?.string == one)
    }

    @Test func completesRoutesAndMarksObjects() throws {
        let objects = try render(Self.stack)
        let route = try #require(objects.last)
        #expect(route["spec", "hostnames"] == ["demo-shop-daily.localhost"])
        #expect(route["spec", "parentRefs"] == [["name": "sampan", "namespace": "sampan-system"]])
        #expect(
            route["metadata", "labels"]?.stringMap == [
                "app.kubernetes.io/managed-by": "sampan", "sampan.dev/project": "demo.shop",
                "sampan.dev/environment": "daily",
                "sampan.dev/release": "r-5",
            ]
        )
        #expect(
            route["metadata", "annotations"]?.stringMap == [
                "sampan.dev/commit": "c0ffee", "sampan.dev/pipeline": "3", "sampan.dev/job": "4",
            ]
        )
        #expect(objects[3]["spec", "template", "metadata", "labels"]?.stringMap == ["app": "web"])
        let own = Self.stack.replacing(
            "spec: {rules",
            with: "spec: {hostnames: [shop.example], parentRefs: [{name: g}], rules"
        )
        #expect(try render(own).last?["spec", "hostnames"] == ["shop.example"])
        #expect(try render(own).last?["spec", "parentRefs"] == [["name": "g"]])
    }

    @Test(arguments: [
        (
            "apiVersion: apps/v1\nkind: Deploymint\nmetadata: {name: a}\n",
            "k8s.yaml:1: apps/v1 Deploymint is not served by this cluster"
        ),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n",
            "k8s.yaml:1: Namespace belongs to the whole cluster"
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: other}\n",
            #"metadata.namespace is "other", but this environment's is "demo-shop-daily""#
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: a}\n",
            #"k8s.yaml:5: Service "a" is already declared at k8s.yaml:1"#
        ),
    ])
    func refuses(yaml: String, message: String) {
        let error = #expect(throws: ReleaseError.self) { try render(yaml) }
        #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
    }

    @Test func refusesBundlesThatDoNotFit() {
        let data = String(repeating: "x", count: ReleaseBundle.sizeLimit)
        let error = #expect(throws: ReleaseError.self) {
            try render("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: \(data)}\n")
        }
        #expect(error?.description.contains("at most 1000000 can be kept") == true)
    }

    @Test func makesWhatAnImageNeedsWithoutManifests() throws {
        let rendering = try Self.renderer([Self.image("", ports: [9000, 9090])]).render([], release: "r-1")
        #expect(
            rendering.bundle.identities.map(\.description) == ["service/shop", "deployment/shop", "httproute/shop"]
        )
        let container = rendering.bundle.objects[1]["spec", "template", "spec", "containers"]?[0]
        #expect(container?["ports"]?[0]?["containerPort"] == 9000 && container?["env"] == nil)
        #expect(rendering.bundle.objects[0]["spec", "ports"]?[0]?["targetPort"] == 9000)
        #expect(
            rendering.notes == [
                "no manifests: made a Deployment and a Service for shop on port 9000, from EXPOSE in its Dockerfile"
            ]
        )
        let plain = try Self.renderer([Self.image("api"), Self.image("web")]).render([], release: "r-1")
        #expect(plain.bundle.objects.last?["metadata", "name"] == "web")
        let environment = plain.bundle.objects[2]["spec", "template", "spec", "containers"]?[0]?["env"]
        #expect(environment == [["name": "PORT", "value": "8080"]])
        #expect(plain.notes[0].contains("has no EXPOSE, so it is told PORT=8080"))
        #expect(throws: ReleaseError.self) { try Self.renderer([]).render([], release: "r-1") }
    }

    @Test func prunesWhatLeftButKeepsConfigurationForAReturn() throws {
        func bundle(_ names: [(String, String, String)]) -> ReleaseBundle {
            ReleaseBundle(
                objects: names.map {
                    ["apiVersion": .string($0.0), "kind": .string($0.1), "metadata": ["name": .string($0.2)]]
                }
            )
        }
        let old = bundle([
            ("v1", "ConfigMap", "c-1"), ("v1", "Service", "old"), ("apps/v1", "Deployment", "old"),
            ("apps/v1", "Deployment", "web"),
        ])
        let new = bundle([("v1", "ConfigMap", "c-2"), ("apps/v1", "Deployment", "web")])
        #expect(
            new.pruned(after: [old], retained: [old, new]).map(\.description) == ["deployment/old", "service/old"]
        )
        #expect(
            new.pruned(after: [new, old], retained: [new]).map(\.description) == [
                "deployment/old", "service/old", "configmap/c-1",
            ]
        )
    }

    @Test func namespacesFitAndDiffer() {
        func namespace(_ path: String, _ name: String) -> String {
            ReleaseEnvironment(project: ReleaseProject(id: 1, path: path, webURL: ""), name: name).namespace
        }
        #expect(namespace("Demo/My_Shop", "review/Fix 1") == "demo-my-shop-review-fix-1")
        let long = String(repeating: "g", count: 70)
        #expect(namespace(long + "/a", "daily").utf8.count <= 63)
        #expect(namespace(long + "/a", "daily") != namespace(long + "/b", "daily"))
    }
}
