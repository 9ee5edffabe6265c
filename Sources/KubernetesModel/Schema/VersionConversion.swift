/// How objects of a served version and of the version that is kept become each other, without loss in either direction.
package enum VersionConversion: Hashable, Sendable {
    /// The versions differ in nothing but their name (the strategy `None` of CustomResourceDefinitions).
    case renamed
    /// `autoscaling/v1`, whose objects are kept as `autoscaling/v2`.
    case autoscalerV1

    /// By the names of built-in schemas.
    static let builtin: [String: VersionConversion] = ["autoscaling.v1.HorizontalPodAutoscaler": .autoscalerV1]

    /// A kept object as one of `resource`'s version.
    package func served(_ object: JSON, as resource: Resource) -> JSON {
        var served = self == .autoscalerV1 ? AutoscalerVersions.first(object) : object
        served["apiVersion"] = .string(resource.apiVersion)
        return served
    }

    /// An object of the served version as it is kept.
    package func stored(_ object: JSON) -> JSON {
        self == .autoscalerV1 ? AutoscalerVersions.second(object) : object
    }
}

/// HorizontalPodAutoscalers in their two versions. The first knows one target, the use of cpu; what else the second says is kept in
/// annotations, as Kubernetes does.
private enum AutoscalerVersions {
    private static let prefix = "autoscaling.alpha.kubernetes.io/"
    private static let defaultUtilization = 80

    static func first(_ second: JSON) -> JSON {
        var first = second
        let metrics = second["spec", "metrics"]?.array ?? []
        let target = metrics.first { utilizationTarget($0) != nil }
        first["spec", "metrics"] = nil
        first["spec", "targetCPUUtilizationPercentage"] = target.flatMap(utilizationTarget).map { JSON($0) }
        keep("metrics", metrics.filter { $0 != target }, &first)
        keep("behavior", second["spec", "behavior"], &first)
        first["spec", "behavior"] = nil
        guard second["status"]?.object != nil else { return first }
        let current = second["status", "currentMetrics"]?.array ?? []
        let measured = current.first { utilizationNow($0) != nil }
        first["status", "currentMetrics"] = nil
        first["status", "currentCPUUtilizationPercentage"] = measured.flatMap(utilizationNow).map { JSON($0) }
        keep("current-metrics", current.filter { $0 != measured }, &first)
        keep("conditions", second["status", "conditions"]?.array ?? [], &first)
        first["status", "conditions"] = nil
        return first
    }

    static func second(_ first: JSON) -> JSON {
        var second = first
        second["apiVersion"] = "autoscaling/v2"
        var metrics = taken("metrics", &second)?.array ?? []
        let target = first["spec", "targetCPUUtilizationPercentage"]?.int
        if let target = target ?? (metrics.isEmpty ? defaultUtilization : nil) {
            metrics.insert(cpu("target", ["type": "Utilization", "averageUtilization": JSON(target)]), at: 0)
        }
        second["spec", "targetCPUUtilizationPercentage"] = nil
        second["spec", "metrics"] = .array(metrics)
        second["spec", "behavior"] = taken("behavior", &second)
        let (others, conditions) = (taken("current-metrics", &second), taken("conditions", &second))
        guard second["status"]?.object != nil else { return second }
        let measured = first["status", "currentCPUUtilizationPercentage"]?.int
        let current = measured.map { [cpu("current", ["averageUtilization": JSON($0)])] } ?? []
        second["status", "currentCPUUtilizationPercentage"] = nil
        let all = current + (others?.array ?? [])
        second["status", "currentMetrics"] = all.isEmpty ? nil : .array(all)
        second["status", "conditions"] = conditions
        return second
    }

    // MARK: - Private

    private static func cpu(_ field: String, _ value: JSON) -> JSON {
        ["type": "Resource", "resource": .object(["name": "cpu", field: value])]
    }

    private static func utilizationTarget(_ metric: JSON) -> Int? {
        guard isCPU(metric), metric["resource", "target", "type"]?.string == "Utilization" else { return nil }
        return metric["resource", "target", "averageUtilization"]?.int
    }

    /// Only where nothing else would be lost.
    private static func utilizationNow(_ metric: JSON) -> Int? {
        guard isCPU(metric), metric["resource", "current"]?.object?.count == 1 else { return nil }
        return metric["resource", "current", "averageUtilization"]?.int
    }

    private static func isCPU(_ metric: JSON) -> Bool {
        metric["type"]?.string == "Resource" && metric["resource", "name"]?.string == "cpu"
    }

    private static func keep(_ name: String, _ values: [JSON], _ object: inout JSON) {
        keep(name, values.isEmpty ? nil : .array(values), &object)
    }

    private static func keep(_ name: String, _ value: JSON?, _ object: inout JSON) {
        guard let value else { return }
        object["metadata", "annotations", prefix + name] = .string(value.encodedString)
    }

    /// What an annotation keeps, which then goes.
    private static func taken(_ name: String, _ object: inout JSON) -> JSON? {
        guard let text = object["metadata", "annotations", prefix + name]?.string else { return nil }
        object["metadata", "annotations", prefix + name] = nil
        if object["metadata", "annotations"]?.object?.isEmpty == true { object["metadata", "annotations"] = nil }
        return try? JSON(parsing: text)
    }
}
