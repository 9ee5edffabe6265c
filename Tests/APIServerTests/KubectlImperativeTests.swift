import KubernetesClient
import KubernetesModel
import Testing

@testable import APIServer

/// The commands of the stock `kubectl` that send protobuf.
@Suite(.serialized) struct KubectlImperativeTests {
    /// A command, and what a field of the object that it made must hold.
    struct Creation: CustomTestStringConvertible, Sendable {
        let command: String
        let object: String
        let path: [String]
        let value: JSON

        init(_ command: String, _ object: String, _ path: String, _ value: JSON) {
            self.command = command
            self.object = object
            self.path = path.split(separator: ".").map(String.init)
            self.value = value
        }

        var testDescription: String { command }
    }

    static let creations: [Creation] = [
        Creation("create namespace x", "namespace/x", "status.phase", "Active"),
        Creation("create configmap c --from-literal=k=v", "configmap/c", "data", ["k": "v"]),
        Creation("create secret generic s --from-literal=k=v", "secret/s", "data", ["k": "dg=="]),
        Creation(
            "create secret docker-registry r --docker-server=example.org --docker-username=u --docker-password=p",
            "secret/r",
            "type",
            "kubernetes.io/dockerconfigjson"
        ),
        Creation("create serviceaccount robot", "serviceaccount/robot", "metadata.name", "robot"),
        Creation("create deployment web --image=example.org/web:1 --replicas=3", "deployment/web", "spec.replicas", 3),
        Creation(
            "create deployment none --image=example.org/web:1 --replicas=0",
            "deployment/none",
            "spec.replicas",
            0
        ),
        Creation(
            "create service clusterip web --tcp=80:8080",
            "service/web",
            "spec.ports",
            [["name": "80-8080", "port": 80, "protocol": "TCP", "targetPort": 8080]]
        ),
        Creation("create service nodeport outer --tcp=80:http", "service/outer", "spec.type", "NodePort"),
        Creation(
            "create service externalname other --external-name=example.org",
            "service/other",
            "spec.externalName",
            "example.org"
        ),
        Creation("create job once --image=example.org/tool:1 -- run me", "job/once", "spec.backoffLimit", 6),
        Creation(
            "create cronjob tick --image=example.org/tool:1 --schedule=*/5+*+*+*+*",
            "cronjob/tick",
            "spec.schedule",
            "*/5 * * * *"
        ),
        Creation(
            "create role reader --verb=get,list --resource=pods",
            "role/reader",
            "rules",
            [["apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]]]
        ),
        Creation(
            "create clusterrole web --verb=get --non-resource-url=/metrics",
            "clusterrole/web",
            "rules",
            [["nonResourceURLs": ["/metrics"], "verbs": ["get"]]]
        ),
        Creation(
            "create rolebinding readers --role=reader --serviceaccount=default:robot",
            "rolebinding/readers",
            "subjects",
            [["kind": "ServiceAccount", "name": "robot", "namespace": "default"]]
        ),
        Creation(
            "create clusterrolebinding webs --clusterrole=web --user=ann",
            "clusterrolebinding/webs",
            "roleRef",
            ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "web"]
        ),
        Creation(
            "create quota small --hard=cpu=1,memory=1G,pods=2",
            "quota/small",
            "spec.hard",
            ["cpu": "1", "memory": "1G", "pods": "2"]
        ),
        Creation(
            "create pdb web --selector=app=web --min-available=50%",
            "pdb/web",
            "spec.minAvailable",
            "50%"
        ),
        Creation("create pdb one --selector=app=one --max-unavailable=1", "pdb/one", "spec.maxUnavailable", 1),
        Creation("create priorityclass low --value=-10", "priorityclass/low", "value", -10),
        Creation(
            "create ingress web --class=own --rule=example.org/*=web:80",
            "ingress/web",
            "spec.rules",
            [
                [
                    "host": "example.org",
                    "http": [
                        "paths": [
                            [
                                "backend": ["service": ["name": "web", "port": ["number": 80]]], "path": "/",
                                "pathType": "Prefix",
                            ]
                        ]
                    ],
                ]
            ]
        ),
        Creation("run single --image=example.org/web:1 --port=80", "pod/single", "status.phase", "Pending"),
    ]

    @Test func createsByCommand() async throws {
        try await TestServer.with { server in
            for creation in Self.creations {
                let made = try await kubectl(server, creation.command)
                #expect(made.status == 0, "\(creation.command): \(made.errors)")
                let object = try await kubectl(server, "get \(creation.object) -o json")
                #expect(object.json[path: creation.path] == creation.value, "\(creation.command): \(object.output)")
            }
        }
    }

    @Test func isSentProtobufAndAnswersJSON() async throws {
        try await TestServer.with { server in
            let made = try await kubectl(server, "create namespace x -v=8")
            #expect(made.status == 0, "\(made.errors)")
            #expect(made.errors.contains("Content-Type: application/vnd.kubernetes.protobuf"))
            #expect(made.errors.contains("Content-Type: application/json"))
        }
    }

    @Test func readsTheSameAsFromJSON() async throws {
        try await TestServer.with { server in
            let commands = [
                "create deployment web --image=example.org/web:1 --port=80",
                "create job once --image=example.org/tool:1 -- run me", "create service loadbalancer web --tcp=80",
                "run single --image=example.org/web:1 --env=A=b --labels=x=y",
            ]
            for command in commands {
                let printed = try await kubectl(
                    server,
                    command.replacing(" --", with: " --dry-run=client -o json --", maxReplacements: 1)
                )
                let fromJSON = try await server.kubectl(
                    "create",
                    "--dry-run=server",
                    "-o",
                    "json",
                    "-f",
                    "-",
                    input: printed.output
                )
                let fromProtobuf = try await kubectl(
                    server,
                    command.replacing(" --", with: " --dry-run=server -o json --", maxReplacements: 1)
                )
                let (expected, found) = (fromJSON.json["spec"], fromProtobuf.json["spec"])
                #expect(expected != nil, "\(fromJSON.errors)")
                #expect(Self.comparable(found) == Self.comparable(expected), "\(command): \(fromProtobuf.errors)")
            }
        }
    }

    /// Without what is chosen anew for each creation, and the nulls that kubectl prints.
    private static func comparable(_ value: JSON?) -> JSON? {
        switch value {
        case .object(let fields):
            .object(
                JSONObject(
                    uniqueKeysWithValues: fields.sorted { $0.key < $1.key }.compactMap { key, value in
                        let isChosen =
                            value.isNull || key.contains("controller-uid") || key.hasPrefix("clusterIP")
                            || key == "nodePort"
                        return isChosen ? nil : (key, comparable(value) ?? .null)
                    }
                )
            )
        case .array(let elements): .array(elements.map { comparable($0) ?? .null })
        case .string(let text) where text.hasPrefix("kube-api-access-"): "kube-api-access"
        default: value
        }
    }

    @Test func managesNodes() async throws {
        try await TestServer.with { server in
            let client = server.server.client
            _ = try await client.create(
                .nodes,
                namespace: nil,
                ["apiVersion": "v1", "kind": "Node", "metadata": ["name": "n1"]]
            )
            let cordoned = try await kubectl(server, "cordon n1")
            #expect(cordoned.output == "node/n1 cordoned\n", "\(cordoned.errors)")
            _ = try await kubectl(server, "run guest --image=example.org/web:1")
            _ = try await kubectl(server, "run other --image=example.org/web:1")
            try await bind("guest", to: "n1", client)
            let drained = try await kubectl(server, "drain n1 --force --grace-period=0 --timeout=20s")
            #expect(drained.output.contains("pod/guest evicted"), "\(drained.errors)")
            #expect(drained.status == 0, "\(drained.errors)")
            let left = try await kubectl(server, "get pods -o name")
            #expect(left.output == "pod/other\n")
            let uncordoned = try await kubectl(server, "uncordon n1")
            #expect(uncordoned.output == "node/n1 uncordoned\n", "\(uncordoned.errors)")
        }
    }

    private func bind(_ pod: String, to node: String, _ client: InProcessClusterClient) async throws {
        var object = try await client.get(.pods, namespace: "default", name: pod)
        object["spec", "nodeName"] = .string(node)
        _ = try await client.delete(.pods, namespace: "default", name: pod)
        object["metadata"] = ["name": .string(pod)]
        _ = try await client.create(.pods, namespace: "default", object)
    }

    @Test func scalesExposesAsksAndDeletes() async throws {
        try await TestServer.with { server in
            _ = try await kubectl(server, "create deployment web --image=example.org/web:1 --port=80")
            let exposed = try await kubectl(server, "expose deployment web")
            #expect(exposed.output == "service/web exposed\n", "\(exposed.errors)")
            let scaled = try await kubectl(server, "scale deployment web --replicas=0")
            #expect(scaled.output == "deployment.apps/web scaled\n", "\(scaled.errors)")
            let replicas = try await kubectl(server, "get deployment web -o jsonpath={.spec.replicas}")
            #expect(replicas.output == "0")
            let allowed = try await kubectl(server, "auth can-i create deployments.apps")
            #expect(allowed.output == "yes\n", "\(allowed.errors)")
            _ = try await kubectl(server, "create serviceaccount robot")
            let token = try await kubectl(server, "create token robot --duration=20m")
            #expect(token.output.split(separator: ".").count == 3, "\(token.errors)")
            let deleted = try await kubectl(server, "delete deployment/web service/web --wait=false")
            #expect(deleted.status == 0, "\(deleted.errors)")
            let gone = try await kubectl(server, "get deployment/web service/web --ignore-not-found -o name")
            #expect(gone.status == 0 && gone.output.isEmpty, "\(gone.output)\(gone.errors)")
        }
    }

    @Test func answersProtobufErrorsAsStatus() async throws {
        try await TestServer.with { server in
            func post(_ path: String, _ text: String) async throws -> JSON {
                try await server.curl(
                    path,
                    "-H",
                    "Content-Type: application/vnd.kubernetes.protobuf",
                    "-H",
                    "Accept: application/vnd.kubernetes.protobuf,application/json",
                    "--data-binary",
                    text
                ).json
            }
            let broken = try await post("/api/v1/namespaces", "{}")
            #expect(broken["code"] == 400)
            #expect(broken["reason"] == "BadRequest")
            #expect(broken["message"]?.string?.contains("no Kubernetes protobuf") == true)
            let again = try await kubectl(server, "create namespace default")
            #expect(again.errors == "Error from server (AlreadyExists): namespaces \"default\" already exists\n")
        }
    }

    /// Runs a command without quoting; `+` stands for a blank within a word.
    private func kubectl(_ server: TestServer, _ command: String) async throws -> CommandResult {
        let words = command.split(separator: " ").map { String($0).replacing("+", with: " ") }
        return try await CommandResult.run(
            "/usr/bin/env",
            ["kubectl", "--kubeconfig", server.kubeconfig, "--cache-dir", server.kubeconfig + ".cache"] + words
        )
    }
}
