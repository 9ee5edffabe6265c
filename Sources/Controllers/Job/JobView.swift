import KubernetesModel

/// What the controllers read of a Job.
struct JobView: ObjectView {
    var json: JSON
    init(_ json: JSON) { self.json = json }

    var parallelism: Int { max(0, json["spec", "parallelism"]?.int ?? 1) }
    /// `nil` for a work queue: the success of any pod means that there is no more work.
    var completions: Int? { json["spec", "completions"]?.int }
    /// Each of its completions has a number of its own.
    var isIndexed: Bool { json["spec", "completionMode"]?.string == "Indexed" }
    /// A pod that is being stopped keeps its place until it is gone.
    var replacesOnlyFailed: Bool { json["spec", "podReplacementPolicy"]?.string == "Failed" }
    var backoffLimit: Int { json["spec", "backoffLimit"]?.int ?? 6 }
    var activeDeadlineSeconds: Int? { json["spec", "activeDeadlineSeconds"]?.int }
    var ttlSecondsAfterFinished: Int? { json["spec", "ttlSecondsAfterFinished"]?.int }
    var isSuspended: Bool { json["spec", "suspend"]?.bool ?? false }
    var selector: LabelSelector? { json["spec", "selector"].flatMap { try? LabelSelector($0) } }
    var restartsContainers: Bool {
        json["spec", "template", "spec", "restartPolicy"]?.string == "OnFailure"
    }

    var startTime: Timestamp? { json["status", "startTime"]?.string.flatMap { Timestamp($0) } }
    var isFinished: Bool { conditions.isTrue("Complete") || conditions.isTrue("Failed") }
    var conditions: Conditions { Conditions(json["status", "conditions"]) }

    /// When the Job completed or failed.
    var finishedAt: Timestamp? {
        let finished = ["Complete", "Failed"].compactMap { conditions[$0] }.first { $0["status"]?.string == "True" }
        return finished?["lastTransitionTime"]?.string.flatMap { Timestamp($0) }
    }

    /// The labels that its pods carry beside those of the template.
    var podLabels: [String: String] {
        [
            "batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name,
            "controller-uid": uid, "job-name": name,
        ]
    }
}
