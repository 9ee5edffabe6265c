package import Pipelines

/// A step in the life of a release.
package struct ReleaseProgress: Hashable, Sendable {
    package enum Step: String, Sendable {
        case running, success, failed
    }

    package var project: ReleaseProject
    package var environment: String
    package var origin: ReleaseOrigin
    package var number: Int
    /// Brings an earlier release back.
    package var isRollback: Bool
    package var step: Step
    /// Where the application answers; empty where no route says.
    package var url: String
    /// Why it failed; empty otherwise.
    package var reason: String
}

/// Hears what becomes of releases: the environments and deployments of the API, notifications.
package protocol ReleaseObserver: Sendable {
    /// Called in order for one environment. What it throws is logged and changes nothing.
    func releaseChanged(_ progress: ReleaseProgress) async throws
}

/// Writes releases into the environments and deployments of GitLab's API.
package struct DeploymentReporter: ReleaseObserver {
    private let recorder: any DeploymentRecorder

    package init(recorder: any DeploymentRecorder) {
        self.recorder = recorder
    }

    package func releaseChanged(_ progress: ReleaseProgress) async throws {
        // The job of a rollback's target made another deployment: a rollback is one of its own.
        let job = progress.isRollback || progress.origin.jobID == 0 ? nil : progress.origin.jobID
        // Without a job every call makes a row, so only the end is told.
        guard job != nil || progress.step != .running else { return }
        let status: DeploymentStatus =
            switch progress.step {
            case .running: .running
            case .success: .success
            case .failed: .failed
            }
        try await recorder.recordDeployment(
            RecordedDeployment(
                projectID: progress.project.id,
                environment: progress.environment,
                jobID: job,
                userID: progress.origin.userID,
                ref: progress.origin.ref,
                sha: progress.origin.commit,
                release: progress.number,
                status: status,
                url: progress.url.isEmpty ? nil : progress.url
            )
        )
    }
}
