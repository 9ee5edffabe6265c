import Pipelines
import Releases

/// Tells the releases which commit a job works on.
struct PipelineJobDirectory: JobDirectory {
    let pipelines: PipelineService

    func origin(ofJob id: Int) async throws -> ReleaseOrigin? {
        guard let origin = try await pipelines.origin(ofJob: id) else { return nil }
        return ReleaseOrigin(
            commit: origin.commit,
            ref: origin.ref,
            pipelineID: origin.pipelineID,
            jobID: id,
            jobName: origin.jobName
        )
    }
}
