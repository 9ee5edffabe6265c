import KubernetesModel

/// The roles that users of Kubernetes expect to find, for bindings to refer to.
enum BuiltinRoles {
    static let roles = Resource(
        group: "rbac.authorization.k8s.io",
        plural: "clusterroles",
        kind: "ClusterRole",
        isNamespaced: false
    )
    static let bindings = Resource(
        group: "rbac.authorization.k8s.io",
        plural: "clusterrolebindings",
        kind: "ClusterRoleBinding",
        isNamespaced: false
    )

    static let clusterRoles: [JSON] = [
        role("cluster-admin", [rule(["*"], ["*"], ["*"])]),
        role("admin", editing + [rule([roles.group], ["roles", "rolebindings"], ["*"])]),
        role("edit", editing),
        role(
            "view",
            [
                rule([""], viewable, reading), rule(workloadGroups, ["*"], reading),
                rule(["sampan.dev"], ["trafficpolicies", "trafficpolicies/status"], reading),
            ]
        ),
    ]

    static let mastersBinding: JSON = [
        "metadata": ["name": "cluster-admin"],
        "roleRef": ["apiGroup": .string(roles.group), "kind": "ClusterRole", "name": "cluster-admin"],
        "subjects": [
            ["apiGroup": .string(roles.group), "kind": "Group", "name": .string(UserInfo.mastersGroup)]
        ],
    ]

    private static let workloadGroups = [
        "apps", "autoscaling", "batch", "discovery.k8s.io", "events.k8s.io", "gateway.networking.k8s.io",
        "networking.k8s.io", "policy",
    ]
    /// Quotas and the namespace itself are missing on purpose: they are the limits of whoever works inside.
    private static let editing = [
        rule([""], editable, ["*"]), rule([""], viewable, reading), rule(workloadGroups + ["sampan.dev"], ["*"], ["*"]),
    ]
    private static let editable = [
        "configmaps", "endpoints", "events", "persistentvolumeclaims", "pods", "pods/attach", "pods/eviction",
        "pods/exec", "pods/log", "pods/portforward", "pods/status", "replicationcontrollers",
        "replicationcontrollers/scale", "secrets", "serviceaccounts", "serviceaccounts/token", "services",
        "services/status",
    ]
    private static let reading = ["get", "list", "watch"]
    /// Secrets are missing on purpose: they would let a reader become whoever they belong to. So are Releases, which hold Secrets.
    private static let viewable = [
        "configmaps", "endpoints", "events", "limitranges", "namespaces", "persistentvolumeclaims", "pods", "pods/log",
        "pods/status", "replicationcontrollers", "resourcequotas", "serviceaccounts", "services", "services/status",
    ]

    private static func role(_ name: String, _ rules: [JSON]) -> JSON {
        ["metadata": ["name": .string(name)], "rules": .array(rules)]
    }

    private static func rule(_ groups: [String], _ resources: [String], _ verbs: [String]) -> JSON {
        ["apiGroups": JSON(groups), "resources": JSON(resources), "verbs": JSON(verbs)]
    }
}
