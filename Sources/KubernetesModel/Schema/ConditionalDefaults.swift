/// Defaults that depend on other fields of the same object, by the name of its definition.
enum ConditionalDefaults {
    typealias Rule = @Sendable (inout JSONObject) -> Void

    /// Runs before the fixed defaults, for rules that look at what the author wrote.
    static func applyBefore(_ definition: String, _ fields: inout JSONObject) {
        before[definition]?(&fields)
    }

    /// Runs when the object and all below it have their fixed defaults.
    static func applyAfter(_ definition: String, _ fields: inout JSONObject) {
        after[definition]?(&fields)
    }

    private static let before: [String: Rule] = [
        "apiextensions.v1.CustomResourceDefinitionNames": setDefinitionNames,
        "batch.v1.Job": setJobCounts,
        "core.v1.Volume": setEmptyDirectory,
        "core.v1.NamespaceSpec": { $0.setAbsent("finalizers", ["kubernetes"]) },
        "core.v1.PodTemplateSpec": { $0.setAbsent("spec", [:]) },
        "core.v1.ResourceRequirements": setRequestsFromLimits,
        "core.v1.ServiceSpec": setServiceFamilies,
        "core.v1.Secret": moveStringData,
    ]

    private static let after: [String: Rule] = [
        "apps.v1.DaemonSetUpdateStrategy": {
            $0.setRollingUpdate(["maxSurge": 0, "maxUnavailable": 1])
        },
        "apps.v1.DeploymentStrategy": {
            $0.setRollingUpdate(["maxSurge": "25%", "maxUnavailable": "25%"])
        },
        "apps.v1.StatefulSetUpdateStrategy": { $0.setRollingUpdate(["partition": 0]) },
        "autoscaling.v2.HorizontalPodAutoscalerSpec": setAutoscalerMetric,
        "core.v1.Container": setPullPolicy,
        "core.v1.EphemeralContainer": setPullPolicy,
        "core.v1.PodSpec": setHostPorts,
        "core.v1.ServicePort": { port in
            if port.isAbsentOrEmpty("targetPort") { port["targetPort"] = port["port"] }
        },
    ]

    // MARK: - Pods

    /// `Always` for images that may change under the same name.
    private static func setPullPolicy(_ container: inout JSONObject) {
        guard container.isAbsentOrEmpty("imagePullPolicy"), let image = container["image"]?.string else { return }
        container["imagePullPolicy"] = ImageReference.mayChange(image) ? "Always" : "IfNotPresent"
    }

    private static func setRequestsFromLimits(_ resources: inout JSONObject) {
        guard let limits = resources["limits"]?.object, !limits.isEmpty else { return }
        var requests = resources["requests"]?.object ?? [:]
        for (name, limit) in limits { requests.setAbsent(name, limit) }
        resources["requests"] = .object(requests)
    }

    private static func setEmptyDirectory(_ volume: inout JSONObject) {
        if !volume.contains(where: { $0.key != "name" && !$0.value.isNull }) { volume["emptyDir"] = [:] }
    }

    /// On the host's network a container port is the host's port.
    private static func setHostPorts(_ pod: inout JSONObject) {
        guard pod["hostNetwork"]?.bool == true else { return }
        for list in ["containers", "initContainers"] {
            guard let containers = pod[list]?.array else { continue }
            pod[list] = .array(containers.map(withHostPorts))
        }
    }

    private static func withHostPorts(_ container: JSON) -> JSON {
        guard let ports = container["ports"]?.array else { return container }
        var container = container
        container["ports"] = .array(
            ports.map { port in
                var port = port
                if (port["hostPort"]?.int ?? 0) == 0 { port["hostPort"] = port["containerPort"] }
                return port
            }
        )
        return container
    }

    // MARK: - Other kinds

