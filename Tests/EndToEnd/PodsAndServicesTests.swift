import Foundation
import KubernetesModel
import TestKit
import Testing

/// What pods are told, what they find by name, and what reaches them: stock kubectl against the real program.
@Suite(.serialized, .journeyPlatform) struct PodsAndServicesTests {
    // MARK: - What pods are told

    private static let told = """
        apiVersion: v1
        kind: Service
        metadata: {name: shop-db}
        spec: {selector: {app: none}, ports: [{name: sql, port: 5432}]}
        ---
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: told}
        data: {color: blue}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: told, labels: {tier: back}}
        spec:
          restartPolicy: Never
          containers:
          - name: main
            image: busybox:1.36
            command: [sh, -c, "env; cd /facts; for each in labels memory all/color all/name; do echo $each=$(cat $each); done; stat -c %a all/token"]
            resources: {limits: {memory: 64Mi, cpu: 500m}}
            env:
            - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
            - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
            - {name: MILLIS, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
            - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
            volumeMounts: [{name: facts, mountPath: /facts}, {name: all, mountPath: /facts/all}]
          volumes:
          - name: facts
            downwardAPI:
              items:
              - {path: labels, fieldRef: {fieldPath: metadata.labels}}
              - {path: memory, resourceFieldRef: {containerName: main, resource: limits.memory, divisor: 1Mi}}
              - {path: all/.keep, fieldRef: {fieldPath: metadata.name}}
          - name: all
            projected:
              sources:
              - configMap: {name: told}
              - downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}
              - serviceAccountToken: {path: token, expirationSeconds: 600}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: untold}
        spec:
          restartPolicy: Never
          enableServiceLinks: false
          containers: [{name: main, image: busybox:1.36, command: [env]}]
        """

    @Test(.timeLimit(.minutes(3)))
    func podsAreToldWhatTheyAskFor() async throws {
        let platform = try JourneyPlatform.current
        try await platform.kubectl("apply", "-f", "-", input: Self.told)
        try await platform.kubectl(
            "wait",
            "pod/told",
            "pod/untold",
            "--for=jsonpath={.status.phase}=Succeeded",
            "--timeout=60s"
        )
        let lines = Set(try await platform.kubectl("logs", "told").split(separator: "\n").map(String.init))
        let address = try await platform.kubectl("get", "service", "shop-db", "-o", "jsonpath={.spec.clusterIP}")
        let expected = [
            "MEMORY=67108864", "CPU=1", "MILLIS=500", "POD=told", "labels=tier=\"back\"", "memory=64",
            "all/color=blue", "all/name=told", "SHOP_DB_SERVICE_HOST=\(address)", "SHOP_DB_SERVICE_PORT_SQL=5432",
            "SHOP_DB_PORT_5432_TCP=tcp://\(address):5432", "KUBERNETES_SERVICE_PORT_HTTPS=443",
        ]
        for line in expected { #expect(lines.contains(line), "\(line) is missing in \(lines.sorted())") }
        let others = try await platform.kubectl("logs", "untold")
        #expect(!others.contains("SHOP_DB") && others.contains("KUBERNETES_SERVICE_HOST="))
    }

    @Test(.timeLimit(.minutes(2)))
    func podsOfAnIndexedJobKnowTheirIndex() async throws {
        let platform = try JourneyPlatform.current
        let job = """
            apiVersion: batch/v1
            kind: Job
            metadata: {name: parts}
            spec:
              completions: 3
              parallelism: 3
              completionMode: Indexed
              template:
                spec:
                  restartPolicy: Never
                  containers:
                  - {name: main, image: busybox:1.36, command: [sh, -c, 'echo part $JOB_COMPLETION_INDEX on $(hostname)']}
            """
        try await platform.kubectl("apply", "-f", "-", input: job)
        try await platform.kubectl("wait", "job/parts", "--for=condition=Complete", "--timeout=60s")
        let lines = try await platform.kubectl("logs", "-l", "job-name=parts").split(separator: "\n").sorted()
        #expect(lines == (0..<3).map { "part \($0) on parts-\($0)" })
        let completed = try await platform.kubectl("get", "job", "parts", "-o", "jsonpath={.status.completedIndexes}")
        #expect(completed == "0-2")
    }

    @Test func warnsOfWhatNobodyActsOn() async throws {
        let platform = try JourneyPlatform.current
        let claim = """
            apiVersion: v1
            kind: PersistentVolumeClaim
            metadata: {name: disk}
            spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
            """
        let applied = try await platform.attemptKubectl("apply", "-f", "-", input: claim)
        #expect(applied.succeeded)
        #expect(
            applied.errors.contains("Warning: PersistentVolumeClaim is stored, but no controller"),
            "\(applied.errors)"
        )
    }

