import Foundation
import KubernetesClient
import KubernetesModel
import Logging
import Testing

@testable import APIServer

struct RequestTargetTests {
    @Test(
        arguments: [
            ("/api/v1/pods", nil, "pods", nil, ""), ("/api/v1/namespaces", nil, "namespaces", nil, ""),
            ("/api/v1/namespaces/a", nil, "namespaces", "a", ""),
            ("/api/v1/namespaces/a/finalize", nil, "namespaces", "a", "finalize"),
            ("/api/v1/namespaces/a/pods", "a", "pods", nil, ""),
            ("/api/v1/namespaces/a/pods/b/log", "a", "pods", "b", "log"),
            ("/apis/apps/v1/namespaces/a/deployments/d/scale", "a", "deployments", "d", "scale"),
            ("/api/v1/nodes/n%2Fx", nil, "nodes", "n/x", ""),
        ] as [(String, String?, String, String?, String)]
    )
    func readsPaths(
        _ text: String,
        _ namespace: String?,
        _ plural: String,
        _ name: String?,
        _ subresource: String
    ) throws {
        guard case .resource(let path) = try RequestTarget(path: text) else {
            Issue.record("\(text) is no path of a resource")
            return
        }
        #expect(path.namespace == namespace)
        #expect(path.plural == plural)
        #expect(path.name == name)
        #expect(path.subresource == subresource)
    }

    @Test(arguments: ["/", "/nothing", "/api/v1/pods/a/b/c", "/openapi/v2"])
    func refusesOtherPaths(_ text: String) {
        #expect(throws: StatusError.self) { try RequestTarget(path: text) }
    }
}

struct RepresentationTests {
    @Test(arguments: [
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Representation.table),
        ("application/json", .object), ("", .object), ("*/*", .object),
        ("application/vnd.kubernetes.protobuf,application/json", .object),
        ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", .metadata),
        ("application/json;as=Unknown;v=v1, application/json", .object),
    ])
    func choosesTheFirstThatIsServed(_ accept: String, _ expected: Representation) throws {
        #expect(try Representation(accept: accept) == expected)
    }

    @Test func refusesProtobufAlone() {
        #expect(throws: StatusError.self) { try Representation(accept: "application/vnd.kubernetes.protobuf") }
    }
}

