import Foundation
import KubernetesClient
import KubernetesModel
import TestKit
import Testing

@testable import NodeAgent

/// The agent on a real containerd.
@Suite(.serialized, .timeLimit(.minutes(6))) struct NodeAgentTests {
    /// A shell that ends when it is told to.
    static let obedient = "trap 'exit 0' TERM; sleep 1000 & wait"

    @Test func runsAPodAndRemovesItWithoutTrace() async throws {
        try await NodeAgentFixture.with { fixture in
            try await fixture.withAgent { agent in
                try await waitUntil("node") { fixture.cluster.find(.nodes, name: "node-1") != nil }
                let pod = try await fixture.createPod("hello", "echo hello; \(Self.obedient)")
                try await fixture.waitUntilReady("hello")
                let status = try #require(fixture.pod("hello")).status
                #expect(status["phase"] == "Running")
                #expect(status["podIP"]?.string?.hasPrefix("10.") == true)
                #expect(status["conditions"]?.array?.contains { $0["type"] == "PodScheduled" } == true)
                #expect(fixture.status("hello")?["state", "running", "startedAt"] != nil)
                try await waitUntil("the log") {
                    try await fixture.text(
                        agent.logs(namespace: "default", pod: "hello", options: LogOptions())
                    ) == "hello\n"
                }
                try await waitUntil("events") {
                    ["Pulled", "Created", "Started"].allSatisfy { !fixture.events($0).isEmpty }
                }
                _ = try await fixture.cluster.delete(.pods, namespace: "default", name: "hello")
                try await fixture.waitUntilGone("hello")
                #expect(fixture.drain.addresses == [status["podIP"]?.string])
                try await waitUntil("the worker is gone") { agent.worker(uid: pod.uid) == nil }
                #expect(try await agent.context.runtime.sandboxes(podUID: nil).isEmpty)
                #expect(!FileManager.default.fileExists(atPath: "\(fixture.containerd.home)/pods/\(pod.uid)"))
                try await waitUntil("the shims are gone") { fixture.containerd.shims().isEmpty }
            }
        }
    }

    @Test func readinessFollowsItsProbe() async throws {
        try await NodeAgentFixture.with { fixture in
            try await fixture.withAgent { agent in
                try await fixture.createPod("probed", Self.obedient) { pod in
                    pod["spec", "containers"] = .array([
                        [
                            "name": "main", "image": .string(ContainerdFixture.image),
                            "command": ["/bin/sh", "-c", .string(Self.obedient)],
                            "readinessProbe": [
                                "exec": ["command": ["cat", "/tmp/ok"]], "periodSeconds": 1, "failureThreshold": 1,
                            ],
                        ]
                    ])
                }
                try await waitUntil("running") { fixture.status("probed")?["state", "running"] != nil }
                #expect(!fixture.isReady("probed"))
                let id = try #require(agent.worker(uid: fixture.pod("probed")?.uid ?? "")?.observed.latest("main")?.id)
                let runtime = agent.context.runtime
                #expect(try await runtime.execute(["touch", "/tmp/ok"], in: id, timeout: .seconds(5)).exitCode == 0)
                try await fixture.waitUntilReady("probed")
                _ = try await runtime.execute(["rm", "/tmp/ok"], in: id, timeout: .seconds(5))
                try await waitUntil("unready") { !fixture.isReady("probed") }
                try await waitUntil("event") { fixture.events("Unhealthy").contains { $0.contains("Readiness probe") } }
                #expect(fixture.status("probed")?["restartCount"] == 0)
                let failure = try await runtime.execute(
                    ["sh", "-c", "echo no >&2; exit 7"],
                    in: id,
                    timeout: .seconds(5)
                )
                #expect(failure.exitCode == 7)
                #expect(String(decoding: failure.errorOutput, as: UTF8.self) == "no\n")
            }
        }
    }

    @Test func servesHTTPProbesAndRestartsWhatIsNotAlive() async throws {
        try await NodeAgentFixture.with { fixture in
            try await fixture.withAgent { agent in
                let script = "mkdir /w; echo ok > /w/alive; httpd -p 8080 -h /w; \(Self.obedient)"
                try await fixture.createPod("served", script) { pod in
                    var container = pod["spec", "containers"]?[0] ?? [:]
                    let get: JSON = ["path": "/alive", "port": "web"]
                    container["ports"] = [["name": "web", "containerPort": 8080]]
                    container["startupProbe"] = ["httpGet": get]
                    container["readinessProbe"] = ["tcpSocket": ["port": 8080]]
                    container["livenessProbe"] = [
                        "httpGet": get, "periodSeconds": 1, "timeoutSeconds": 10, "failureThreshold": 1,
                    ]
                    pod["spec", "containers"] = .array([container])
                }
                try await fixture.waitUntilReady("served")
                #expect(fixture.status("served")?["started"] == true)
                let id = try #require(agent.worker(uid: fixture.pod("served")?.uid ?? "")?.observed.latest("main")?.id)
                _ = try await agent.context.runtime.execute(["rm", "/w/alive"], in: id, timeout: .seconds(5))
                try await waitUntil("restart", within: .seconds(60)) {
                    fixture.status("served")?["restartCount"] == 1 && fixture.isReady("served")
                }
                try await waitUntil("the events") {
                    fixture.events("Killing").contains("Container main failed liveness probe, will be restarted")
                        && fixture.events("Unhealthy").contains(
                            "Liveness probe failed: HTTP probe failed with statuscode: 404"
                        )
                }
            }
        }
    }

    @Test func crashLoopBacksOff() async throws {
        try await NodeAgentFixture.with { fixture in
            try await fixture.withAgent { agent in
                let script = "echo run; echo last words > /dev/termination-log; exit 3"
                try await fixture.createPod("crash", script)
                try await waitUntil("back-off", within: .seconds(60)) {
                    fixture.status("crash")?["state", "waiting", "reason"] == "CrashLoopBackOff"
                }
                let status = try #require(fixture.status("crash"))
                #expect(status["restartCount"] == 1)
                #expect(status["lastState", "terminated", "exitCode"] == 3)
                #expect(status["lastState", "terminated", "reason"] == "Error")
                #expect(status["lastState", "terminated", "message"] == "last words\n")
                let message = try #require(status["state", "waiting", "message"]?.string)
                #expect(message.hasPrefix("back-off 10s restarting failed container=main pod=crash_default("))
                try await waitUntil("event") { !fixture.events("BackOff").isEmpty }
                var options = LogOptions()
                options.previous = true
                #expect(
                    try await fixture.text(agent.logs(namespace: "default", pod: "crash", options: options)) == "run\n"
                )
            }
        }
    }

    @Test func tellsOfMemoryAndDeadlines() async throws {
        try await NodeAgentFixture.with { fixture in
            try await fixture.withAgent { _ in
                try await fixture.createPod("hungry", "tail /dev/zero") { pod in
                    pod["spec", "restartPolicy"] = "Never"
                    var container = pod["spec", "containers"]?[0] ?? [:]
                    container["resources"] = ["limits": ["memory": "16Mi"]]
                    pod["spec", "containers"] = .array([container])
                }
                try await fixture.createPod("slow", Self.obedient) { $0["spec", "activeDeadlineSeconds"] = 1 }
                try await waitUntil("the end", within: .seconds(60)) { fixture.pod("hungry")?.phase == "Failed" }
                try await waitUntil("the reason") {
                    fixture.status("hungry")?["state", "terminated", "reason"] == "OOMKilled"
                }
                #expect(fixture.status("hungry")?["state", "terminated", "exitCode"] == 137)
                try await waitUntil("the deadline", within: .seconds(60)) { fixture.pod("slow")?.phase == "Failed" }
                #expect(fixture.pod("slow")?.status["reason"] == "DeadlineExceeded")
            }
        }
    }

    @Test func rotatesLogsWithoutLosingLines() async throws {
        try await NodeAgentFixture.with { fixture in
            try await fixture.withAgent { agent in
                let script = "i=0; while [ $i -lt 60 ]; do echo line $i; i=$((i+1)); sleep 0.02; done"
                try await fixture.createPod("talker", script) { $0["spec", "restartPolicy"] = "Never" }
                try await waitUntil("start") { fixture.status("talker")?["containerID"] != nil }
                let follow = LogOptions(follow: true)
                let stream = try await agent.logs(namespace: "default", pod: "talker", options: follow)
                var lines: [UInt8] = []
                var hasRotated = false
                let rotation = LogRotation(
                    runtime: agent.context.runtime,
                    logger: agent.context.logger,
                    maximumBytes: 1
                )
                for try await piece in stream {
                    lines += piece
                    guard !hasRotated, let worker = agent.worker(uid: fixture.pod("talker")?.uid ?? "") else {
                        continue
                    }
                    hasRotated = true
                    await rotation.rotate(worker.observed.running, now: .present)
                }
                #expect(hasRotated)
                #expect(String(decoding: lines, as: UTF8.self) == (0..<60).map { "line \($0)\n" }.joined())
            }
        }
    }

    @Test func stopsOnlyAfterTrafficIsWithdrawn() async throws {
        try await NodeAgentFixture.with { fixture in
            fixture.drain.hold()
            try await fixture.withAgent { agent in
                let note = "\(fixture.containerd.home)/note"
                try FileManager.default.createDirectory(atPath: note, withIntermediateDirectories: true)
                let script = "trap 'echo term >> /note/log; exit 0' TERM; sleep 1000 & wait"
                let pod = try await fixture.createPod("drained", script) { pod in
                    pod["spec", "terminationGracePeriodSeconds"] = 20
                    pod["spec", "volumes"] = [["name": "note", "hostPath": ["path": .string(note)]]]
                    var container = pod["spec", "containers"]?[0] ?? [:]
                    container["volumeMounts"] = [["name": "note", "mountPath": "/note"]]
                    container["lifecycle"] = [
                        "preStop": ["exec": ["command": ["sh", "-c", "echo hook >> /note/log"]]]
                    ]
                    pod["spec", "containers"] = .array([container])
                }
                try await fixture.waitUntilReady("drained")
                _ = try await fixture.cluster.delete(.pods, namespace: "default", name: "drained")
                try await waitUntil("withdrawal") { !fixture.drain.addresses.isEmpty }
                // Time enough for a signal to arrive if one were sent.
                try await Task.sleep(for: .milliseconds(500))
                #expect(!FileManager.default.fileExists(atPath: "\(note)/log"))
                #expect(try await agent.context.runtime.containers(podUID: pod.uid).first?.state == .running)
                fixture.drain.release.open()
                try await fixture.waitUntilGone("drained")
                #expect(try String(contentsOfFile: "\(note)/log", encoding: .utf8) == "hook\nterm\n")
            }
        }
    }

    @Test func forcedDeletionKillsAtOnce() async throws {
        try await NodeAgentFixture.with { fixture in
            fixture.drain.hold()
            try await fixture.withAgent { agent in
                let pod = try await fixture.createPod("stubborn", "trap '' TERM; while :; do sleep 1; done") { pod in
                    pod["spec", "terminationGracePeriodSeconds"] = 600
                }
                try await fixture.waitUntilReady("stubborn")
                _ = try await fixture.cluster.delete(.pods, namespace: "default", name: "stubborn")
                try await waitUntil("withdrawal") { !fixture.drain.addresses.isEmpty }
                let options = DeleteOptions(gracePeriodSeconds: 0)
                _ = try await fixture.cluster.delete(.pods, namespace: "default", name: "stubborn", options: options)
                try await waitUntil("the worker is gone", within: .seconds(60)) { agent.worker(uid: pod.uid) == nil }
                #expect(try await agent.context.runtime.sandboxes(podUID: nil).isEmpty)
            }
        }
    }

    @Test func adoptsWhatRunsAndRemovesStrangers() async throws {
        try await NodeAgentFixture.with { fixture in
            try await fixture.withAgent { _ in
                try await fixture.createPod("kept", Self.obedient) { pod in
                    var container = pod["spec", "containers"]?[0] ?? [:]
                    container["readinessProbe"] = ["exec": ["command": ["true"]], "periodSeconds": 60]
                    pod["spec", "containers"] = .array([container])
                }
                try await fixture.createPod("lost", Self.obedient)
                try await fixture.waitUntilReady("kept")
                try await fixture.waitUntilReady("lost")
            }
            let before = fixture.status("kept")
            let lost = try #require(fixture.pod("lost"))
            fixture.cluster.remove(.pods, namespace: "default", name: "lost")
            try await fixture.withAgent { agent in
                try await waitUntil("the stranger is gone") {
                    try await agent.context.runtime.sandboxes(podUID: lost.uid).isEmpty
                }
                #expect(fixture.status("kept") == before)
                #expect(fixture.isReady("kept"))
                let runs = try await agent.context.runtime.containers(podUID: fixture.pod("kept")?.uid)
                #expect(runs.map { "containerd://\($0.id)" } == [before?["containerID"]?.string])
                try await waitUntil("its folder is gone") {
                    !FileManager.default.fileExists(atPath: "\(fixture.containerd.home)/pods/\(lost.uid)")
                }
            }
        }
    }

    @Test func initContainersSidecarsAndCompletion() async throws {
        try await NodeAgentFixture.with { fixture in
            try await fixture.withAgent { agent in
                try await fixture.createPod("job", "cat /shared/*; echo main; exit 0") { pod in
                    pod["spec", "restartPolicy"] = "Never"
                    pod["spec", "volumes"] = [["name": "shared", "emptyDir": ["medium": "Memory"]]]
                    let mounts: JSON = [["name": "shared", "mountPath": "/shared"]]
                    var container = pod["spec", "containers"]?[0] ?? [:]
                    container["volumeMounts"] = mounts
                    pod["spec", "containers"] = .array([container])
                    func initial(_ name: String, _ script: String) -> JSON {
                        [
                            "name": .string(name), "image": .string(ContainerdFixture.image), "volumeMounts": mounts,
                            "command": ["/bin/sh", "-c", .string(script)],
                        ]
                    }
                    var sidecar = initial("sidecar", Self.obedient)
                    sidecar["restartPolicy"] = "Always"
                    pod["spec", "initContainers"] = .array([
                        initial("first", "echo first > /shared/1"), sidecar,
                        initial("second", "echo second > /shared/2"),
                    ])
                }
                try await waitUntil("success", within: .seconds(60)) {
                    fixture.pod("job")?.phase == "Succeeded"
                }
                #expect(fixture.status("job")?["state", "terminated", "reason"] == "Completed")
                #expect(fixture.status("job", container: "second")?["state", "terminated", "exitCode"] == 0)
                #expect(fixture.status("job", container: "sidecar")?["state", "terminated"] != nil)
                let log = try await fixture.text(
                    agent.logs(namespace: "default", pod: "job", options: LogOptions(container: "main"))
                )
                #expect(log == "first\nsecond\nmain\n")
                #expect(!fixture.isReady("job"))
            }
        }
    }

    @Test func environmentVolumesIdentityAndLimits() async throws {
        try await NodeAgentFixture.with { fixture in
            fixture.cluster.put(
                .configMaps,
                ["metadata": ["name": "settings", "namespace": "default"], "data": ["color": "blue"]]
            )
            fixture.cluster.put(
                .secrets,
                ["metadata": ["name": "keys", "namespace": "default"], "data": ["token": "czNjcjN0"]]
            )
            try await fixture.withAgent { agent in
                let script = """
                    echo $COLOR $TOKEN $GREETING $MEMORY $NAME; cat /config/color; echo; cat /secret/token; echo; \
                    id -u; id -g; hostname; cat /etc/resolv.conf; cat /etc/hosts; touch /x || echo readonly; \
                    cat /var/run/token; echo; stat -L -c %a /secret/token; \
                    cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max
                    """
                try await fixture.createPod("facts", script, Self.addFacts)
                try await waitUntil("success", within: .seconds(60)) { fixture.pod("facts")?.phase == "Succeeded" }
                let log = try await fixture.text(agent.logs(namespace: "default", pod: "facts", options: LogOptions()))
                let lines = log.split(separator: "\n").map(String.init)
                #expect(lines.first == "blue s3cr3t hi-facts 64 facts")
                #expect(lines.contains("blue"))
                #expect(lines.contains("s3cr3t"))
                #expect(lines.contains("1234"))
                #expect(
                    lines.contains("search default.svc.cluster.local svc.cluster.local cluster.local")
                        || lines.contains {
                            $0.hasPrefix("search default.svc.cluster.local svc.cluster.local cluster.local ")
                        }
                )
                #expect(lines.contains("nameserver 10.43.0.10"))
                #expect(lines.contains("1.2.3.4\tfriend"))
                #expect(lines.contains("readonly"))
                #expect(lines.contains("token-of-default"))
                #expect(lines.contains("440"))
                #expect(lines.contains("67108864"))
            }
        }
    }

    private static func addFacts(_ pod: inout JSON) {
        pod["spec", "restartPolicy"] = "Never"
        pod["spec", "securityContext"] = ["runAsUser": 1234, "runAsGroup": 1234, "fsGroup": 1234]
        pod["spec", "hostAliases"] = [["ip": "1.2.3.4", "hostnames": ["friend"]]]
        pod["spec", "volumes"] = [
            ["name": "config", "configMap": ["name": "settings"]],
            ["name": "secret", "secret": ["secretName": "keys", "defaultMode": 0o400]],
            ["name": "token", "projected": ["sources": [["serviceAccountToken": ["path": "token"]]]]],
        ]
        var container = pod["spec", "containers"]?[0] ?? [:]
        container["securityContext"] = ["readOnlyRootFilesystem": true, "capabilities": ["drop": ["ALL"]]]
        container["resources"] = ["limits": ["memory": "64Mi", "cpu": "500m"]]
        container["envFrom"] = [["prefix": "X_", "configMapRef": ["name": "settings"]]]
        container["env"] = [
            ["name": "COLOR", "value": "$(X_color)"],
            ["name": "TOKEN", "valueFrom": ["secretKeyRef": ["name": "keys", "key": "token"]]],
            ["name": "NAME", "valueFrom": ["fieldRef": ["fieldPath": "metadata.name"]]],
            ["name": "GREETING", "value": "hi-$(NAME)"],
            ["name": "MEMORY", "valueFrom": ["resourceFieldRef": ["resource": "limits.memory", "divisor": "1Mi"]]],
        ]
        container["volumeMounts"] = [
            ["name": "config", "mountPath": "/config"], ["name": "secret", "mountPath": "/secret"],
            ["name": "token", "mountPath": "/var/run/token", "subPath": "token"],
        ]
        pod["spec", "containers"] = .array([container])
    }

    @Test func tellsWhatIsMissing() async throws {
        try await NodeAgentFixture.with { fixture in
            try await fixture.withAgent { agent in
                try await fixture.createPod("imageless", "") { pod in
                    pod["spec", "containers"] = [["name": "main", "image": "127.0.0.1:9/none:1"]]
                }
                try await fixture.createPod("waiting", "") { pod in
                    var container = pod["spec", "containers"]?[0] ?? [:]
                    container["envFrom"] = [["configMapRef": ["name": "late"]]]
                    container["command"] = ["/bin/sh", "-c", .string(Self.obedient)]
                    pod["spec", "containers"] = .array([container])
                }
                // A registry that refuses connections gets a moment to come up first.
                try await waitUntil("back-off", within: .seconds(40)) {
                    fixture.status("imageless")?["state", "waiting", "reason"] == "ImagePullBackOff"
                }
                try await waitUntil("configuration") {
                    fixture.status("waiting")?["state", "waiting", "reason"] == "CreateContainerConfigError"
                }
                #expect(
                    fixture.status("waiting")?["state", "waiting", "message"] == "configmap \"late\" not found"
                )
                await #expect(
                    throws: StatusError.badRequest(
                        "container \"main\" in pod \"waiting\" is waiting to start: CreateContainerConfigError"
                    )
                ) {
                    try await agent.logs(namespace: "default", pod: "waiting", options: LogOptions())
                }
                fixture.cluster.put(
                    .configMaps,
                    ["metadata": ["name": "late", "namespace": "default"], "data": ["a": "b"]]
                )
                try await fixture.waitUntilReady("waiting")
            }
        }
    }

    @Test func streamsFollowedLogsAndGivesStreamingAddresses() async throws {
        try await NodeAgentFixture.with { fixture in
            try await fixture.withAgent { agent in
                let script = "for i in 1 2 3 4 5; do echo line $i; sleep 0.1; done"
                try await fixture.createPod("talker", script) { $0["spec", "restartPolicy"] = "Never" }
                try await fixture.createPod("server", Self.obedient)
                try await waitUntil("start") { fixture.status("talker")?["containerID"] != nil }
                var options = LogOptions()
                options.follow = true
                let stream = try await agent.logs(namespace: "default", pod: "talker", options: options)
                #expect(try await fixture.text(stream) == (1...5).map { "line \($0)\n" }.joined())
                try await fixture.waitUntilReady("server")
                let url = try await agent.streamingURL(
                    namespace: "default",
                    pod: "server",
                    container: "",
                    .execute(command: ["id"], isTerminal: false, stdin: false, stdout: true, stderr: true)
                )
                #expect(url.hasPrefix("http://127.0.0.1:"))
                #expect(url.contains("/exec/"))
                let forward = try await agent.streamingURL(
                    namespace: "default",
                    pod: "server",
                    container: "",
                    .portForward(ports: [80])
                )
                #expect(forward.contains("/portforward/"))
            }
        }
    }
}
