import Foundation
import Git
import HTTPTypes
import Hummingbird
import KubernetesModel
import NIOCore
import Review

/// What a running job asks for with its own token: sources, artifacts, caches.
extension PipelineService {
    /// Answers git with the token of the job that it runs in.
    private static let credentialHelper =
        #"!f() { echo username=gitlab-ci-token; echo "password=$CI_JOB_TOKEN"; }; f"#

    func addRunningJobRoutes<Context: RequestContext>(to router: some RouterMethods<Context>, _ web: WebAuthentication)
    {
        router.api(.get, "/jobs/:job_id/sources", web) { call in
            let depth = try call.fields.int("depth") ?? JobFiles.sourceDepth
            guard depth >= 0 else { throw GitLabError.badParameter("depth", "is invalid: it must not be negative") }
            return try await self.sources(of: try call.job(), depth: min(depth, Int(Int32.max)))
        }
        router.api(.post, "/jobs/:job_id/artifacts", web) { call in
            try await self.takeArtifacts(of: try call.job(), call)
        }
        router.api(.get, "/jobs/:job_id/dependencies/:dependency_id", web) { call in
            let identity = try call.job()
            let id = try call.id("dependency_id", of: "Job")
            guard let job = try await self.store.job(identity.jobID),
                try await self.dependencies(of: job).contains(where: { $0.jobID == id })
            else { throw GitLabError.notFound("Artifacts") }
            return try Self.archive(at: self.archives.artifacts(ofJob: id))
        }
        router.api(.get, "/jobs/:job_id/cache", web) { call in
            let identity = try call.job()
            return try Self.archive(at: try await self.cachePath(identity, call))
        }
        router.api(.post, "/jobs/:job_id/cache", web) { call in
            let path = try await self.cachePath(try call.job(), call)
            _ = try await Self.refusing { try await self.archives.store(call.request.body, at: path) }
            return JSONResponse(json: ["message": "201 Created"], status: .created)
        }
    }

    // MARK: - Parts

    private func sources(of identity: JobIdentity, depth: Int) async throws -> ByteResponse {
        guard let job = try await store.job(identity.jobID), let pipeline = try await store.pipeline(job.pipelineID),
            let project = try await forge.project(job.projectID)
        else { throw GitLabError.notFound("Job") }
        let archive = try await forge.repository(of: project).sources(
            .init(
                commit: pipeline.sha,
                ref: pipeline.ref,
                isTag: pipeline.isTag,
                depth: depth,
                origin: "\(configuration.server.url)/\(project.pathWithNamespace).git",
                credentialHelper: Self.credentialHelper
            )
        )
        let body = ResponseBody(contentLength: archive.size) { writer in
            var offset = 0
            while offset < archive.size {
                let chunk = try await archive.read(at: offset)
                guard chunk.readableBytes > 0 else { throw ArchiveError(description: "the sources are cut off") }
                offset += chunk.readableBytes
                try await writer.write(chunk)
            }
            try await writer.finish(nil)
        }
        return ByteResponse(type: "application/x-tar", body: body)
    }

    private func takeArtifacts(of identity: JobIdentity, _ call: APICall) async throws -> JSONResponse {
        guard let job = try await store.job(identity.jobID), let definition = job.definition.artifacts else {
            throw GitLabError(.badRequest, "the job declares no artifacts")
        }
        let path = archives.artifacts(ofJob: job.id)
        let stored = try await Self.refusing { try await self.archives.store(call.request.body, at: path) }
        let lifetime = definition.expireIn ?? Int(configuration.artifactLifetime.components.seconds)
        let expireAt = lifetime == 0 ? nil : Date(timeIntervalSinceNow: Double(lifetime))
        try await store.setArtifacts(ofJob: job.id, entries: stored.entries, size: stored.size, expireAt: expireAt)
        return JSONResponse(json: ["message": "201 Created", "files": JSON(stored.entries.count)], status: .created)
    }

    private static func refusing<Value>(_ body: () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch let error as ArchiveError {
            throw GitLabError(.badRequest, "the archive is refused: \(error)")
        }
    }

    private static func archive(at path: String) throws -> ByteResponse {
        guard let archive = StoredArchive(path: path) else { throw GitLabError.notFound("Archive") }
        let body = ResponseBody(contentLength: archive.size) { writer in
            try await archive.write(0, archive.size, to: &writer)
            try await writer.finish(nil)
        }
        return ByteResponse(type: "application/x-tar", body: body)
    }

    /// Where a cache lies: protected branches have their own, so that nobody else's job can put files into them.
    private func cachePath(_ identity: JobIdentity, _ call: APICall) async throws -> String {
        let isProtected = try await forge.isProtected(branch: identity.ref, of: identity.projectID)
        let key = try call.fields.required("key") + (isProtected ? "-protected" : "-non_protected")
        return archives.cache(ofProject: identity.projectID, key: key)
    }
}