struct YAMLBodyTests {
    @Test(arguments: [
        ("a: 1", #"{"a":1}"#), ("a: '1'", #"{"a":"1"}"#), ("a: 1.5e-1", #"{"a":0.15}"#), ("a: yes", #"{"a":"yes"}"#),
        ("a: true\nb: ~", #"{"a":true,"b":null}"#), ("- x\n- [1, z]", #"["x",[1,"z"]]"#),
        ("a: |\n  t\n", #"{"a":"t\n"}"#),
        ("a: &x {b: 1}\nc: *x", #"{"a":{"b":1},"c":{"b":1}}"#), ("a: 1.2.3", #"{"a":"1.2.3"}"#),
    ])
    func readsTheCoreSchema(_ yaml: String, _ json: String) throws {
        #expect(try YAMLBody.parse(yaml) == JSON(parsing: json))
    }

    @Test func boundsNestedAliases() {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...9 {
            let references = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
            text += "a\(level): &a\(level) [\(references)]\n"
        }
        #expect(throws: StatusError.self) { try YAMLBody.parse(text) }
    }
}

struct ProtobufBodyTests {
    /// Encodes a field of bytes.
    private func field(_ number: UInt8, _ content: [UInt8]) -> [UInt8] {
        [number << 3 | 2, UInt8(content.count)] + content
    }

    private func field(_ number: UInt8, _ text: String) -> [UInt8] { field(number, Array(text.utf8)) }

    private func body(_ apiVersion: String, _ kind: String, _ raw: [UInt8]) -> [UInt8] {
        [0x6B, 0x38, 0x73, 0] + field(1, field(1, apiVersion) + field(2, kind)) + field(2, raw)
    }

    @Test func readsAConfigMap() throws {
        let metadata = field(1, "settings") + field(2, "") + field(8, [UInt8]())
        let entry = field(1, "key") + field(2, "value")
        let binary = field(1, "raw") + field(2, [0, 1, 2])
        let raw = field(1, metadata) + field(2, entry) + field(3, binary)
        let expected: JSON = [
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "settings"], "data": ["key": "value"],
            "binaryData": ["raw": "AAEC"],
        ]
        #expect(try ProtobufBody.parse(body("v1", "ConfigMap", raw)) == expected)
    }

    @Test func refusesWhatIsCutOffOrUnknown() throws {
        let whole = body("v1", "ConfigMap", field(1, field(1, "settings")))
        for count in 0..<whole.count where count > 22 || count < 4 {
            #expect(throws: StatusError.self) { try ProtobufBody.parse(Array(whole.prefix(count))) }
        }
        #expect(throws: StatusError.self) { try ProtobufBody.parse(body("example.org/v1", "Boat", [])) }
    }
}

struct HTTPTests {
    @Test func answersHealthAndVersionToAnyone() async throws {
        try await TestServer.with { server in
            for path in ["/livez", "/readyz", "/healthz"] {
                let answer = try await server.curl(path, token: nil)
                #expect(answer.output == "ok")
            }
            let version = try await server.curl("/version", token: nil).json
            #expect(version["gitVersion"] == "v1.36.0+sampan")
        }
    }

    @Test func letsNobodyInWithoutAToken() async throws {
        try await TestServer.with { server in
            let anonymous = try await server.curl("/api/v1/namespaces", token: nil).json
            #expect(anonymous["code"] == 403)
            let wrong = try await server.curl("/api/v1/namespaces", token: "wrong").json
            #expect(wrong["code"] == 401)
            #expect(wrong["kind"] == "Status")
        }
    }

    @Test func knowsItsOtherIdentities() async throws {
        let gateway = APIServer.Identity(name: "gateway", user: "system:gateway", groups: [])
        try await TestServer.with(identities: [gateway]) { server in
            let token = try #require(server.server.staticTokens.token(of: "gateway"))
            let groups = try await server.curl("/apis", token: token).json
            #expect(groups["kind"] == "APIGroupList")
            let refused = try await server.curl("/api/v1/namespaces/default/secrets", token: token).json
            #expect(
                refused["message"]
                    == "secrets is forbidden: User \"system:gateway\" cannot list resource \"secrets\" in API group \"\" in the namespace \"default\""
            )
            let config = try PrivateFile.read(server.server.kubeconfigPath("gateway"))
            #expect(config?.contains(token) == true)
        }
    }

    @Test func boundsBodies() async throws {
        try await TestServer.with { server in
            let path = server.server.configuration.directory + "/large.json"
            let large = String(repeating: "x", count: APIFront.maximumBodySize + 1)
            try PrivateFile.write(#"{"data":{"k":""# + large + #""}}"#, to: path)
            let answer = try await server.curl(
                "/api/v1/namespaces/default/configmaps",
                "-H",
                "Content-Type: application/json",
                "-H",
                "Expect:",
                "--data-binary",
                "@\(path)"
            )
            #expect(answer.json["code"] == 413, "\(answer.errors)")
        }
    }

    @Test func endsAWatchInTime() async throws {
        try await TestServer.with { server in
            let result = try await server.curl(
                "/api/v1/namespaces?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&sendInitialEvents=true"
            )
            let types = result.output.split(separator: "\n").compactMap {
                try? JSON(parsing: String($0))["type"]?.string
            }
            #expect(types == Array(repeating: "ADDED", count: 5) + ["BOOKMARK"])
            #expect(result.output.contains("k8s.io/initial-events-end"))
        }
    }

    @Test func forgetsAWatcherThatHungUp() async throws {
        try await TestServer.with { server in
            let store = server.server.service.store
            let result = try await server.curl("/api/v1/pods?watch=1", "--max-time", "1")
            #expect(result.status == 28)
            try await eventually { store.watcherCount == 0 }
        }
    }

    @Test func keepsItsKeysAndObjectsOverARestart() async throws {
        let directory = "/tmp/sampan-restart-\(UInt64.random(in: 0...UInt64.max))"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let first = try APIServer(configuration: .init(directory: directory), logger: logger)
        try await first.prepare()
        _ = try await first.client.create(.configMaps, namespace: "default", Sample.configMap("kept"))
        let second = try APIServer(configuration: .init(directory: directory), logger: logger)
        try await second.prepare()
        #expect(second.certificateAuthority == first.certificateAuthority)
        #expect(second.staticTokens.token(of: "admin") == first.staticTokens.token(of: "admin"))
        #expect(try await second.client.find(.configMaps, namespace: "default", name: "kept") != nil)
        let mode = try FileManager.default.attributesOfItem(atPath: "\(directory)/ca.key")[.posixPermissions] as? Int
        #expect(mode == 0o600)
        try await first.service.store.close()
        try await second.service.store.close()
    }
}