    /// Not for the templates of CronJobs: the Jobs made from them get their defaults when they are created.
    private static func setJobCounts(_ object: inout JSONObject) {
        var job = object["spec"]?.object ?? [:]
        if job["completions"] == nil, job["parallelism"] == nil {
            job["completions"] = 1
            job["parallelism"] = 1
        }
        job.setAbsent("parallelism", 1)
        job.setAbsent("backoffLimit", job["backoffLimitPerIndex"] == nil ? 6 : JSON(Int(Int32.max)))
        job.setAbsent("completionMode", "NonIndexed")
        job.setAbsent("suspend", false)
        job.setAbsent("manualSelector", false)
        job.setAbsent("podReplacementPolicy", job["podFailurePolicy"] == nil ? "TerminatingOrFailed" : "Failed")
        object["spec"] = .object(job)
    }

    private static func setDefinitionNames(_ names: inout JSONObject) {
        guard let kind = names["kind"]?.string, !kind.isEmpty else { return }
        names.setAbsent("singular", .string(kind.lowercased()))
        names.setAbsent("listKind", .string("\(kind)List"))
    }

    private static func setServiceFamilies(_ service: inout JSONObject) {
        let type = service["type"]?.string ?? "ClusterIP"
        if service["sessionAffinity"]?.string == "ClientIP" {
            var settings = service["sessionAffinityConfig"] ?? [:]
            if settings["clientIP", "timeoutSeconds"] == nil { settings["clientIP", "timeoutSeconds"] = 10_800 }
            service["sessionAffinityConfig"] = settings
        }
        guard type != "ExternalName" else { return }
        service.setAbsent("internalTrafficPolicy", "Cluster")
        service.setAbsent("ipFamilies", ["IPv4"])
        service.setAbsent("ipFamilyPolicy", "SingleStack")
        if type == "NodePort" || type == "LoadBalancer" { service.setAbsent("externalTrafficPolicy", "Cluster") }
        if type == "LoadBalancer" { service.setAbsent("allocateLoadBalancerNodePorts", true) }
    }

    /// `stringData` is for writing only: it becomes base64 in `data`.
    private static func moveStringData(_ secret: inout JSONObject) {
        guard let texts = secret.removeValue(forKey: "stringData")?.object else { return }
        var data = secret["data"]?.object ?? [:]
        for (name, text) in texts {
            guard let text = text.string else { continue }
            data[name] = .string(Base64.encoded(Array(text.utf8)))
        }
        secret["data"] = .object(data)
    }

    private static func setAutoscalerMetric(_ spec: inout JSONObject) {
        guard spec["metrics"]?.array?.isEmpty ?? true else { return }
        spec["metrics"] = [
            [
                "type": "Resource",
                "resource": ["name": "cpu", "target": ["type": "Utilization", "averageUtilization": 80]],
            ]
        ]
    }
}

/// The part of an image reference that defaults depend on.
enum ImageReference {
    /// An image without a digest whose tag is `latest` or missing.
    static func mayChange(_ image: String) -> Bool {
        guard !image.contains("@") else { return false }
        let name = image.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        guard let colon = name.firstIndex(of: ":") else { return true }
        return name[name.index(after: colon)...] == "latest"
    }
}

extension JSONObject {
    fileprivate mutating func setAbsent(_ name: String, _ value: JSON) {
        if self[name] == nil || self[name] == .null { self[name] = value }
    }

    fileprivate func isAbsentOrEmpty(_ name: String) -> Bool {
        switch self[name] {
        case nil, .null?, .string("")?, .integer(0)?: true
        default: false
        }
    }

    /// The parameters of a rolling update, where the strategy is one.
    fileprivate mutating func setRollingUpdate(_ defaults: JSONObject) {
        guard self["type"]?.string == "RollingUpdate" else { return }
        var update = self["rollingUpdate"]?.object ?? [:]
        for (name, value) in defaults { update.setAbsent(name, value) }
        self["rollingUpdate"] = .object(update)
    }
}
