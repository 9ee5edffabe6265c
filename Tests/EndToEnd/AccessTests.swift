import Foundation
import TestKit
import Testing

/// Who reaches what: pods and jobs by their tokens, people by their kubectl.
@Suite(.serialized, .journeyPlatform) struct AccessTests {
    private static let tokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token"

    /// A robot that may edit its own namespace, and a pod of it.
    private static let robot = """
        apiVersion: v1
        kind: Namespace
        metadata: {name: own}
        ---
        apiVersion: v1
        kind: ServiceAccount
        metadata: {name: robot, namespace: own}
        ---
        apiVersion: rbac.authorization.k8s.io/v1
        kind: RoleBinding
        metadata: {name: robot, namespace: own}
        roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
        subjects: [{kind: ServiceAccount, name: robot, namespace: own}]
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: robot, namespace: own}
        spec:
          serviceAccountName: robot
          terminationGracePeriodSeconds: 1
          containers: [{name: main, image: busybox:1.36, command: [sleep, "600"]}]
        """

    @Test(.timeLimit(.minutes(3)))
    func aPodsTokenReachesItsNamespaceWhileThePodLives() async throws {
        let platform = try JourneyPlatform.current
        try await platform.kubectl("apply", "-f", "-", input: Self.robot)
        try await platform.kubectl("-n", "own", "wait", "pod/robot", "--for=condition=Ready", "--timeout=60s")
        let token = try await platform.kubectl("-n", "own", "exec", "robot", "--", "cat", Self.tokenFile)
        func status(_ path: String, _ arguments: String...) async throws -> String {
            try await Shell.run(
                "curl",
                [
                    "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Authorization: Bearer \(token)",
                    "--cacert", "\(platform.home)/kubernetes/ca.crt",
                ] + arguments + ["https://127.0.0.1:\(platform.apiPort)\(path)"]
            )
        }
        let map = #"{"metadata": {"name": "made-by-robot"}}"#
        #expect(try await status("/api/v1/namespaces/own/pods") == "200")
        let made = try await status(
            "/api/v1/namespaces/own/configmaps",
            "-H",
            "Content-Type: application/json",
            "-d",
            map
        )
        #expect(made == "201")
        #expect(try await status("/api/v1/namespaces/default/pods") == "403")
        #expect(try await status("/api/v1/nodes") == "403")
        try await platform.kubectl("-n", "own", "delete", "pod", "robot", "--wait", "--timeout=60s")
        #expect(try await status("/api/v1/namespaces/own/pods") == "401")
    }

    @Test(.timeLimit(.minutes(3)))
    func aDeployingJobReachesItsEnvironment() async throws {
        try await JourneyProject.with("demo/reach") { project in
            let pipeline = try await project.succeed(try await project.push([".gitlab-ci.yml": Self.pipeline]))
            let trace = try await project.trace(try await project.job("deploying", of: pipeline))
            #expect(trace.contains("Reaching the cluster in the namespace demo-reach-daily"), "\(trace)")
            #expect(trace.contains("own namespace answered"), "\(trace)")
            #expect(trace.contains("403"), "\(trace)")
            let other = try await project.trace(try await project.job("building", of: pipeline))
            #expect(other.contains("no token here"), "\(other)")
        }
    }

    private static let pipeline = """
        deploying:
          image: busybox:1.36
          environment: daily
          script:
            - |
              list() { wget -qO- --no-check-certificate --header "Authorization: Bearer $(cat \(tokenFile))" "https://kubernetes.default.svc/api/v1/namespaces/$1/pods" 2>&1 || true; }
            - list $KUBE_NAMESPACE | grep -q '"kind":"PodList"' && echo own namespace answered
            - list default
            - grep -q kubernetes.default.svc $KUBECONFIG
        building:
          image: busybox:1.36
          script:
            - test ! -e \(tokenFile) && test -z "$KUBECONFIG" && echo no token here
        """

