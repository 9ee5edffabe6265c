import KubernetesModel

enum PodRules: KindRules {
    private static let tokenDirectory = "/var/run/secrets/kubernetes.io/serviceaccount"
    /// An hour and a bit, so that a token that is renewed each hour never runs out.
    private static let tokenLifetime = 3607

    static func admitCreation(_ pod: inout JSON, in service: APIService) throws -> Admitted {
        try giveServiceAccount(&pod, service)
        pod["status"] = ["phase": "Pending", "qosClass": .string(qualityOfService(of: pod))]
        return Admitted()
    }

    /// Seconds that a pod has to stop: none when nothing of it runs.
    static func gracePeriod(of pod: JSON, requested: Int?) -> Int {
        let isBound = !(pod["spec", "nodeName"]?.string ?? "").isEmpty
        let isOver = ["Succeeded", "Failed"].contains(pod["status", "phase"]?.string ?? "")
        guard isBound, !isOver else { return 0 }
        return max(0, requested ?? pod["spec", "terminationGracePeriodSeconds"]?.int ?? 30)
    }

    /// `Guaranteed`, `Burstable` or `BestEffort`, by the cpu and memory that the containers ask for.
    static func qualityOfService(of pod: JSON) -> String {
        let containers = ["containers", "initContainers"].flatMap { pod["spec", $0]?.array ?? [] }
        let resources = ["cpu", "memory"]
        func quantity(_ container: JSON, _ kind: String, _ resource: String) -> Quantity? {
            Quantity(container["resources", kind, resource]).flatMap { $0.milliValue == 0 ? nil : $0 }
        }
        let asksForNothing = containers.allSatisfy { container in
            resources.allSatisfy {
                quantity(container, "requests", $0) == nil && quantity(container, "limits", $0) == nil
            }
        }
        guard !asksForNothing else { return "BestEffort" }
        let isGuaranteed = containers.allSatisfy { container in
            resources.allSatisfy { resource in
                guard let limit = quantity(container, "limits", resource) else { return false }
                return (quantity(container, "requests", resource) ?? limit) == limit
            }
        }
        return isGuaranteed ? "Guaranteed" : "Burstable"
    }

    // MARK: - The service account

    private static func giveServiceAccount(_ pod: inout JSON, _ service: APIService) throws {
        let view = AnyObjectView(pod)
        // Pods that a node made by itself have no identity.
        guard view.annotations["kubernetes.io/config.mirror"] == nil else { return }
        let name = pod["spec", "serviceAccountName"]?.string ?? pod["spec", "serviceAccount"]?.string ?? ""
        let account = name.isEmpty ? "default" : name
        let stored = service.store.object(service.key(.serviceAccounts, namespace: view.namespace, name: account))
        // The controller makes the default account of a new namespace a moment later; pods need not wait for it.
        guard stored != nil || account == "default" else {
            throw StatusError.forbidden(
                "pods \"\(view.name)\" is forbidden: error looking up service account \(view.namespace)/\(account): "
                    + "serviceaccount \"\(account)\" not found"
            )
        }
        pod["spec", "serviceAccountName"] = .string(account)
        pod["spec", "serviceAccount"] = .string(account)
        let accountJSON = try stored?.json()
        if pod["spec", "imagePullSecrets"] == nil, let secrets = accountJSON?["imagePullSecrets"] {
            pod["spec", "imagePullSecrets"] = secrets
        }
        let wantsToken = pod["spec", "automountServiceAccountToken"]?.bool
        guard wantsToken ?? accountJSON?["automountServiceAccountToken"]?.bool ?? true else { return }
        mountToken(&pod)
    }

    private static func mountToken(_ pod: inout JSON) {
        let volume = "kube-api-access-\(RandomName.suffix())"
        var mountCount = 0
        for kind in ["initContainers", "containers"] {
            guard let containers = pod["spec", kind]?.array else { continue }
            pod["spec", kind] = .array(
                containers.map { container in
                    var mounts = container["volumeMounts"]?.array ?? []
                    guard !mounts.contains(where: { $0["mountPath"]?.string == tokenDirectory }) else {
                        return container
                    }
                    mounts.append(["mountPath": .string(tokenDirectory), "name": .string(volume), "readOnly": true])
                    mountCount += 1
                    var container = container
                    container["volumeMounts"] = .array(mounts)
                    return container
                }
            )
        }
        guard mountCount > 0 else { return }
        pod["spec", "volumes"] = .array((pod["spec", "volumes"]?.array ?? []) + [tokenVolume(volume)])
    }

    private static func tokenVolume(_ name: String) -> JSON {
        [
            "name": .string(name),
            "projected": [
                "defaultMode": 420,
                "sources": [
                    ["serviceAccountToken": ["expirationSeconds": JSON(tokenLifetime), "path": "token"]],
                    ["configMap": ["items": [["key": "ca.crt", "path": "ca.crt"]], "name": "kube-root-ca.crt"]],
                    [
                        "downwardAPI": [
                            "items": [
                                [
                                    "fieldRef": ["apiVersion": "v1", "fieldPath": "metadata.namespace"],
                                    "path": "namespace",
                                ]
                            ]
                        ]
                    ],
                ],
            ],
        ]
    }
}
