import KubernetesModel

/// Who makes a request, as RBAC knows them.
struct UserInfo: Hashable, Sendable {
    static let mastersGroup = "system:masters"
    static let authenticatedGroup = "system:authenticated"

    let name: String
    let uid: String
    let groups: [String]

    init(name: String, uid: String = "", groups: [String]) {
        self.name = name
        self.uid = uid
        self.groups = groups
    }

    /// The parts of this program that share the API server's process.
    static let system = UserInfo(name: "system:apiserver", groups: [mastersGroup, authenticatedGroup])
    static let anonymous = UserInfo(name: "system:anonymous", groups: ["system:unauthenticated"])

    static func serviceAccount(namespace: String, name: String, uid: String) -> UserInfo {
        UserInfo(
            name: "system:serviceaccount:\(namespace):\(name)",
            uid: uid,
            groups: ["system:serviceaccounts", "system:serviceaccounts:\(namespace)", authenticatedGroup]
        )
    }
}
