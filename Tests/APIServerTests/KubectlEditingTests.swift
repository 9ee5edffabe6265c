import Foundation
import KubernetesClient
import KubernetesModel
import Testing

@testable import APIServer

/// Commands of the stock `kubectl` by which people change what is there.
@Suite(.serialized) struct KubectlEditingTests {
    private static let firstVersion = "horizontalpodautoscalers.v1.autoscaling"
    private static let things = """
        apiVersion: apiextensions.k8s.io/v1
        kind: CustomResourceDefinition
        metadata: {name: things.example.org}
        spec:
          group: example.org
          scope: Namespaced
          names: {kind: Thing, plural: things}
          versions:
          - {name: v1, served: true, storage: false, schema: &schema {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}}
          - {name: v2, served: true, storage: true, schema: *schema}
        """

    @Test func autoscalesInBothVersions() async throws {
        try await TestServer.with { server in
            _ = try await server.kubectl("create", "deployment", "web", "--image=example.org/web:1")
            let made = try await server.kubectl(
                "autoscale",
                "deployment",
                "web",
                "--min=2",
                "--max=5",
                "--cpu-percent=60"
            )
            #expect(made.output == "horizontalpodautoscaler.autoscaling/web autoscaled\n", "\(made.errors)")
            let second = try await server.kubectl("get", "horizontalpodautoscalers.v2.autoscaling", "web", "-o", "json")
            let target = second.json["spec", "metrics"]?.array?.first?["resource", "target", "averageUtilization"]
            #expect(target == 60 && second.json["apiVersion"] == "autoscaling/v2", "\(second)")
            let first = try await server.kubectl("get", Self.firstVersion, "web", "-o", "json")
            #expect(first.json["spec", "targetCPUUtilizationPercentage"] == 60, "\(first)")
            #expect(first.json["spec", "metrics"] == nil && first.json["apiVersion"] == "autoscaling/v1")

            let patched = try await server.kubectl(
                "patch",
                Self.firstVersion,
                "web",
                "-p",
                #"{"spec": {"targetCPUUtilizationPercentage": 75}}"#
            )
            #expect(patched.status == 0, "\(patched.errors)")
            for table in ["hpa", Self.firstVersion] {
                let line = try await server.kubectl("get", table)
                #expect(line.output.contains("Deployment/web") && line.output.contains("75%"), "\(line)")
            }
            let deleted = try await server.kubectl("delete", "hpa", "web")
            #expect(deleted.status == 0, "\(deleted.errors)")
            #expect(try await server.kubectl("get", Self.firstVersion, "-o", "name").output.isEmpty)
        }
    }

    @Test func watchesAndListsTheFirstVersion() async throws {
        try await TestServer.with { server in
            let path = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
            let second: JSON = [
                "metadata": ["name": "web"],
                "spec": ["scaleTargetRef": ["kind": "Deployment", "name": "web"], "maxReplicas": 5],
            ]
            let kind = Resource(
                group: "autoscaling",
                version: "v2",
                plural: "horizontalpodautoscalers",
                kind: "HorizontalPodAutoscaler"
            )
            _ = try await server.server.client.create(kind, namespace: "default", second)
            let list = try await server.curl(path).json["items"]?.array
            #expect(list?.first?["spec", "targetCPUUtilizationPercentage"] == 80)
            let watched = try await server.curl("\(path)?watch=1&timeoutSeconds=1")
            #expect(watched.json["object", "spec", "targetCPUUtilizationPercentage"] == 80, "\(watched)")
            #expect(watched.json["object", "apiVersion"] == "autoscaling/v1")
        }
    }

    @Test func servesAllVersionsOfACustomKind() async throws {
        try await TestServer.with { server in
            let defined = try await server.kubectl("apply", "-f", "-", input: Self.things)
            #expect(defined.status == 0, "\(defined.errors)")
            let thing = "apiVersion: example.org/v1\nkind: Thing\nmetadata: {name: t}\nspec: {size: 1}\n"
            try await eventually { try await server.kubectl("apply", "-f", "-", input: thing).status == 0 }
            let second = try await server.kubectl("get", "things.v2.example.org", "t", "-o", "json")
            #expect(second.json["apiVersion"] == "example.org/v2" && second.json["spec", "size"] == 1, "\(second)")
            let changed = thing.replacing("v1", with: "v2").replacing("size: 1", with: "size: 2")
            let applied = try await server.kubectl("apply", "-f", "-", input: changed)
            #expect(applied.output.contains("configured"), "\(applied.errors)")
            let first = try await server.kubectl("get", "things.v1.example.org", "t", "-o", "json")
            #expect(first.json["apiVersion"] == "example.org/v1" && first.json["spec", "size"] == 2, "\(first)")
        }
    }

    @Test func editsWithAnEditor() async throws {
        try await TestServer.with { server in
            _ = try await server.kubectl("create", "deployment", "web", "--image=example.org/web:1")
            let edited = try await edit(server, "deployment/web", editor: "sed -i s/replicas:.1/replicas:\\ 4/")
            #expect(edited.output == "deployment.apps/web edited\n", "\(edited.errors)")
            let replicas = try await server.kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}")
            #expect(replicas.output == "4")
            let same = try await edit(server, "deployment/web", editor: "true")
            #expect(same.errors == "Edit cancelled, no changes made.\n", "\(same.output)")
            let bad = try await edit(server, "deployment/web", editor: "sed -i s/replicas:.4/replicas:\\ -1/")
            #expect(bad.status != 0 && bad.errors.contains("is invalid"), "\(bad)")
        }
    }

    private func edit(_ server: TestServer, _ object: String, editor: String) async throws -> CommandResult {
        try await CommandResult.run(
            "/usr/bin/env",
            ["KUBE_EDITOR=\(editor)", "kubectl", "--kubeconfig", server.kubeconfig, "edit", object]
        )
    }

    @Test func showsTheDifferenceWithoutMakingIt() async throws {
        try await TestServer.with { server in
            let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {mode: calm}\n"
            let new = try await server.kubectl("diff", "-f", "-", input: map)
            #expect(new.status == 1 && new.output.contains("+  mode: calm"), "\(new.errors)")
            #expect(try await server.kubectl("get", "configmap", "m").errors.contains("NotFound"))
            _ = try await server.kubectl("apply", "-f", "-", input: map)
            #expect(try await server.kubectl("diff", "-f", "-", input: map).status == 0)
            let changed = try await server.kubectl("diff", "-f", "-", input: map.replacing("calm", with: "wild"))
            #expect(changed.status == 1, "\(changed.errors)")
            #expect(changed.output.contains("-  mode: calm") && changed.output.contains("+  mode: wild"))
            let onServer = try await server.kubectl(
                "diff",
                "--server-side",
                "--force-conflicts",
                "-f",
                "-",
                input: map.replacing("calm", with: "wild")
            )
            #expect(onServer.status == 1 && onServer.output.contains("+  mode: wild"), "\(onServer.errors)")
            let kept = try await server.kubectl("get", "configmap", "m", "-o", "jsonpath={.data.mode}")
            #expect(kept.output == "calm")
        }
    }

    @Test func saysThatThereAreNoMetrics() async throws {
        try await TestServer.with { server in
            let top = try await server.kubectl("top", "pods")
            #expect(top.status == 1 && top.errors == "error: Metrics API not available\n", "\(top)")
        }
    }
}