    // MARK: - Following

    private static func echo(_ name: String) -> String {
        """
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: \(name)}
        spec:
          replicas: 2
          selector: {matchLabels: {app: \(name)}}
          template:
            metadata: {labels: {app: \(name)}}
            spec:
              terminationGracePeriodSeconds: 1
              containers:
              - name: main
                image: busybox:1.36
                command: [sh, -c, "mkdir /site; echo hello from \(name) > /site/index.html; echo begun; exec httpd -f -v -p 8080 -h /site"]
                ports: [{name: http, containerPort: 8080}]
                readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        """
    }

    @Test(.timeLimit(.minutes(3)))
    func clientsFollowLogsAndChanges() async throws {
        let platform = try JourneyPlatform.current
        let kubectl = ["kubectl", "--kubeconfig", platform.kubeconfig]
        try await platform.kubectl("apply", "-f", "-", input: Self.echo("seen"))
        try await platform.kubectl("rollout", "status", "deployment/seen", "--timeout=60s")
        try await FollowedProgram.with(kubectl + ["get", "pods", "-l", "app=seen", "-w", "-o", "wide"]) { pods in
            try await pods.waitFor("Running")
            try await FollowedProgram.with(kubectl + ["logs", "-f", "deployment/seen"]) { log in
                try await log.waitFor("begun")
                // The probes' requests come after what was there when the log was opened.
                let before = log.output.count(where: \.isNewline)
                try await waitUntil("the log goes on", within: .seconds(15)) {
                    log.output.count(where: \.isNewline) > before + 2
                }
            }
            try await platform.kubectl("set", "image", "deployment/seen", "main=docker.io/library/busybox:1.36")
            try await platform.kubectl("rollout", "status", "deployment/seen", "--timeout=60s")
            try await pods.waitFor("Terminating")
            try await pods.waitFor("ContainerCreating")
        }
        let images = try await platform.kubectl(
            "get",
            "pods",
            "-l",
            "app=seen",
            "-o",
            "jsonpath={.items[*].spec.containers[*].image}"
        )
        #expect(images.contains("docker.io/library/busybox:1.36"))
        try await platform.kubectl("delete", "deployment", "seen")
    }

    // MARK: - Names and addresses

    private static let named = """
        apiVersion: v1
        kind: Service
        metadata: {name: heads}
        spec: {clusterIP: None, selector: {app: named}, ports: [{name: http, port: 8080}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: named}
        spec: {type: NodePort, selector: {app: named}, ports: [{name: http, port: 80, targetPort: http}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: other-name}
        spec: {type: ExternalName, externalName: named.default.svc.cluster.local}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: asking}
        spec:
          terminationGracePeriodSeconds: 0
          containers: [{name: main, image: busybox:1.36, command: [sleep, "600"]}]
        """

