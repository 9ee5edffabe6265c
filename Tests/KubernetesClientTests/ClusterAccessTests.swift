import Foundation
import KubernetesClient
import Testing

struct ClusterAccessTests {
    private let text = """
        apiVersion: v1
        kind: Config
        current-context: one
        clusters:
        - name: c
          cluster: {server: "https://10.0.0.1:6443/", certificate-authority-data: Y2E=}
        - cluster: {server: "https://other:6443", insecure-skip-tls-verify: true}
          name: d
        contexts:
        - name: one
          context: {cluster: c, user: u, namespace: shop}
        - name: two
          context: {cluster: d, user: v}
        - name: three
          context: {cluster: c, user: w}
        - name: four
          context: {cluster: absent, user: w}
        - name: five
          context: {cluster: c, user: plugin}
        users:
        - name: u
          user: {token: secret}
        - name: v
          user: {client-certificate-data: Y2VydA==, client-key-data: a2V5}
        - name: w
          user: {client-certificate-data: Y2VydA==}
        - name: plugin
          user: {exec: {command: login, apiVersion: client.authentication.k8s.io/v1}}
        """

    @Test
    func readsTheCurrentContext() throws {
        let access = try ClusterAccess(parsingKubeconfig: text, directory: "/")
        #expect(
            access
                == ClusterAccess(
                    server: "https://10.0.0.1:6443",
                    certificateAuthority: Array("ca".utf8),
                    identity: .token("secret"),
                    namespace: "shop"
                )
        )
    }

    @Test
    func readsANamedContext() throws {
        let access = try ClusterAccess(parsingKubeconfig: text, context: "two", directory: "/")
        #expect(!access.verifiesServer)
        #expect(access.identity == .certificate(chain: Array("cert".utf8), key: Array("key".utf8)))
        #expect(access.namespace == "default")
    }

    @Test(arguments: [
        ("three", "client-certificate is given without client-key"),
        ("four", "clusters has no entry \"absent\""),
        ("five", "users that sign in by an exec plugin are not supported"),
        ("six", "contexts has no entry \"six\""),
    ])
    func saysWhatIsWrong(context: String, message: String) throws {
        let error = #expect(throws: ClusterAccessError.self) {
            try ClusterAccess(parsingKubeconfig: text, context: context, directory: "/")
        }
        #expect(error?.description == message)
    }

    @Test
    func readsFilesBesideTheKubeconfig() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("access-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        try Data("ca".utf8).write(to: directory.appendingPathComponent("ca.crt"))
        let config = """
            current-context: a
            clusters: [{name: a, cluster: {server: "https://h", certificate-authority: ca.crt}}]
            contexts: [{name: a, context: {cluster: a, user: a}}]
            users: [{name: a, user: {tokenFile: token}}]
            """
        let file = directory.appendingPathComponent("config").path
        try Data(config.utf8).write(to: URL(fileURLWithPath: file))
        let access = try ClusterAccess(kubeconfig: file)
        #expect(access.certificateAuthority == Array("ca".utf8))
        #expect(access.identity == .tokenFile("\(directory.path)/token"))
    }

    @Test
    func takesAPodsIdentity() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("access-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let environment = ["KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"]
        #expect(try ClusterAccess.inCluster(environment: environment, directory: directory.path) == nil)
        for (name, content) in [("token", "t"), ("ca.crt", "ca"), ("namespace", "shop\n")] {
            try Data(content.utf8).write(to: directory.appendingPathComponent(name))
        }
        let access = try #require(try ClusterAccess.inCluster(environment: environment, directory: directory.path))
        #expect(access.server == "https://[fd00::1]:443")
        #expect(access.identity == .tokenFile("\(directory.path)/token"))
        #expect(access.namespace == "shop")
        #expect(try ClusterAccess.inCluster(environment: [:], directory: directory.path) == nil)
    }
}
