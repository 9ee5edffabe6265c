extension PipelineService {
    /// What a job works on, for whoever acts in its name.
    package struct JobOrigin: Hashable, Sendable {
        package let commit: String
        /// The branch or tag, without `refs/…/`.
        package let ref: String
        package let pipelineID: Int
        package let jobName: String
    }

    /// `nil` for jobs that are not known.
    package func origin(ofJob id: Int) async throws -> JobOrigin? {
        guard let job = try await store.job(id), let pipeline = try await store.pipeline(job.pipelineID) else {
            return nil
        }
        return JobOrigin(commit: pipeline.sha, ref: pipeline.ref, pipelineID: pipeline.id, jobName: job.name)
    }
}
