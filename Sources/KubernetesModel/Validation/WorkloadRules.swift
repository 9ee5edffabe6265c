/// What the kinds that make pods must be.
enum WorkloadRules {
    static let rules: [String: SemanticValidation.Rule] = [
        "apps.v1.Deployment": { object, _ in
            selectorErrors(object) + restartErrors(object, ["Always"]) + deploymentErrors(object)
        },
        "apps.v1.ReplicaSet": { object, _ in selectorErrors(object) + restartErrors(object, ["Always"]) },
        "apps.v1.StatefulSet": { object, _ in selectorErrors(object) + restartErrors(object, ["Always"]) },
        "apps.v1.DaemonSet": { object, _ in selectorErrors(object) + restartErrors(object, ["Always"]) },
        "batch.v1.JobSpec": { spec, path in
            restartErrors(spec["template", "spec"], "\(path).template.spec", ["OnFailure", "Never"])
                + indexErrors(spec, path)
        },
        "batch.v1.CronJobSpec": scheduleErrors,
        "meta.v1.LabelSelector": labelSelectorErrors,
        "autoscaling.v1.HorizontalPodAutoscalerSpec": autoscalerErrors,
        "autoscaling.v2.HorizontalPodAutoscalerSpec": autoscalerErrors,
        "policy.v1.PodDisruptionBudgetSpec": budgetErrors,
    ]

    /// The selector must be there, choose something, and choose the pods of the template.
    private static func selectorErrors(_ object: JSON) -> [FieldError] {
        guard let value = object["spec", "selector"] else { return [.required("spec.selector")] }
        guard let selector = try? LabelSelector(value) else { return [] }
        if selector.isEmpty {
            return [
                .invalid(
                    "spec.selector",
                    value,
                    "empty selector is invalid for \(object["kind"]?.string ?? "this kind")"
                )
            ]
        }
        let labels = object["spec", "template", "metadata", "labels"] ?? [:]
        var errors = MetadataValidation.labelErrors(labels, "spec.template.labels")
        if !selector.matches(labels.stringMap) {
            errors.append(
                .invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
            )
        }
        return errors
    }

    private static func restartErrors(_ object: JSON, _ allowed: [String]) -> [FieldError] {
        restartErrors(object["spec", "template", "spec"], "spec.template.spec", allowed)
    }

    private static func restartErrors(_ pod: JSON?, _ path: String, _ allowed: [String]) -> [FieldError] {
        guard let policy = pod?["restartPolicy"], let text = policy.string, !allowed.contains(text) else { return [] }
        return [.unsupported("\(path).restartPolicy", policy, allowed)]
    }

    private static func deploymentErrors(_ object: JSON) -> [FieldError] {
        let strategy = object["spec", "strategy"] ?? [:]
        let path = "spec.strategy.rollingUpdate"
        let update = strategy["rollingUpdate"]
        if strategy["type"]?.string == "Recreate" {
            return update == nil
                ? [] : [.forbidden(path, "may not be specified when strategy `type` is 'Recreate'")]
        }
        var errors: [FieldError] = []
        for field in ["maxUnavailable", "maxSurge"] {
            errors += amountErrors(update?[field], "\(path).\(field)")
        }
        if isZero(update?["maxUnavailable"]), isZero(update?["maxSurge"]) {
            errors.append(.invalid("\(path).maxUnavailable", 0, "may not be 0 when `maxSurge` is 0"))
        }
        if let deadline = object["spec", "progressDeadlineSeconds"]?.int,
            deadline <= object["spec", "minReadySeconds"]?.int ?? 0
        {
            errors.append(
                .invalid("spec.progressDeadlineSeconds", JSON(deadline), "must be greater than minReadySeconds")
            )
        }
        return errors
    }

    private static func amountErrors(_ value: JSON?, _ path: String) -> [FieldError] {
        guard let value, let amount = IntOrString(value) else { return [] }
        let scaled = amount.scaled(total: 100, roundUp: true)
        guard let scaled, scaled >= 0 else {
            return [.invalid(path, value, "must be a non-negative integer or a percentage such as '25%'")]
        }
        return []
    }

    private static func isZero(_ value: JSON?) -> Bool {
        value.flatMap(IntOrString.init)?.scaled(total: 100, roundUp: true) == 0
    }

    private static func indexErrors(_ spec: JSON, _ path: String) -> [FieldError] {
        guard spec["completionMode"]?.string == "Indexed", spec["completions"] == nil else { return [] }
        return [.required("\(path).completions", "when completion mode is Indexed")]
    }

    private static func scheduleErrors(_ spec: JSON, _ path: String) -> [FieldError] {
        guard let schedule = spec["schedule"]?.string, !schedule.isEmpty else { return [.required("\(path).schedule")] }
        let isNamed = schedule.hasPrefix("@")
        guard isNamed || schedule.split(separator: " ").count == 5 else {
            let message =
                "expected five fields (minute, hour, day of month, month, day of week) or a name such as @hourly"
            return [.invalid("\(path).schedule", .string(schedule), message)]
        }
        return []
    }

    private static func labelSelectorErrors(_ selector: JSON, _ path: String) -> [FieldError] {
        var errors = MetadataValidation.labelErrors(selector["matchLabels"], "\(path).matchLabels")
        do {
            _ = try LabelSelector(selector)
        } catch {
            errors.append(
                .invalid("\(path).matchExpressions", selector["matchExpressions"] ?? .null, error.description)
            )
        }
        return errors
    }

    private static func autoscalerErrors(_ spec: JSON, _ path: String) -> [FieldError] {
        guard let least = spec["minReplicas"]?.int, let most = spec["maxReplicas"]?.int, most < least else { return [] }
        return [.invalid("\(path).maxReplicas", JSON(most), "must be greater than or equal to `minReplicas`")]
    }

    private static func budgetErrors(_ spec: JSON, _ path: String) -> [FieldError] {
        guard spec["minAvailable"] != nil, spec["maxUnavailable"] != nil else {
            return amountErrors(spec["minAvailable"], "\(path).minAvailable")
                + amountErrors(spec["maxUnavailable"], "\(path).maxUnavailable")
        }
        return [.invalid(path, spec, "minAvailable and maxUnavailable cannot be both set")]
    }
}
