import Foundation
import TestKit
import Testing

/// Stock kubectl against the real program.
@Suite(.serialized) struct KubectlTests {
    @Test func managesWorkloadsFromApplyToDelete() async throws {
        try await TestPlatform.with { platform in
            try await platform.addBaseImages("busybox:1.36")
            try await deployAndLook(platform)
            try await rollOutAndBack(platform)
            try await streamIntoContainers(platform)
            try await resolveAndReachServices(platform)
            try await runJobs(platform)
            try await applyOnTheServer(platform)
            try await platform.kubectl("delete", "namespace", "team", "--timeout=60s")
            #expect(try await platform.kubectl("get", "pods", "-A", "-o", "name").contains("web-") == false)
        }
    }

    // MARK: - Chapters

    private func deployAndLook(_ platform: TestPlatform) async throws {
        try await platform.kubectl("create", "namespace", "team")
        try await platform.kubectl("apply", "-f", "-", input: Manifests.web(replicas: 2))
        try await platform.kubectl("-n", "team", "rollout", "status", "deployment/web", "--timeout=60s")
        let wide = try await platform.kubectl("-n", "team", "get", "pods", "-o", "wide")
        #expect(wide.contains("READY") && wide.contains("NODE") && wide.contains("1/1"))
        #expect(try await platform.kubectl("-n", "team", "get", "deployment", "web").contains("2/2"))
        let described = try await platform.kubectl("-n", "team", "describe", "deployment", "web")
        #expect(described.contains("NewReplicaSetAvailable"))
        #expect(
            try await platform.kubectl("-n", "team", "get", "deployment", "web", "-o", "yaml").contains("busybox:1.36")
        )
        #expect(try await platform.kubectl("apply", "-f", "-", input: Manifests.web(replicas: 2)).contains("unchanged"))
        #expect(try await platform.kubectl("explain", "deployment.spec.strategy").contains("rollingUpdate"))
        #expect(try await platform.kubectl("api-resources").contains("httproutes"))
    }

    private func rollOutAndBack(_ platform: TestPlatform) async throws {
        try await platform.kubectl("-n", "team", "scale", "deployment/web", "--replicas=3")
        try await platform.kubectl(
            "-n",
            "team",
            "wait",
            "deployment/web",
            "--for=jsonpath={.status.readyReplicas}=3",
            "--timeout=60s"
        )
        try await platform.kubectl("-n", "team", "set", "env", "deployment/web", "GREETING=changed")
        try await platform.kubectl("-n", "team", "rollout", "status", "deployment/web", "--timeout=60s")
        let history = try await platform.kubectl("-n", "team", "rollout", "history", "deployment/web")
        #expect(history.contains("1") && history.contains("2"))
        try await platform.kubectl("-n", "team", "rollout", "undo", "deployment/web")
        try await platform.kubectl("-n", "team", "rollout", "status", "deployment/web", "--timeout=60s")
        let template = try await platform.kubectl(
            "-n",
            "team",
            "get",
            "deployment",
            "web",
            "-o",
            "jsonpath={.spec.template}"
        )
        #expect(!template.contains("changed"))
        try await platform.kubectl("-n", "team", "rollout", "restart", "deployment/web")
        try await platform.kubectl("-n", "team", "rollout", "status", "deployment/web", "--timeout=60s")
        try await platform.kubectl("-n", "team", "label", "deployment/web", "tier=front")
        #expect(
            try await platform.kubectl("-n", "team", "get", "deployments", "-l", "tier=front", "-o", "name").contains(
                "web"
            )
        )
    }

    private func streamIntoContainers(_ platform: TestPlatform) async throws {
        let pod = try await runningPod(platform)
        #expect(try await platform.kubectl("-n", "team", "logs", pod, "--tail=1").contains("serving"))
        let echoed = try await platform.kubectl("-n", "team", "exec", "-i", pod, "--", "cat", input: "through stdin\n")
        #expect(echoed == "through stdin\n")
        let terminal = try await Shell.run(
            "script",
            ["-qec", "kubectl --kubeconfig \(platform.kubeconfig) -n team exec -it \(pod) -- tty", "/dev/null"]
        )
        #expect(terminal.contains("/dev/pts/"))
        let failed = try await platform.attemptKubectl("-n", "team", "exec", pod, "--", "sh", "-c", "exit 7")
        #expect(failed.errors.contains("exit code 7"))
        let port = Int.random(in: 18_000..<19_000)
        let forwarded = try await Shell.run(
            "sh",
            [
                "-c",
                """
                kubectl --kubeconfig \(platform.kubeconfig) -n team port-forward \(pod) \(port):8080 >/dev/null & forward=$!
                trap 'kill $forward' EXIT
                curl -s --retry 20 --retry-connrefused --retry-delay 1 --retry-max-time 30 http://127.0.0.1:\(port)/
                """,
            ]
        )
        #expect(forwarded.contains("version 1"))
    }

    private func resolveAndReachServices(_ platform: TestPlatform) async throws {
        let pod = try await runningPod(platform)
        let page = try await platform.kubectl("-n", "team", "exec", pod, "--", "wget", "-qO-", "http://web.team/")
        #expect(page.contains("version 1"))
        let names = try await platform.kubectl(
            "-n",
            "team",
            "exec",
            pod,
            "--",
            "nslookup",
            "web.team.svc.cluster.local"
        )
        let address = try await platform.kubectl(
            "-n",
            "team",
            "get",
            "service",
            "web",
            "-o",
            "jsonpath={.spec.clusterIP}"
        )
        #expect(names.contains(address))
        let fromHost = try await Shell.run("curl", ["-s", "-m", "5", "http://\(address)/"])
        #expect(fromHost.contains("version 1"))
        let denied = try await platform.kubectl(
            "-n",
            "team",
            "exec",
            pod,
            "--",
            "sh",
            "-c",
            "wget -qO- --no-check-certificate --header \"Authorization: Bearer $(cat /var/run/secrets/kubernetes.io/serviceaccount/token)\""
                + " https://kubernetes.default/api/v1/namespaces/team/pods 2>&1 || true"
        )
        #expect(denied.contains("403"), "a pod's account may nothing until it is given a role")
    }

    private func runJobs(_ platform: TestPlatform) async throws {
        try await platform.kubectl("apply", "-f", "-", input: Manifests.job)
        try await platform.kubectl("-n", "team", "wait", "job/sum", "--for=condition=Complete", "--timeout=60s")
        #expect(try await platform.kubectl("-n", "team", "logs", "job/sum") == "from the map and the init container\n")
    }

    private func applyOnTheServer(_ platform: TestPlatform) async throws {
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared, namespace: team}\ndata: {mode: calm}\n"
        try await platform.kubectl("apply", "--server-side", "-f", "-", input: map)
        let other = map.replacingOccurrences(of: "calm", with: "wild")
        let conflict = try await platform.attemptKubectl(
            "apply",
            "--server-side",
            "--field-manager=other",
            "-f",
            "-",
            input: other
        )
        #expect(!conflict.succeeded && conflict.errors.contains("conflict"))
        let unknown = try await platform.attemptKubectl(
            "apply",
            "-f",
            "-",
            input: Manifests.web(replicas: 1).replacingOccurrences(of: "replicas:", with: "replcas:")
        )
        #expect(!unknown.succeeded && unknown.errors.contains("unknown field \"spec.replcas\""))
    }

    private func runningPod(_ platform: TestPlatform) async throws -> String {
        let names = try await platform.kubectl(
            "-n",
            "team",
            "get",
            "pods",
            "-l",
            "app=web",
            "--field-selector",
            "status.phase=Running",
            "--sort-by=.metadata.creationTimestamp",
            "-o",
            "name"
        )
        return try #require(names.split(separator: "\n").last.map(String.init))
    }
}

