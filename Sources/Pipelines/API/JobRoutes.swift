import Foundation
import HTTPTypes
import Hummingbird
import KubernetesModel
import NIOCore
import Review

/// GitLab's `/projects/:id/jobs` and what hangs on it.
extension PipelineService {
    func addJobRoutes<Context: RequestContext>(to router: some RouterMethods<Context>, _ web: WebAuthentication) {
        router.api(.get, "/projects/:id/jobs", web) { call in
            let project = try await call.project(requiring: .readPipelines)
            let jobs = try await self.store.jobs(ofProject: project.id).filter { !$0.isRetried }
            return try await self.jobList(call, project, Self.scoped(jobs, call.fields))
        }
        router.api(.get, "/projects/:id/jobs/:job_id", web) { call in
            let project = try await call.project(requiring: .readPipelines)
            return JSONResponse(json: try await self.json(try await self.job(call, in: project), project))
        }
        router.api(.get, "/job", web) { call in
            guard case .job(let identity) = try call.requirePrincipal(),
                let job = try await self.store.job(identity.jobID),
                let project = try await self.forge.project(job.projectID)
            else { throw GitLabError.notFound("Job") }
            return JSONResponse(json: try await self.json(job, project))
        }
        router.api(.post, "/projects/:id/jobs/:job_id/play", web) { call in
            let variables = try Self.jobVariables(call.fields, "job_variables_attributes")
            let user = try call.requirePrincipal().userID
            return try await self.act(on: call, "job_played") { job in
                let sealed = try variables.isEmpty ? nil : self.seal(variables, ofJobsIn: job.pipelineID)
                if try await self.store.play(job, userID: user, sealedVariables: sealed) { return job.id }
                throw GitLabError(.badRequest, "400 Bad request - Unplayable Job")
            }
        }
        router.api(.post, "/projects/:id/jobs/:job_id/cancel", web) { call in
            try await self.act(on: call, "job_canceled") { job in
                try await self.store.change(job.pipelineID) { $0.cancel(job.id) }
                return job.id
            }
        }
        router.api(.post, "/projects/:id/jobs/:job_id/retry", web) { call in
            let user = try call.requirePrincipal().userID
            return try await self.act(on: call, "job_retried") { job in
                guard job.status.isRetryable, !job.isRetried else {
                    throw GitLabError.forbidden(
                        "Job is not retryable: it is \(job.isRetried ? "retried" : job.status.rawValue)"
                    )
                }
                return try await self.store.retry(job, userID: user).id
            }
        }
        router.api(.post, "/projects/:id/jobs/:job_id/erase", web) { call in
            try await self.act(on: call, "job_erased") { job in
                guard job.status.isComplete, job.erasedAt == nil else {
                    throw GitLabError.forbidden("Job is not erasable!")
                }
                try await self.store.markErased(job.id)
                self.removeFiles(job.id)
                return job.id
            }
        }
    }

