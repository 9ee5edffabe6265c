import Foundation
import KubernetesModel

/// The objects that one job is in the cluster. Pure.
struct JobPod {
    static let labelPrefix = "sampan.dev/"
    static let jobLabel = "sampan.dev/job-id"

    let assignment: JobAssignment
    let namespace: String
    let helperImage: String

    static func name(_ jobID: Int) -> String { "job-\(jobID)" }

    private var name: String { Self.name(assignment.jobID) }

    private var metadata: JSON {
        [
            "name": .string(name), "namespace": .string(namespace),
            "labels": JSON([
                "app.kubernetes.io/managed-by": "sampan",
                Self.jobLabel: "\(assignment.jobID)",
                "sampan.dev/pipeline-id": "\(assignment.pipelineID)",
                "sampan.dev/project-id": "\(assignment.projectID)",
            ]),
            "annotations": ["sampan.dev/job-name": .string(assignment.name)],
        ]
    }

    // MARK: - Secrets

    /// The Secrets that the pod mounts and pulls with.
    var secrets: [JSON] {
        var secrets = [
            secret("", type: "Opaque", assignment.files.contents),
            secret("-registry", type: registryType, registryLogin),
        ]
        if !assignment.services.isEmpty { secrets.append(secret("-services", type: "Opaque", serviceVariables)) }
        return secrets
    }

    static func secretNames(_ jobID: Int) -> [String] { ["", "-registry", "-services"].map { name(jobID) + $0 } }

    private var registryType: String { "kubernetes.io/dockerconfigjson" }

    private func secret(_ suffix: String, type: String, _ data: [String: String]) -> JSON {
        var metadata = metadata
        metadata["name"] = .string(name + suffix)
        return [
            "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": .string(type),
            "data": JSON(data.mapValues { Data($0.utf8).base64EncodedString() }),
        ]
    }

    private var registryLogin: [String: String] {
        let login = Data("gitlab-ci-token:\(assignment.token)".utf8).base64EncodedString()
        let file: JSON = ["auths": .object([assignment.registry: ["auth": .string(login)]])]
        return [".dockerconfigjson": file.encodedString]
    }

    private var serviceVariables: [String: String] {
        let usable = assignment.variables.filter { !$0.isFile && $0.key.isVariableName }
        return Dictionary(usable.map { ($0.key, $0.value) }, uniquingKeysWith: { _, last in last })
    }

    // MARK: - The pod

    var pod: JSON {
        var spec: JSON = [
            "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 10, "activeDeadlineSeconds": JSON(assignment.timeout + 60),
            "volumes": [
                ["name": "shared", "emptyDir": [:]], ["name": "builds", "emptyDir": [:]],
                ["name": "job", "secret": ["secretName": .string(name), "defaultMode": 292]],
            ],
            "imagePullSecrets": [["name": .string(name + "-registry")]],
            "initContainers": [helper("prepare")],
        ]
        let finish = assignment.files.needsFinish ? [helper("finish")] : []
        spec["containers"] = .array([build] + finish + services)
        if let account = assignment.account { reachCluster(as: account, &spec) }
        let aliases = assignment.services.flatMap(Self.hostNames)
        if !aliases.isEmpty { spec["hostAliases"] = [["ip": "127.0.0.1", "hostnames": JSON(aliases)]] }
        return ["apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec]
    }

    /// Only the job's own script gets the token.
    private func reachCluster(as account: JobAccount, _ spec: inout JSON) {
        let volume = ClusterFiles(account: account).volume("cluster", secret: name)
        let mount: JSON = ["name": "cluster", "mountPath": .string(ClusterFiles.tokenFolder), "readOnly": true]
        spec["serviceAccountName"] = .string(account.name)
        spec["volumes"] = .array((spec["volumes"]?.array ?? []) + [volume])
        spec["containers"] = .array(
            (spec["containers"]?.array ?? []).map { container in
                guard container["name"]?.string == "build" else { return container }
                var container = container
                container["volumeMounts"] = .array((container["volumeMounts"]?.array ?? []) + [mount])
                return container
            }
        )
    }

    private func helper(_ role: String) -> JSON {
        [
            "name": .string(role), "image": .string(helperImage), "imagePullPolicy": "IfNotPresent",
            "command": ["/helper/busybox", "sh", .string("/helper/\(role).sh")],
            "resources": ["requests": ["cpu": "10m", "memory": "16Mi"]], "volumeMounts": mounts,
        ]
    }

    private var build: JSON {
        var container: JSON = [
            "name": "build", "image": .string(assignment.image.name),
            "imagePullPolicy": .string(Self.pullPolicy(assignment.image)),
            "resources": ["requests": ["cpu": "100m", "memory": "64Mi"]], "volumeMounts": mounts,
        ]
        let program = JSON(["/sampan/bin/busybox", "sh", "/sampan/bin/build.sh"])
        let entrypoint = assignment.image.entrypoint?.filter { !$0.isEmpty } ?? []
        container["command"] = entrypoint.isEmpty ? program : JSON(entrypoint)
        if !entrypoint.isEmpty { container["args"] = program }
        return container
    }

    private var mounts: JSON {
        [
            ["name": "shared", "mountPath": "/sampan"], ["name": "builds", "mountPath": "/builds"],
            ["name": "job", "mountPath": .string(JobFiles.folder), "readOnly": true],
        ]
    }

    private var services: [JSON] {
        assignment.services.enumerated().map { index, service in
            var container: JSON = [
                "name": .string("service-\(index)"), "image": .string(service.name),
                "imagePullPolicy": .string(Self.pullPolicy(ImageDefinition(name: service.name))),
                "envFrom": [["secretRef": ["name": .string(name + "-services")]]],
                "env": .array(
                    service.variables.sorted { $0.key < $1.key }
                        .map { ["name": .string($0.key), "value": .string($0.value)] }
                ),
                "resources": ["requests": ["cpu": "10m", "memory": "32Mi"]],
            ]
            container["command"] = service.entrypoint.map { JSON($0) }
            container["args"] = service.command.map { JSON($0) }
            return container
        }
    }

    /// The names that a script reaches a service by: its alias, and its image's path without tag.
    static func hostNames(_ service: ServiceDefinition) -> [String] {
        let aliases = service.alias?.split { $0 == "," || $0 == " " }.map(String.init) ?? []
        let path = service.name.prefix { $0 != "@" }
        let last = path.split(separator: "/").last ?? ""
        let folder = path.dropLast(last.count)
        let image = folder + last.prefix { $0 != ":" }
        let names = [image.replacing("/", with: "-"), image.replacing("/", with: "__")].map { String($0) }
        return (aliases + (Set(names).count == 1 ? [names[0]] : names))
            .filter { $0.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) } }
    }

    /// A tag that moves is pulled each time, as Kubernetes does by default.
    static func pullPolicy(_ image: ImageDefinition) -> String {
        switch image.pullPolicy {
        case "always": return "Always"
        case "never": return "Never"
        case "if-not-present": return "IfNotPresent"
        default: break
        }
        guard !image.name.contains("@") else { return "IfNotPresent" }
        let last = image.name.split(separator: "/").last ?? ""
        return !last.contains(":") || last.hasSuffix(":latest") ? "Always" : "IfNotPresent"
    }
}
