/// Everything that an executor needs to run one job.
package struct JobAssignment: Sendable {
    package var jobID: Int
    package var projectID: Int
    package var pipelineID: Int
    package var name: String
    /// With all variables replaced.
    package var image: ImageDefinition
    package var services: [ServiceDefinition]
    /// All variables of the job.
    package var variables: [JobVariable]
    var files: JobFiles
    /// Who the job is to the cluster; `nil` for jobs that may not reach it.
    package var account: JobAccount?
    /// Seconds that the job may still run.
    package var timeout: Int
    package var registry: String
    package var token: String

    /// The values that the trace must not show.
    package var secrets: [String] { variables.filter(\.isMasked).map(\.value) + [token] }
}

package enum JobOutcome: Hashable, Sendable {
    case success
    case failed(FailureReason, exitCode: Int?, message: String)
    /// What ran the job is no longer there, and how it ended is not known.
    case gone
}

/// Runs jobs somewhere.
///
/// Jobs keep running when the process that started them ends: `run` with `isResuming` takes a job up again. Cancelling the task that
/// runs a job leaves the job alone; only ``stop(jobID:)`` ends it.
package protocol JobExecutor: Sendable {
    /// Starts the job, unless it was started before, and follows it to its end; output goes to `trace`.
    func run(_ assignment: JobAssignment, trace: JobTrace, isResuming: Bool) async throws -> JobOutcome

    /// Asks a running job to end; `run` then returns.
    func stop(jobID: Int) async throws

    /// Removes what is left of an ended job.
    func remove(jobID: Int) async throws

    /// Prepares for jobs, and removes what is left of all but the given ones.
    func start(keeping jobIDs: Set<Int>) async throws
}
