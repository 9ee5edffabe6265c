import Foundation
import TestKit
import Testing

/// What fails comes back by itself, and says why it failed.
@Suite(.serialized) struct SelfHealingTests {
    @Test func bringsBackWhatDies() async throws {
        try await TestPlatform.with { platform in
            try await platform.addBaseImages("busybox:1.36")
            try await platform.kubectl("create", "namespace", "team")
            try await restartKilledContainer(platform)
            try await restartFailingLiveness(platform)
            try await explainCrashLoop(platform)
            try await keepContainersOverCrashes(platform)
        }
    }

    // MARK: - Chapters

    private func restartKilledContainer(_ platform: TestPlatform) async throws {
        try await platform.kubectl("apply", "-f", "-", input: Manifests.web(replicas: 1))
        try await platform.kubectl("-n", "team", "rollout", "status", "deployment/web", "--timeout=60s")
        let pod = try await platform.kubectl("-n", "team", "get", "pods", "-l", "app=web", "-o", "name")
            .trimmingCharacters(in: .newlines)
        _ = try await platform.attemptKubectl("-n", "team", "exec", pod, "--", "pkill", "-9", "httpd")
        try await Shell.run("pkill", ["-9", "-f", "httpd -f -p 8080 -h /site"])
        try await waitUntil("the container runs again", within: .seconds(60)) {
            let state = try await platform.kubectl(
                "-n",
                "team",
                "get",
                pod,
                "-o",
                "jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready}"
            )
            return state == "1 true"
        }
    }

    private func restartFailingLiveness(_ platform: TestPlatform) async throws {
        try await platform.kubectl(
            "apply",
            "-f",
            "-",
            input: pod(
                "sick",
                "command: [sh, -c, 'touch /tmp/well; sleep 600']",
                """
                livenessProbe: {exec: {command: [cat, /tmp/well]}, initialDelaySeconds: 2, periodSeconds: 1, \
                failureThreshold: 1, timeoutSeconds: 10}
                """
            )
        )
        try await platform.kubectl("-n", "team", "wait", "pod/sick", "--for=condition=Ready", "--timeout=60s")
        try await platform.kubectl("-n", "team", "exec", "sick", "--", "rm", "/tmp/well")
        try await waitUntil("liveness restarts it", within: .seconds(60)) {
            let count = try await platform.kubectl(
                "-n",
                "team",
                "get",
                "pod",
                "sick",
                "-o",
                "jsonpath={.status.containerStatuses[0].restartCount}"
            )
            return (Int(count) ?? 0) >= 1
        }
        try await waitUntil("the failed probe is an event", within: .seconds(60)) {
            try await platform.kubectl("-n", "team", "describe", "pod", "sick").contains("Liveness probe failed")
        }
    }

    private func explainCrashLoop(_ platform: TestPlatform) async throws {
        try await platform.kubectl(
            "apply",
            "-f",
            "-",
            input: pod(
                "broken",
                "command: [sh, -c, 'echo no database; exit 3']",
                "terminationMessagePolicy: FallbackToLogsOnError"
            )
        )
        try await waitUntil("the crash loop backs off", within: .seconds(60)) {
            try await platform.kubectl("-n", "team", "get", "pod", "broken").contains("CrashLoopBackOff")
        }
        try await waitUntil("the back-off is an event", within: .seconds(60)) {
            try await platform.kubectl("-n", "team", "describe", "pod", "broken")
                .contains("Back-off restarting failed container")
        }
        let description = try await platform.kubectl("-n", "team", "describe", "pod", "broken")
        #expect(description.contains("Exit Code:    3") && description.contains("no database"))
        #expect(try await platform.kubectl("-n", "team", "logs", "broken", "--previous") == "no database\n")
    }

    private func keepContainersOverCrashes(_ platform: TestPlatform) async throws {
        func identity() async throws -> String {
            try await platform.kubectl(
                "-n",
                "team",
                "get",
                "pods",
                "-l",
                "app=web",
                "-o",
                "jsonpath={.items[*].status.containerStatuses[*].containerID}"
            )
        }
        let before = try await identity()
        for program in ["server", "containerd"] {
            try await Shell.run("kill", ["-9", "\(platform.pid(program))"])
            try await platform.up()
            try await waitUntil("kubectl answers after the \(program) was killed", within: .seconds(30)) {
                try await platform.attemptKubectl("get", "nodes").succeeded
            }
            #expect(try await identity() == before, "the container went on running while the \(program) was down")
        }
        try await platform.kubectl("-n", "team", "scale", "deployment/web", "--replicas=2")
        try await platform.kubectl(
            "-n",
            "team",
            "wait",
            "deployment/web",
            "--for=jsonpath={.status.readyReplicas}=2",
            "--timeout=60s"
        )
    }

    private func pod(_ name: String, _ fields: String...) -> String {
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: \(name), namespace: team}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
          - name: \(name)
            image: busybox:1.36
            \(fields.joined(separator: "\n    "))
        """
    }
}
