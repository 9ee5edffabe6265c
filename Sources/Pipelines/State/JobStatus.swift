/// The states of a job, in the words of GitLab.
package enum JobStatus: String, Hashable, Sendable, Codable, CaseIterable {
    /// Waits for the jobs before it.
    case created
    /// Waits for another job of its resource group.
    case waitingForResource = "waiting_for_resource"
    /// Ready to run as soon as there is room.
    case pending
    case running
    /// Asked to stop; its pod still ends.
    case canceling
    case success
    case failed
    case canceled
    case skipped
    /// Waits for a person.
    case manual

    /// Nothing more happens to the job by itself.
    package var isComplete: Bool { [.success, .failed, .canceled, .skipped].contains(self) }
    package var isCancelable: Bool { [.created, .waitingForResource, .pending, .running, .manual].contains(self) }
    package var isRetryable: Bool { [.success, .failed, .canceled].contains(self) }
    /// Whether the job has taken up work that a cancellation would waste.
    var hasStarted: Bool { [.running, .canceling, .success, .failed].contains(self) }
}

package enum PipelineStatus: String, Hashable, Sendable, Codable, CaseIterable {
    case created
    case waitingForResource = "waiting_for_resource"
    case pending, running, canceling, success, failed, canceled, skipped, manual

    package var isComplete: Bool { [.success, .failed, .canceled, .skipped].contains(self) }
}

/// Why a job failed: values of `failure_reason`.
package enum FailureReason: String, Hashable, Sendable, Codable {
    case scriptFailure = "script_failure"
    /// The platform, not the script: a node that went away, a pod deleted by others.
    case runnerSystemFailure = "runner_system_failure"
    case imagePullFailure = "image_pull_failure"
    case jobExecutionTimeout = "job_execution_timeout"
    case dataIntegrityFailure = "data_integrity_failure"
    case missingDependencyFailure = "missing_dependency_failure"
    case configError = "config_error"
}
