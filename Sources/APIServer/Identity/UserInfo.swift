import KubernetesModel

/// Who makes a request, as RBAC knows them.
struct UserInfo: Hashable, Sendable {
    static let mastersGroup = "system:masters"
    static let authenticatedGroup = "system:authenticated"

    let name: String
    let uid: String
    let groups: [String]
    /// Further facts that whoever signed the user in knows, by name.
    let extra: [String: [String]]

    init(name: String, uid: String = "", groups: [String], extra: [String: [String]] = [:]) {
        self.name = name
        self.uid = uid
        self.groups = groups
        self.extra = extra
    }

    /// Whether no rule limits the user.
    var isMaster: Bool { groups.contains(Self.mastersGroup) }
    var isAuthenticated: Bool { groups.contains(Self.authenticatedGroup) }

    /// The parts of this program that share the API server's process.
    static let system = UserInfo(name: "system:apiserver", groups: [mastersGroup, authenticatedGroup])
    static let anonymous = UserInfo(name: "system:anonymous", groups: ["system:unauthenticated"])

    static func serviceAccount(
        namespace: String,
        name: String,
        uid: String,
        extra: [String: [String]] = [:]
    ) -> UserInfo {
        UserInfo(
            name: "system:serviceaccount:\(namespace):\(name)",
            uid: uid,
            groups: ["system:serviceaccounts", "system:serviceaccounts:\(namespace)", authenticatedGroup],
            extra: extra
        )
    }
}
