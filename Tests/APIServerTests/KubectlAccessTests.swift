import Foundation
import KubernetesClient
import KubernetesModel
import Testing

@testable import APIServer

/// Who one is and what one may do, asked by the stock `kubectl`.
@Suite(.serialized) struct KubectlAccessTests {
    private static let readers = """
        apiVersion: rbac.authorization.k8s.io/v1
        kind: Role
        metadata: {name: reader}
        rules:
        - {apiGroups: [""], resources: [pods, pods/log], verbs: [get, list]}
        ---
        apiVersion: rbac.authorization.k8s.io/v1
        kind: RoleBinding
        metadata: {name: readers}
        roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
        subjects:
        - {kind: User, name: bob}
        - {kind: Group, name: team}
        - {kind: ServiceAccount, name: robot, namespace: default}
        """

    private func withReaders(_ body: (TestServer) async throws -> Void) async throws {
        try await TestServer.with { server in
            let made = try await server.kubectl("apply", "-f", "-", input: Self.readers)
            #expect(made.status == 0, "\(made.errors)")
            _ = try await server.kubectl("create", "serviceaccount", "robot")
            try await body(server)
        }
    }

    @Test func actsAsUsersAndGroups() async throws {
        try await withReaders { server in
            let asBob = try await server.kubectl("get", "pods", "--as", "bob")
            #expect(asBob.status == 0, "\(asBob.errors)")
            let elsewhere = try await server.kubectl("get", "pods", "-n", "kube-system", "--as", "bob")
            #expect(
                elsewhere.errors
                    == "Error from server (Forbidden): pods is forbidden: User \"bob\" cannot list resource "
                    + "\"pods\" in API group \"\" in the namespace \"kube-system\"\n"
            )
            let asMember = try await server.kubectl("get", "pods", "--as", "eve", "--as-group", "team")
            #expect(asMember.status == 0, "\(asMember.errors)")
            #expect(try await server.kubectl("get", "pods", "--as", "eve").status != 0)
            let asRobot = try await server.kubectl("get", "pods", "--as", "system:serviceaccount:default:robot")
            #expect(asRobot.status == 0, "\(asRobot.errors)")
        }
    }

    @Test func tellsWhatOthersMayDo() async throws {
        try await withReaders { server in
            let answers = [
                (["list", "pods"], "yes\n"), (["delete", "pods"], "no\n"), (["get", "pods/log"], "yes\n"),
                (["list", "pods", "-n", "kube-system"], "no\n"), (["get", "/version"], "yes\n"),
                (["post", "/version"], "no\n"),
            ]
            for (question, expected) in answers {
                let answer = try await CommandResult.run(
                    "/usr/bin/env",
                    ["kubectl", "--kubeconfig", server.kubeconfig, "auth", "can-i", "--as", "bob"] + question
                )
                #expect(answer.output == expected, "\(question): \(answer.errors)")
                #expect(answer.status == (expected == "yes\n" ? 0 : 1))
            }
            let list = try await server.kubectl("auth", "can-i", "--list", "--as", "bob")
            #expect(list.output.contains("pods/log") && list.output.contains("[get list]"), "\(list)")
            #expect(list.output.contains("selfsubjectreviews.authentication.k8s.io"))
            let all = try await server.kubectl("auth", "can-i", "--list")
            #expect(all.output.contains("*.*"), "\(all)")
        }
    }

    @Test func tellsWhoOneIs() async throws {
        try await withReaders { server in
            let who = try await server.kubectl("auth", "whoami", "--as", "bob", "--as-group", "team", "-o", "json")
            #expect(who.json["status", "userInfo", "username"] == "bob", "\(who.errors)")
            #expect(who.json["status", "userInfo", "groups"] == ["team", "system:authenticated"])
        }
    }

    @Test func signsInByATokenThatKubectlMade() async throws {
        try await withReaders { server in
            let made = try await server.kubectl("create", "token", "robot", "--duration=10m")
            let token = made.output.trimmingCharacters(in: .whitespacesAndNewlines)
            let who = try await asBearer(token, server, "auth", "whoami", "-o", "json")
            #expect(who.json["status", "userInfo", "username"] == "system:serviceaccount:default:robot", "\(who)")
            #expect(try await asBearer(token, server, "get", "pods").status == 0)
            #expect(try await asBearer(token, server, "get", "secrets").errors.contains("Forbidden"))
            let tooShort = try await server.kubectl("create", "token", "robot", "--duration=1m")
            #expect(tooShort.errors.contains("10 minutes"))
            let foreign = try await server.kubectl("create", "token", "robot", "--audience=https://example.org")
            let other = foreign.output.trimmingCharacters(in: .whitespacesAndNewlines)
            #expect(try await asBearer(other, server, "get", "pods").errors.contains("Unauthorized"))
        }
    }

    @Test func bindsATokenToAPod() async throws {
        try await withReaders { server in
            _ = try await server.server.client.create(.pods, namespace: "default", Sample.pod("p"))
            let made = try await server.kubectl(
                "create",
                "token",
                "robot",
                "--bound-object-kind=Pod",
                "--bound-object-name=p"
            )
            let token = made.output.trimmingCharacters(in: .whitespacesAndNewlines)
            let who = try await asBearer(token, server, "auth", "whoami", "-o", "json")
            let pod = who.json["status", "userInfo", "extra", "authentication.kubernetes.io/pod-name"]
            #expect(pod == ["p"], "\(who)\(made.errors)")
            _ = try await server.kubectl("delete", "pod", "p", "--now")
            let refused = try await server.curl("/api/v1/namespaces/default/pods", token: token)
            #expect(refused.json["code"] == 401, "\(refused)")
        }
    }

    /// `kubectl` with nothing but a token.
    private func asBearer(_ token: String, _ server: TestServer, _ arguments: String...) async throws -> CommandResult {
        let authority = server.server.configuration.directory + "/ca.crt"
        return try await CommandResult.run(
            "/usr/bin/env",
            [
                "kubectl", "--kubeconfig=/dev/null", "--cache-dir", server.kubeconfig + ".cache", "--server",
                server.url, "--certificate-authority", authority,
            ]
                + ["--token", token] + arguments
        )
    }
}
