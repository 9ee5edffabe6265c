import KubernetesClient
import KubernetesModel
import Testing

@testable import APIServer

/// The stock `kubectl` against a running server.
@Suite(.serialized) struct KubectlTests {
    static let deployment = """
        apiVersion: apps/v1
        kind: Deployment
        metadata:
          name: web
          labels: {app: web}
        spec:
          replicas: 2
          selector: {matchLabels: {app: web}}
          template:
            metadata: {labels: {app: web}}
            spec:
              containers:
              - name: main
                image: example.org/web:1
                ports: [{containerPort: 8080}]
        """

    @Test func discoversKinds() async throws {
        try await TestServer.with { server in
            let version = try await server.kubectl("version")
            #expect(version.output.contains("Server Version: v1.36.0+sampan"), "\(version.errors)")
            let resources = try await server.kubectl("api-resources")
            #expect(resources.output.contains("deployments"), "\(resources.errors)")
            #expect(resources.output.contains("httproutes"))
            let explained = try await server.kubectl("explain", "deployment.spec.strategy")
            #expect(explained.output.contains("rollingUpdate"), "\(explained.errors)")
        }
    }

    @Test func appliesAndReads() async throws {
        try await TestServer.with { server in
            let first = try await server.kubectl("apply", "-f", "-", input: Self.deployment)
            #expect(first.output == "deployment.apps/web created\n", "\(first.errors)")
            let second = try await server.kubectl("apply", "-f", "-", input: Self.deployment)
            #expect(second.output == "deployment.apps/web unchanged\n", "\(second.errors)")
            let changed = Self.deployment.replacing("web:1", with: "web:2")
            let third = try await server.kubectl("apply", "-f", "-", input: changed)
            #expect(third.output == "deployment.apps/web configured\n", "\(third.errors)")

            let table = try await server.kubectl("get", "deployments", "-o", "wide")
            let lines = table.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
            #expect(
                lines.first == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"]
            )
            #expect(lines.last?.suffix(3) == ["main", "example.org/web:2", "app=web"])
            let yaml = try await server.kubectl("get", "deployment", "web", "-o", "yaml")
            #expect(yaml.output.contains("image: example.org/web:2"), "\(yaml.errors)")
        }
    }

    @Test func appliesOnTheServer() async throws {
        try await TestServer.with { server in
            let first = try await server.kubectl("apply", "--server-side", "-f", "-", input: Self.deployment)
            #expect(first.output == "deployment.apps/web serverside-applied\n", "\(first.errors)")
            let other = Self.deployment.replacing("replicas: 2", with: "replicas: 3")
            let conflict = try await server.kubectl(
                "apply",
                "--server-side",
                "--field-manager=other",
                "-f",
                "-",
                input: other
            )
            #expect(conflict.status == 1)
            #expect(conflict.errors.contains("Apply failed with 1 conflict"), "\(conflict.errors)")
            let forced = try await server.kubectl(
                "apply",
                "--server-side",
                "--field-manager=other",
                "--force-conflicts",
                "-f",
                "-",
                input: other
            )
            #expect(forced.status == 0, "\(forced.errors)")
            let replicas = try await server.kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}")
            #expect(replicas.output == "3")
        }
    }

    @Test func changesInPlace() async throws {
        try await TestServer.with { server in
            _ = try await server.kubectl("apply", "-f", "-", input: Self.deployment)
            let commands = [
                ["label", "deployment", "web", "tier=front"], ["annotate", "deployment", "web", "note=hello"],
                ["scale", "deployment", "web", "--replicas=5"],
                ["set", "image", "deployment/web", "main=example.org/web:3"],
                ["patch", "deployment", "web", "-p", #"{"spec":{"minReadySeconds":7}}"#],
                [
                    "patch", "deployment", "web", "--type=json", "-p",
                    #"[{"op":"add","path":"/spec/paused","value":true}]"#,
                ],
                ["patch", "deployment", "web", "--type=merge", "-p", #"{"spec":{"revisionHistoryLimit":4}}"#],
            ]
            for command in commands {
                let result = try await CommandResult.run(
                    "/usr/bin/env",
                    ["kubectl", "--kubeconfig", server.kubeconfig] + command
                )
                #expect(result.status == 0, "\(command): \(result.errors)")
            }
            let object = try await server.kubectl("get", "deployment", "web", "-o", "json").json
            #expect(object["metadata", "labels", "tier"] == "front")
            #expect(object["metadata", "annotations", "note"] == "hello")
            #expect(object["spec", "replicas"] == 5)
            #expect(object["spec", "template", "spec", "containers"]?.array?.first?["image"] == "example.org/web:3")
            #expect(object["spec", "minReadySeconds"] == 7)
            #expect(object["spec", "paused"] == true)
            #expect(object["spec", "revisionHistoryLimit"] == 4)
            #expect(object["metadata", "generation"] == 6)
        }
    }

    @Test func refusesUnknownFieldsByName() async throws {
        try await TestServer.with { server in
            let wrong = Self.deployment.replacing("replicas: 2", with: "replcias: 2")
            let result = try await server.kubectl("apply", "-f", "-", input: wrong)
            #expect(result.status == 1)
            #expect(result.errors.contains(#"unknown field "spec.replcias""#), "\(result.errors)")
            let accepted = try await server.kubectl("apply", "--validate=warn", "-f", "-", input: wrong)
            #expect(accepted.status == 0, "\(accepted.errors)")
            #expect(accepted.errors.contains(#"Warning: unknown field "spec.replcias""#), "\(accepted.errors)")
        }
    }

    @Test func saysWhatNobodyActsOn() async throws {
        let kinds = KindsWithoutController(["resourcequotas": "nothing limits the namespace"])
        let quota = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: {hard: {pods: "
        let warning =
            "Warning: ResourceQuota is stored, but no controller of this cluster acts on it yet; nothing limits"
        try await TestServer.with(kindsWithoutController: kinds) { server in
            for hard in [1, 2] {
                let applied = try await server.kubectl("apply", "-f", "-", input: "\(quota)\(hard)}}")
                #expect(applied.status == 0 && applied.errors.contains(warning), "\(applied.errors)")
            }
            let changed = try await server.kubectl(
                "apply",
                "--server-side",
                "--force-conflicts",
                "-f",
                "-",
                input: "\(quota)3}}"
            )
            #expect(changed.errors.contains(warning), "\(changed.errors)")
            let other = try await server.kubectl("create", "configmap", "plain")
            #expect(!other.errors.contains("Warning"))
            let list = try await server.kubectl(
                "-n",
                "kube-public",
                "get",
                "cm",
                "kinds-without-controller",
                "-o",
                "json"
            )
            #expect(KindsWithoutController(configMap: list.json) == kinds)
            let deleted = try await server.kubectl("delete", "quota", "q")
            #expect(deleted.status == 0 && !deleted.errors.contains("Warning"))
        }
    }

    @Test func deletesAndWaits() async throws {
        try await TestServer.with { server in
            _ = try await server.kubectl("create", "configmap", "a", "--from-literal=k=v")
            _ = try await server.kubectl("create", "configmap", "b", "--from-literal=k=v")
            let deleted = try await server.kubectl("delete", "configmap", "a")
            #expect(deleted.output.contains("configmap \"a\" deleted"), "\(deleted.errors)")
            async let waited = server.kubectl("wait", "--for=delete", "configmap/b", "--timeout=20s")
            _ = try await server.server.client.delete(.configMaps, namespace: "default", name: "b")
            #expect(try await waited.status == 0)
            let missing = try await server.kubectl("get", "configmap", "b")
            #expect(missing.errors.contains("Error from server (NotFound): configmaps \"b\" not found"))
        }
    }

    @Test func watchesTables() async throws {
        try await TestServer.with { server in
            let before = server.server.service.store.watcherCount
            async let watched = server.kubectl(
                "get",
                "configmaps",
                "-w",
                "--request-timeout=15s",
                "-l",
                "app=x",
                "--no-headers"
            )
            try await eventually { server.server.service.store.watcherCount > before }
            let client = server.server.client
            _ = try await client.create(
                .configMaps,
                namespace: "default",
                Sample.configMap("one", labels: ["app": "x"])
            )
            _ = try await client.create(
                .configMaps,
                namespace: "default",
                Sample.configMap("two", labels: ["app": "y"])
            )
            let output = try await watched.output
            #expect(output.hasPrefix("one"), "\(output)")
            #expect(!output.contains("two"))
        }
    }

    @Test func tellsWhatOneMayDo() async throws {
        try await TestServer.with { server in
            let may = try await server.kubectl("auth", "can-i", "delete", "pods")
            #expect(may.output == "yes\n", "\(may.errors)")
            let who = try await server.kubectl("auth", "whoami", "-o", "json")
            #expect(who.json["status", "userInfo", "username"] == "kubernetes-admin", "\(who.errors)")
        }
    }
}
