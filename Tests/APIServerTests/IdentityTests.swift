import Crypto
import Foundation
import KubernetesClient
import KubernetesModel
import Testing

@testable import APIServer

struct IdentityTests {
    private func token(_ api: TestAPI, bound pod: String? = nil) async throws -> String {
        var request: JSON = ["spec": ["expirationSeconds": 600]]
        if let pod { request["spec", "boundObjectRef"] = ["kind": "Pod", "apiVersion": "v1", "name": .string(pod)] }
        let answer = try await api.client.post(
            .serviceAccounts,
            namespace: "default",
            name: "robot",
            subresource: "token",
            request
        )
        return try #require(answer["status", "token"]?.string)
    }

    private func authenticator(_ api: TestAPI) throws -> Authenticator {
        let path = "/tmp/sampan-tokens-\(UInt64.random(in: 0...UInt64.max)).json"
        defer { try? FileManager.default.removeItem(atPath: path) }
        return Authenticator(tokens: try StaticTokens(path: path, identities: []), service: api.service)
    }

    @Test func knowsAServiceAccountByItsToken() async throws {
        let api = try await TestAPI()
        _ = try await api.client.create(.serviceAccounts, namespace: "default", ["metadata": ["name": "robot"]])
        let token = try await token(api)
        let authenticator = try authenticator(api)
        #expect(try authenticator.user(authorization: "Bearer \(token)").name == "system:serviceaccount:default:robot")

        var forged = Array(token)
        forged[forged.count - 10] = forged[forged.count - 10] == "A" ? "B" : "A"
        #expect(throws: StatusError.unauthorized()) {
            try authenticator.user(authorization: "Bearer \(String(forged))")
        }
        api.clock.advance(by: 601)
        #expect(throws: StatusError.unauthorized()) { try authenticator.user(authorization: "Bearer \(token)") }
    }

    @Test func letsATokenDieWithItsPodAndItsAccount() async throws {
        let api = try await TestAPI()
        _ = try await api.client.create(.serviceAccounts, namespace: "default", ["metadata": ["name": "robot"]])
        _ = try await api.client.create(.pods, namespace: "default", Sample.pod("p"))
        let (bound, free) = (try await token(api, bound: "p"), try await token(api))
        let authenticator = try authenticator(api)
        #expect(authenticator.serviceAccount(bound) != nil)
        _ = try await api.client.delete(.pods, namespace: "default", name: "p")
        #expect(authenticator.serviceAccount(bound) == nil)
        #expect(authenticator.serviceAccount(free) != nil)
        _ = try await api.client.delete(.serviceAccounts, namespace: "default", name: "robot")
        #expect(authenticator.serviceAccount(free) == nil)
    }

    @Test func refusesTokensWithoutASignature() {
        let tokens = ServiceAccountTokens(key: P256.Signing.PrivateKey())
        let header = Base64URL.encode(Array(#"{"alg":"none"}"#.utf8))
        let claims = Base64URL.encode(Array(#"{"iss":"\#(ServiceAccountTokens.issuer)"}"#.utf8))
        for token in ["", "a.b.c", "\(header).\(claims).", "\(header).\(claims)"] {
            #expect(tokens.verify(token, at: Timestamp(seconds: 0)) == nil)
        }
    }

    @Test(arguments: [
        ("get", "", "pods", "", "default", true), ("get", "", "pods", "", "other", false),
        ("delete", "", "pods", "", "default", false), ("get", "", "pods", "log", "default", true),
        ("get", "", "secrets", "", "default", false), ("list", "apps", "deployments", "", "other", true),
    ])
    func allowsWhatRolesSay(
        _ verb: String,
        _ group: String,
        _ resource: String,
        _ subresource: String,
        _ namespace: String,
        _ expected: Bool
    ) async throws {
        let api = try await TestAPI()
        let rbac = { (plural: String, kind: String, isNamespaced: Bool) in
            Resource(group: "rbac.authorization.k8s.io", plural: plural, kind: kind, isNamespaced: isNamespaced)
        }
        let subject: JSON = ["kind": "ServiceAccount", "name": "robot", "namespace": "default"]
        let reader: JSON = ["apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]]
        let viewer: JSON = ["apiGroups": ["apps"], "resources": ["*"], "verbs": ["list"]]
        let client = api.client
        let reference = { (kind: String, name: String) -> JSON in
            ["apiGroup": "rbac.authorization.k8s.io", "kind": .string(kind), "name": .string(name)]
        }
        _ = try await client.create(
            rbac("roles", "Role", true),
            namespace: "default",
            ["metadata": ["name": "r"], "rules": [reader]]
        )
        _ = try await client.create(
            rbac("rolebindings", "RoleBinding", true),
            namespace: "default",
            ["metadata": ["name": "r"], "subjects": [subject], "roleRef": reference("Role", "r")]
        )
        _ = try await client.create(
            rbac("clusterroles", "ClusterRole", false),
            ["metadata": ["name": "v"], "rules": [viewer]]
        )
        _ = try await client.create(
            rbac("clusterrolebindings", "ClusterRoleBinding", false),
            ["metadata": ["name": "v"], "subjects": [subject], "roleRef": reference("ClusterRole", "v")]
        )
        let attributes = RequestAttributes(
            verb: verb,
            group: group,
            resource: resource,
            subresource: subresource,
            namespace: namespace
        )
        let user = UserInfo.serviceAccount(namespace: "default", name: "robot", uid: "")
        #expect(Authorizer(service: api.service).allows(user, attributes) == expected)
    }

    @Test func letsViewersSeeNoReleases() async throws {
        let api = try await TestAPI()
        _ = try await api.client.create(
            BuiltinRoles.bindings,
            [
                "metadata": ["name": "v"], "subjects": [["kind": "User", "name": "eve"]],
                "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"],
            ]
        )
        let eve = UserInfo(name: "eve", groups: [UserInfo.authenticatedGroup])
        let authorizer = Authorizer(service: api.service)
        let list = { RequestAttributes(verb: "list", group: $0, resource: $1, namespace: "default") }
        #expect(authorizer.allows(eve, list("apps", "deployments")))
        #expect(authorizer.allows(eve, list("sampan.dev", "trafficpolicies")))
        #expect(!authorizer.allows(eve, list("sampan.dev", "releases")))
        #expect(!authorizer.allows(eve, list("", "secrets")))
    }

    @Test func keepsEditorsInsideTheirNamespace() async throws {
        let api = try await TestAPI()
        _ = try await api.client.create(
            Resource(group: "rbac.authorization.k8s.io", plural: "rolebindings", kind: "RoleBinding"),
            namespace: "default",
            [
                "metadata": ["name": "e"], "subjects": [["kind": "User", "name": "eve"]],
                "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"],
            ]
        )
        let eve = UserInfo(name: "eve", groups: [UserInfo.authenticatedGroup])
        let authorizer = Authorizer(service: api.service)
        let may = { (verb: String, group: String, resource: String, namespace: String) in
            authorizer.allows(
                eve,
                RequestAttributes(verb: verb, group: group, resource: resource, namespace: namespace)
            )
        }
        #expect(may("create", "", "pods", "default") && may("patch", "apps", "deployments", "default"))
        #expect(may("get", "", "secrets", "default") && may("get", "", "namespaces", "default"))
        #expect(!may("create", "", "pods", "kube-system") && !may("list", "", "pods", ""))
        #expect(!may("patch", "", "namespaces", "default") && !may("update", "", "resourcequotas", "default"))
        #expect(!may("create", "rbac.authorization.k8s.io", "rolebindings", "default"))
    }

    @Test func givesBuiltinRolesTheRulesOfThisVersion() async throws {
        let api = try await TestAPI()
        let outdated: JSON = ["metadata": ["name": "view"], "rules": []]
        _ = try await api.client.update(BuiltinRoles.roles, outdated)
        try await api.service.makeBuiltinObjects(endpoint: nil)
        let role = try await api.client.get(BuiltinRoles.roles, namespace: nil, name: "view")
        #expect(role["rules"]?.array?.isEmpty == false)
    }

    // MARK: - Acting as another user

    private func bind(_ api: TestAPI, _ user: String, _ name: String, rules: JSON) async throws {
        _ = try await api.client.create(BuiltinRoles.roles, ["metadata": ["name": .string(name)], "rules": rules])
        _ = try await api.client.create(
            BuiltinRoles.bindings,
            [
                "metadata": ["name": .string(name)], "subjects": [["kind": "User", "name": .string(user)]],
                "roleRef": [
                    "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": .string(name),
                ],
            ]
        )
    }

    private func user(
        _ user: UserInfo,
        actingBy fields: KeyValuePairs<String, String>,
        _ authorizer: Authorizer
    ) throws -> UserInfo {
        try authorizer.user(user, actingBy: fields.map { (name: $0.key, value: $0.value) })
    }

    @Test func actsOnlyAsWhomARuleNames() async throws {
        let api = try await TestAPI()
        let rule: JSON = [
            "apiGroups": [""], "resources": ["users", "groups"], "resourceNames": ["bob", "team"],
            "verbs": ["impersonate"],
        ]
        try await bind(api, "eve", "support", rules: [rule])
        let authorizer = Authorizer(service: api.service)
        let eve = UserInfo(name: "eve", groups: [UserInfo.authenticatedGroup])
        let bob = try user(
            eve,
            actingBy: ["accept": "*/*", "impersonate-user": "bob", "impersonate-group": "team"],
            authorizer
        )
        #expect(bob == UserInfo(name: "bob", groups: ["team", UserInfo.authenticatedGroup]))
        #expect(try user(eve, actingBy: ["accept": "*/*"], authorizer) == eve)
        let refusal = await statusError { _ = try user(eve, actingBy: ["impersonate-user": "root"], authorizer) }
        #expect(refusal?.code == 403)
        #expect(
            refusal?.message == "users \"root\" is forbidden: User \"eve\" cannot impersonate resource \"users\" "
                + "in API group \"\" at the cluster scope"
        )
        let forbidden: [KeyValuePairs<String, String>] = [
            ["impersonate-user": "bob", "impersonate-group": "system:masters"],
            ["impersonate-user": "bob", "impersonate-uid": "1"],
            ["impersonate-user": "bob", "impersonate-extra-reason": "none"],
            ["impersonate-user": "system:serviceaccount:default:robot"],
        ]
        for fields in forbidden {
            #expect(await statusError { _ = try user(eve, actingBy: fields, authorizer) }?.code == 403, "\(fields)")
        }
        let bad: [KeyValuePairs<String, String>] = [
            ["impersonate-group": "team"], ["impersonate-user": "bob", "impersonate-other": "x"],
        ]
        for fields in bad {
            #expect(await statusError { _ = try user(eve, actingBy: fields, authorizer) }?.code == 400, "\(fields)")
        }
    }

    @Test func actsAsAServiceAccountWithItsGroups() async throws {
        let authorizer = Authorizer(service: try await TestAPI().service)
        let robot = try user(
            .system,
            actingBy: [
                "impersonate-user": "system:serviceaccount:team:robot",
                "impersonate-extra-example.org%2fwhy": "a test",
            ],
            authorizer
        )
        #expect(robot.groups.contains("system:serviceaccounts:team"))
        #expect(robot.extra == ["example.org/why": ["a test"]])
        let nobody = try user(.system, actingBy: ["impersonate-user": "system:anonymous"], authorizer)
        #expect(!nobody.isAuthenticated)
    }

    // MARK: - The index of roles

    @Test func knowsEachChangeOfRolesAtOnce() async throws {
        let api = try await TestAPI()
        let authorizer = Authorizer(service: api.service)
        let eve = UserInfo(name: "eve", groups: [UserInfo.authenticatedGroup, "team"])
        let list = RequestAttributes(verb: "list", group: "", resource: "pods", namespace: "default")
        let kind = Resource(group: "rbac.authorization.k8s.io", plural: "rolebindings", kind: "RoleBinding")
        func binding(_ subject: JSON, role: String = "reader") -> JSON {
            [
                "metadata": ["name": "b", "namespace": "default"], "subjects": [subject],
                "roleRef": ["apiGroup": .string(kind.group), "kind": "ClusterRole", "name": .string(role)],
            ]
        }
        _ = try await api.client.create(kind, namespace: "default", binding(["kind": "User", "name": "eve"]))
        #expect(!authorizer.allows(eve, list), "the role is not there yet")
        let rule: JSON = ["apiGroups": [""], "resources": ["pods"], "verbs": ["list"]]
        _ = try await api.client.create(BuiltinRoles.roles, ["metadata": ["name": "reader"], "rules": [rule]])
        #expect(authorizer.allows(eve, list))
        #expect(Authorizer(service: api.service).allows(eve, list), "an index that is made later knows it too")
        _ = try await api.client.update(kind, binding(["kind": "User", "name": "bob"]))
        #expect(!authorizer.allows(eve, list))
        _ = try await api.client.update(kind, binding(["kind": "Group", "name": "team"]))
        #expect(authorizer.allows(eve, list))
        var elsewhere = list
        elsewhere.namespace = "kube-system"
        #expect(!authorizer.allows(eve, elsewhere))
        _ = try await api.client.update(BuiltinRoles.roles, ["metadata": ["name": "reader"], "rules": []])
        #expect(!authorizer.allows(eve, list))
        _ = try await api.client.update(BuiltinRoles.roles, ["metadata": ["name": "reader"], "rules": [rule]])
        _ = try await api.client.delete(kind, namespace: "default", name: "b")
        #expect(!authorizer.allows(eve, list))
    }

    @Test func allowsPathsThatRulesName() async throws {
        let api = try await TestAPI()
        try await bind(api, "eve", "paths", rules: [["nonResourceURLs": ["/metrics", "/logs/*"], "verbs": ["get"]]])
        let authorizer = Authorizer(service: api.service)
        let (eve, bob) = (UserInfo(name: "eve", groups: []), UserInfo(name: "bob", groups: []))
        #expect(
            authorizer.allows(eve, verb: "get", path: "/metrics")
                && !authorizer.allows(bob, verb: "get", path: "/metrics")
        )
        #expect(authorizer.allows(eve, verb: "get", path: "/logs/a/b"))
        #expect(
            !authorizer.allows(eve, verb: "post", path: "/logs/a") && !authorizer.allows(eve, verb: "get", path: "/log")
        )
        #expect(
            authorizer.allows(bob, verb: "get", path: "/readyz") && !authorizer.allows(bob, verb: "get", path: "/apis")
        )
    }
}