enum Manifests {
    /// A page on port 8080, ready after its first probe, behind a service.
    static func web(replicas: Int) -> String {
        """
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web, namespace: team}
        spec:
          replicas: \(replicas)
          selector: {matchLabels: {app: web}}
          template:
            metadata: {labels: {app: web}}
            spec:
              terminationGracePeriodSeconds: 2
              containers:
              - name: web
                image: busybox:1.36
                command: [sh, -c, "mkdir /site && echo version 1 > /site/index.html && echo serving && exec httpd -f -p 8080 -h /site"]
                readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1, timeoutSeconds: 5}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web, namespace: team}
        spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
        """
    }

    /// Joins what an init container wrote with a value of a ConfigMap.
    static let job = """
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: words, namespace: team}
        data: {first: from the map}
        ---
        apiVersion: batch/v1
        kind: Job
        metadata: {name: sum, namespace: team}
        spec:
          template:
            spec:
              restartPolicy: Never
              initContainers:
              - name: prepare
                image: busybox:1.36
                command: [sh, -c, "echo and the init container > /shared/second"]
                volumeMounts: [{name: shared, mountPath: /shared}]
              containers:
              - name: sum
                image: busybox:1.36
                command: [sh, -c, "echo $FIRST $(cat /shared/second)"]
                env: [{name: FIRST, valueFrom: {configMapKeyRef: {name: words, key: first}}}]
                volumeMounts: [{name: shared, mountPath: /shared}]
              volumes: [{name: shared, emptyDir: {}}]
        """
}