    @Test(.timeLimit(.minutes(3)))
    func kubectlAttachesAndCopies() async throws {
        let platform = try JourneyPlatform.current
        let pods = """
            apiVersion: v1
            kind: Pod
            metadata: {name: listener}
            spec:
              restartPolicy: Never
              containers:
              - {name: main, image: busybox:1.36, stdin: true, stdinOnce: true, command: [sh, -c, 'while read line; do echo "heard $line"; done']}
            ---
            apiVersion: v1
            kind: Pod
            metadata: {name: box}
            spec:
              terminationGracePeriodSeconds: 1
              containers: [{name: main, image: busybox:1.36, command: [sleep, "600"]}]
            """
        try await platform.kubectl("apply", "-f", "-", input: pods)
        try await platform.kubectl("wait", "pod/listener", "pod/box", "--for=condition=Ready", "--timeout=60s")
        let heard = try await Shell.run(
            "timeout",
            ["30", "kubectl", "--kubeconfig", platform.kubeconfig, "attach", "-i", "listener"],
            input: "a word\n"
        )
        #expect(heard.contains("heard a word"), "\(heard)")

        let folder = FileManager.default.temporaryDirectory.appending(path: "copy-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let content = String(repeating: "copied both ways\n", count: 20_000)
        try content.write(toFile: "\(folder)/there", atomically: true, encoding: .utf8)
        try await platform.kubectl("cp", "\(folder)/there", "box:/tmp/there")
        try await platform.kubectl("cp", "box:/tmp/there", "\(folder)/back")
        #expect(try String(contentsOfFile: "\(folder)/back", encoding: .utf8) == content)
        try await platform.kubectl("delete", "pod", "listener", "box", "--now")
    }

    @Test(.timeLimit(.minutes(3)))
    func hooksRunAndPortsOfTheMachineLeadToPods() async throws {
        let platform = try JourneyPlatform.current
        let port = Int.random(in: 19_000..<20_000)
        let pod = """
            apiVersion: v1
            kind: Pod
            metadata: {name: hooked}
            spec:
              terminationGracePeriodSeconds: 1
              containers:
              - name: main
                image: busybox:1.36
                command: [sh, -c, 'mkdir -p /site; exec httpd -f -p 8080 -h /site']
                ports: [{containerPort: 8080, hostPort: \(port)}]
                lifecycle: {postStart: {exec: {command: [sh, -c, 'mkdir -p /site; echo after the start > /site/index.html']}}}
            """
        try await platform.kubectl("apply", "-f", "-", input: pod)
        try await platform.kubectl("wait", "pod/hooked", "--for=condition=Ready", "--timeout=60s")
        try await waitUntil("the port of the machine leads to the pod", within: .seconds(15)) {
            let page = try await Shell.attempt("curl", ["-s", "-m", "5", "http://127.0.0.1:\(port)/"])
            return page.output == "after the start\n"
        }
        try await platform.kubectl("delete", "pod", "hooked", "--now")
    }
}

/// Secrets on the disk of the real program, through its death and without its key.
@Suite(.serialized) struct EncryptionAtRestTests {
    @Test(.timeLimit(.minutes(5)))
    func secretsAreNeverInClearOnTheDisk() async throws {
        let marker = "marker-\(UUID().uuidString)"
        try await TestPlatform.with { platform in
            try await platform.kubectl("create", "secret", "generic", "s", "--from-literal=key=\(marker)")
            let encoded = Data(marker.utf8).base64EncodedString()
            func found() async throws -> String {
                let words = ["-rlF", "-e", marker, "-e", encoded, "\(platform.home)/kubernetes"]
                return try await Shell.attempt("grep", words).output
            }
            #expect(try await found() == "")
            kill(try platform.pid("server"), SIGKILL)
            #expect(try await found() == "")
            try await platform.up()
            #expect(try await secret(platform) == encoded)

            try await platform.sampan("down")
            let key = "\(platform.home)/kubernetes/encryption.json"
            try FileManager.default.moveItem(atPath: key, toPath: key + ".lost")
            let refused = try await platform.attempt("up")
            #expect(!refused.succeeded)
            let log = try String(contentsOfFile: "\(platform.home)/logs/server.log", encoding: .utf8)
            #expect(log.contains("\(key) is missing"), "\(log.suffix(2000))")
            try FileManager.default.moveItem(atPath: key + ".lost", toPath: key)
            try await platform.up()
            #expect(try await secret(platform) == encoded)
        }
    }

    private func secret(_ platform: TestPlatform) async throws -> String {
        try await platform.kubectl("get", "secret", "s", "-o", "jsonpath={.data.key}")
    }
}
