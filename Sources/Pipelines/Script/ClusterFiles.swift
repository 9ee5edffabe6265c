import KubernetesModel

/// What a job's script needs to reach the cluster as its account, with `kubectl` or any other client. Pure.
struct ClusterFiles {
    /// Where clients inside of pods look for a token.
    static let tokenFolder = "/var/run/secrets/kubernetes.io/serviceaccount"
    /// The shortest life that a token can have; the node renews it in time.
    static let tokenSeconds = 600

    let account: JobAccount

    /// Names and values of the variables that clients look for; those that the project sets win.
    var variables: [JobVariable] {
        [
            JobVariable("KUBECONFIG", "\(JobFiles.folder)/kubeconfig", isRaw: true),
            JobVariable("KUBE_NAMESPACE", account.namespace, isRaw: true),
        ]
    }

    /// Holds no secret: the token is read from its own file, which changes.
    var kubeconfig: String {
        let name = JSON.string(account.namespace)
        let config: JSON = [
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [
                [
                    "name": "cluster",
                    "cluster": [
                        "server": "https://kubernetes.default.svc",
                        "certificate-authority": .string("\(Self.tokenFolder)/ca.crt"),
                    ],
                ]
            ],
            "users": [["name": "job", "user": ["tokenFile": .string("\(Self.tokenFolder)/token")]]],
            "contexts": [["name": name, "context": ["cluster": "cluster", "user": "job", "namespace": name]]],
        ]
        return config.prettyString + "\n"
    }

    /// Token, authority and namespace, as Kubernetes lays them out; `secret` holds the job's files.
    func volume(_ name: String, secret: String) -> JSON {
        [
            "name": .string(name),
            "projected": [
                "defaultMode": 292,
                "sources": [
                    ["serviceAccountToken": ["path": "token", "expirationSeconds": JSON(Self.tokenSeconds)]],
                    ["configMap": ["name": "kube-root-ca.crt", "items": [["key": "ca.crt", "path": "ca.crt"]]]],
                    ["secret": ["name": .string(secret), "items": [["key": "namespace", "path": "namespace"]]]],
                ],
            ],
        ]
    }
}