    @Test(.timeLimit(.minutes(3)))
    func podsFindServicesByEveryKindOfName() async throws {
        let platform = try JourneyPlatform.current
        try await platform.kubectl("apply", "-f", "-", input: "\(Self.echo("named"))\n---\n\(Self.named)")
        try await platform.kubectl("rollout", "status", "deployment/named", "--timeout=60s")
        try await platform.kubectl("wait", "pod/asking", "--for=condition=Ready", "--timeout=60s")
        func inside(_ command: String) async throws -> String {
            try await platform.kubectl("exec", "asking", "--", "sh", "-c", command)
        }
        let addresses = try await platform.kubectl(
            "get",
            "pods",
            "-l",
            "app=named",
            "-o",
            "jsonpath={.items[*].status.podIP}"
        ).split(separator: " ").map(String.init)
        #expect(addresses.count == 2)
        try await waitUntil("the headless service names both pods", within: .seconds(10)) {
            let heads = try await inside("nslookup heads.default.svc.cluster.local || true")
            return addresses.allSatisfy { heads.contains($0) }
        }
        let ports = try await inside("nslookup -type=srv _http._tcp.heads.default.svc.cluster.local")
        let labels = addresses.map { $0.replacing(".", with: "-") }
        for label in labels { #expect(ports.contains("8080 \(label).heads.default.svc.cluster.local"), "\(ports)") }
        let reverse = try await inside("nslookup \(addresses[0])")
        #expect(reverse.contains("\(labels[0]).heads.default.svc.cluster.local"), "\(reverse)")
        for host in ["other-name", "named", "\(labels[0]).default.pod.cluster.local:8080", "heads:8080"] {
            #expect(try await inside("wget -qO- http://\(host)/") == "hello from named\n", "\(host)")
        }
        try await reachNodePort(platform)
        try await platform.kubectl("delete", "deployment/named", "pod/asking", "--now")
    }

    private func reachNodePort(_ platform: TestPlatform) async throws {
        let port = try await platform.kubectl(
            "get",
            "service",
            "named",
            "-o",
            "jsonpath={.spec.ports[0].nodePort}"
        )
        let node = try await platform.kubectl(
            "get",
            "nodes",
            "-o",
            "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}"
        )
        for host in ["127.0.0.1", node] {
            try await waitUntil("\(host):\(port) leads to the pods", within: .seconds(10)) {
                let page = try await Shell.attempt("curl", ["-s", "-m", "5", "http://\(host):\(port)/"])
                return page.output == "hello from named\n"
            }
        }
    }

    /// Outside is a network namespace with an address of its own and no route but the one to the machine: it can answer only to who
    /// comes from the machine's address.
    @Test(.timeLimit(.minutes(2)))
    func podsReachTheOutsideByTheMachinesAddress() async throws {
        let platform = try JourneyPlatform.current
        let pod = """
            apiVersion: v1
            kind: Pod
            metadata: {name: inside}
            spec:
              terminationGracePeriodSeconds: 0
              containers: [{name: main, image: busybox:1.36, command: [sleep, "600"]}]
            """
        try await platform.kubectl("apply", "-f", "-", input: pod)
        try await platform.kubectl("wait", "pod/inside", "--for=condition=Ready", "--timeout=60s")
        try await Outside.with { outside in
            let seen = try await platform.kubectl(
                "exec",
                "inside",
                "--",
                "sh",
                "-c",
                "nc -w 5 \(outside.address) \(outside.port) </dev/null"
            )
            #expect(seen == outside.machineAddress)
        }
        try await platform.kubectl("delete", "pod", "inside", "--now")
    }
}

/// A neighbour of the machine: a network namespace behind a cable of its own, with a server that tells clients their address.
private struct Outside {
    let name = "out\(UInt16.random(in: .min ... .max))"
    /// Of the block for tests of networks (RFC 2544).
    let block = "198.19.\(Int.random(in: 0...255))"
    let port = 7007

    var machineAddress: String { "\(block).1" }
    var address: String { "\(block).2" }

    static func with(_ body: (Outside) async throws -> Void) async throws {
        let outside = Outside()
        do {
            try await outside.make()
            try await FollowedProgram.with(outside.server) { server in
                try await server.waitFor("listening", within: .seconds(10))
                try await body(outside)
            }
        } catch {
            try? await outside.remove()
            throw error
        }
        try await outside.remove()
    }

    private var server: [String] {
        let program = """
            import socket
            server = socket.create_server(("\(address)", \(port)))
            print("listening", flush=True)
            while True:
                client, (host, _) = server.accept()
                client.sendall(host.encode())
                client.close()
            """
        return ["ip", "netns", "exec", name, "python3", "-c", program]
    }

    private func make() async throws {
        try await ip("netns", "add", name)
        try await ip("link", "add", name, "type", "veth", "peer", "name", "cable", "netns", name)
        try await ip("address", "add", "\(machineAddress)/30", "dev", name)
        try await ip("link", "set", name, "up")
        try await ip("-n", name, "address", "add", "\(address)/30", "dev", "cable")
        try await ip("-n", name, "link", "set", "cable", "up")
    }

    private func remove() async throws {
        try await ip("netns", "delete", name)
    }

    private func ip(_ arguments: String...) async throws {
        try await Shell.run("ip", arguments)
    }
}