    func addTraceAndArtifactRoutes<Context: RequestContext>(
        to router: some RouterMethods<Context>,
        _ web: WebAuthentication
    ) {
        router.api(.get, "/projects/:id/jobs/:job_id/trace", web) { call in
            let project = try await call.project(requiring: .readPipelines)
            let job = try await self.job(call, in: project)
            let bytes = JobTrace.read(path: self.tracePath(job.id))
            return ByteResponse(type: "text/plain", body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
        }
        router.api(.get, "/projects/:id/jobs/:job_id/artifacts", web) { call in
            let project = try await call.project(requiring: .readPipelines)
            return try await self.zip(try await self.job(call, in: project))
        }
        router.api(.delete, "/projects/:id/jobs/:job_id/artifacts", web) { call in
            let project = try await call.project(requiring: .maintain)
            let job = try await self.job(call, in: project)
            try await self.store.deleteArtifacts(ofJob: job.id)
            self.archives.remove(self.archives.artifacts(ofJob: job.id))
            try await self.forge.audit("artifacts_deleted", of: "job:\(job.id)", by: try await call.author())
            return EmptyResponse()
        }
        router.api(.get, "/projects/:id/jobs/:job_id/artifacts/**", web) { call in
            let project = try await call.project(requiring: .readPipelines)
            let job = try await self.job(call, in: project)
            let path = call.request.uri.path.components(separatedBy: "/artifacts/").dropFirst().joined(
                separator: "/artifacts/"
            )
            return try await self.file(path.removingPercentEncoding ?? path, of: job)
        }
    }

    // MARK: - Parts

    /// The variables that a request gives to a pipeline or job.
    static func jobVariables(_ fields: RequestFields, _ name: String) throws -> [JobVariable] {
        try (fields.objects(name) ?? []).map { fields in
            let key = try fields.required("key")
            guard key.isVariableName else {
                throw GitLabError.invalid("key", "can contain only letters, digits and '_'.")
            }
            return JobVariable(
                key,
                try fields.string("value") ?? "",
                isFile: try fields.string("variable_type") == "file"
            )
        }
    }

    func job(_ call: APICall, in project: Project) async throws -> JobRecord {
        let id = try call.id("job_id", of: "Job")
        guard let job = try await store.job(id), job.projectID == project.id else { throw GitLabError.notFound("Job") }
        return job
    }

    func json(_ job: JobRecord, _ project: Project) async throws -> JSON {
        guard let pipeline = try await store.pipeline(job.pipelineID) else { throw GitLabError.notFound("Pipeline") }
        return presenter(project).job(
            job,
            pipeline,
            user: try await forge.user(job.userID),
            artifacts: try await store.artifacts(ofJob: job.id)
        )
    }

    /// The jobs that the parameter `scope` selects.
    static func scoped(_ jobs: [JobRecord], _ fields: RequestFields) throws -> [JobRecord] {
        guard let scope = try fields.strings("scope"), !scope.isEmpty else { return jobs }
        for name in scope where JobStatus(rawValue: name) == nil {
            throw GitLabError.badParameter("scope", "does not have a valid value: there is no status \"\(name)\"")
        }
        return jobs.filter { scope.contains($0.status.rawValue) }
    }

    func jobList(_ call: APICall, _ project: Project, _ jobs: [JobRecord]) async throws -> JSONResponse {
        let page = try Page(call.fields)
        var items: [JSON] = []
        for job in page.slice(jobs) { items.append(try await json(job, project)) }
        let headers = page.headers(
            total: jobs.count,
            request: call.request,
            externalURL: forge.configuration.externalURL
        )
        return JSONResponse(json: .array(items), headers: headers)
    }

    /// Does something to the job that the path names; `body` answers with the job to show.
    private func act(
        on call: APICall,
        _ action: String,
        _ body: (JobRecord) async throws -> Int
    ) async throws -> JSONResponse {
        let project = try await call.project(requiring: .runPipelines)
        let job = try await job(call, in: project)
        let id = try await body(job)
        try await forge.audit(action, of: "job:\(job.id)", by: try await call.author())
        poke()
        guard let result = try await store.job(id) else { throw GitLabError.notFound("Job") }
        return JSONResponse(json: try await json(result, project), status: .created)
    }

    private func stored(_ job: JobRecord) async throws -> (ArtifactRecord, StoredArchive) {
        guard let record = try await store.artifacts(ofJob: job.id),
            let archive = StoredArchive(path: archives.artifacts(ofJob: job.id))
        else { throw GitLabError.notFound("Artifacts") }
        return (record, archive)
    }

    private func zip(_ job: JobRecord) async throws -> ByteResponse {
        let (record, archive) = try await stored(job)
        let entries = record.entries
        let body = ResponseBody(contentLength: ZipDirectory.size(entries)) { writer in
            for entry in entries {
                try await writer.write(ByteBuffer(bytes: ZipDirectory.localHeader(entry)))
                if let link = entry.link {
                    try await writer.write(ByteBuffer(bytes: ZipDirectory.content(ofLink: link)))
                } else {
                    try await archive.write(entry.offset, entry.size, to: &writer)
                }
            }
            try await writer.write(ByteBuffer(bytes: ZipDirectory.directory(entries)))
            try await writer.finish(nil)
        }
        let name = "attachment; filename=\"artifacts.zip\""
        return ByteResponse(type: "application/zip", body: body, headers: [.contentDisposition: name])
    }

    private func file(_ path: String, of job: JobRecord) async throws -> ByteResponse {
        let (record, archive) = try await stored(job)
        guard let entry = record.entries.first(where: { $0.path == path && $0.link == nil }) else {
            throw GitLabError.notFound("File")
        }
        let body = ResponseBody(contentLength: entry.size) { writer in
            try await archive.write(entry.offset, entry.size, to: &writer)
            try await writer.finish(nil)
        }
        // Never rendered by a browser: a job's files may not act as pages of this site.
        return ByteResponse(type: "application/octet-stream", body: body, headers: [.contentDisposition: "attachment"])
    }
}

extension StoredArchive {
    @concurrent
    func write(_ offset: Int, _ size: Int, to writer: inout any ResponseBodyWriter) async throws {
        var position = offset
        while position < offset + size {
            let chunk = try await read(at: position, length: min(256 << 10, offset + size - position))
            guard chunk.readableBytes > 0 else { throw ArchiveError(description: "the stored archive is cut off") }
            position += chunk.readableBytes
            try await writer.write(chunk)
        }
    }
}
