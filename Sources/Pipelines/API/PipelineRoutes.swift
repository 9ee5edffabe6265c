import Git
import HTTPTypes
package import Hummingbird
import KubernetesModel
import Review

/// GitLab's `/projects/:id/pipelines` and what hangs on it.
extension PipelineService {
    /// Adds all routes of pipelines, jobs, variables, environments and running jobs below `/api/v4`.
    package func addRoutes<Context: RequestContext>(to router: some RouterMethods<Context>) {
        let web = WebAuthentication(forge: forge)
        addPipelineRoutes(to: router, web)
        addPipelineActions(to: router, web)
        addLintRoutes(to: router, web)
        addJobRoutes(to: router, web)
        addTraceAndArtifactRoutes(to: router, web)
        addRunningJobRoutes(to: router, web)
        addVariableRoutes(to: router, web)
        addEnvironmentRoutes(to: router, web)
    }

    func presenter(_ project: Project) -> PipelinePresenter {
        PipelinePresenter(project: project, externalURL: forge.configuration.externalURL)
    }

    func pipeline(_ call: APICall, in project: Project) async throws -> PipelineRecord {
        let id = try call.id("pipeline_id", of: "Pipeline")
        guard let pipeline = try await store.pipeline(id), pipeline.projectID == project.id else {
            throw GitLabError.notFound("Pipeline")
        }
        return pipeline
    }

    func detailed(_ pipeline: PipelineRecord, _ project: Project) async throws -> JSON {
        presenter(project).detailed(pipeline, user: try await forge.user(pipeline.userID))
    }

    private func addPipelineRoutes<Context: RequestContext>(
        to router: some RouterMethods<Context>,
        _ web: WebAuthentication
    ) {
        router.api(.get, "/projects/:id/pipelines", web) { call in
            let project = try await call.project(requiring: .readPipelines)
            let query = try PipelineQuery(call.fields)
            var user: User?
            if let name = query.username {
                guard let found = try await self.forge.user(named: name) else {
                    return try call.list([PipelineRecord]()) { self.presenter(project).pipeline($0) }
                }
                user = found
            }
            let pipelines = query.select(try await self.store.pipelines(ofProject: project.id), userID: user?.id)
            return try call.list(pipelines, self.presenter(project).pipeline)
        }
        router.api(.get, "/projects/:id/pipelines/latest", web) { call in
            let project = try await call.project(requiring: .readPipelines)
            let ref = try call.fields.string("ref") ?? project.defaultBranch
            guard let latest = try await self.store.pipelines(ofProject: project.id).first(where: { $0.ref == ref })
            else {
                throw GitLabError.notFound("Pipeline")
            }
            return JSONResponse(json: try await self.detailed(latest, project))
        }
        router.api(.get, "/projects/:id/pipelines/:pipeline_id", web) { call in
            let project = try await call.project(requiring: .readPipelines)
            return JSONResponse(json: try await self.detailed(try await self.pipeline(call, in: project), project))
        }
        router.api(.get, "/projects/:id/pipelines/:pipeline_id/jobs", web) { call in
            let project = try await call.project(requiring: .readPipelines)
            let pipeline = try await self.pipeline(call, in: project)
            let all = try call.fields.bool("include_retried") ?? false
            let jobs = try await self.store.jobs(ofPipeline: pipeline.id, includesRetried: all)
            return try await self.jobList(call, project, Self.scoped(jobs, call.fields))
        }
        router.api(.get, "/projects/:id/pipelines/:pipeline_id/variables", web) { call in
            let project = try await call.project(requiring: .maintain)
            let variables = try await self.variables(of: try await self.pipeline(call, in: project))
            return JSONResponse(
                json: .array(
                    variables.map {
                        [
                            "key": .string($0.key), "value": .string($0.value),
                            "variable_type": $0.isFile ? "file" : "env_var",
                        ]
                    }
                )
            )
        }
        router.api(.get, "/projects/:id/repository/commits/:sha/statuses", web) { call in
            let project = try await call.project(requiring: .readPipelines)
            return try await self.commitStatuses(call, project)
        }
    }

    private func addPipelineActions<Context: RequestContext>(
        to router: some RouterMethods<Context>,
        _ web: WebAuthentication
    ) {
        router.api(.post, "/projects/:id/pipeline", web) { call in
            let project = try await call.project(requiring: .runPipelines)
            let pipeline = try await self.createPipeline(call, project)
            return JSONResponse(json: try await self.detailed(pipeline, project), status: .created)
        }
        router.api(.post, "/projects/:id/pipelines/:pipeline_id/cancel", web) { call in
            let project = try await call.project(requiring: .runPipelines)
            let pipeline = try await self.pipeline(call, in: project)
            try await self.store.change(pipeline.id) { $0.cancel() }
            try await self.forge.audit("pipeline_canceled", of: "pipeline:\(pipeline.id)", by: try await call.author())
            self.poke()
            return JSONResponse(json: try await self.detailed(try await self.pipeline(call, in: project), project))
        }
        router.api(.post, "/projects/:id/pipelines/:pipeline_id/retry", web) { call in
            let project = try await call.project(requiring: .runPipelines)
            let pipeline = try await self.pipeline(call, in: project)
            try await self.store.retryFailed(pipelineID: pipeline.id, userID: try call.requirePrincipal().userID)
            try await self.forge.audit("pipeline_retried", of: "pipeline:\(pipeline.id)", by: try await call.author())
            self.poke()
            return JSONResponse(
                json: try await self.detailed(try await self.pipeline(call, in: project), project),
                status: .created
            )
        }
        router.api(.delete, "/projects/:id/pipelines/:pipeline_id", web) { call in
            let project = try await call.project(requiring: .own)
            let pipeline = try await self.pipeline(call, in: project)
            guard pipeline.status.isComplete || pipeline.status == .manual else {
                throw GitLabError.conflict("the pipeline is \(pipeline.status.rawValue); cancel it first")
            }
            for job in try await self.store.jobs(ofPipeline: pipeline.id, includesRetried: true) {
                self.removeFiles(job.id)
            }
            try await self.store.delete(pipelineID: pipeline.id)
            try await self.forge.audit("pipeline_deleted", of: "pipeline:\(pipeline.id)", by: try await call.author())
            return EmptyResponse()
        }
    }

    private func addLintRoutes<Context: RequestContext>(
        to router: some RouterMethods<Context>,
        _ web: WebAuthentication
    ) {
        router.api(.post, "/ci/lint", web) { call in
            _ = try call.requirePrincipal()
            return JSONResponse(json: Self.lint(text: try call.fields.required("content")))
        }
        router.api(.post, "/projects/:id/ci/lint", web) { call in
            _ = try await call.project(requiring: .readPipelines)
            return JSONResponse(json: Self.lint(text: try call.fields.required("content")))
        }
        router.api(.get, "/projects/:id/ci/lint", web) { call in
            let project = try await call.project(requiring: .readPipelines)
            let ref = try call.fields.string("content_ref") ?? call.fields.string("ref") ?? project.defaultBranch
            let repository = try self.forge.repository(of: project)
            let commit = try await repository.resolve(ref)
            let file = project.ciConfigPath.isEmpty ? ".gitlab-ci.yml" : project.ciConfigPath
            do {
                let tree = CommitTree(repository: repository, commit: commit)
                let configuration = try await ConfigurationParser.parse(file, from: tree)
                return JSONResponse(json: Self.lintResult([], configuration.warnings))
            } catch let error as InvalidConfiguration {
                return JSONResponse(json: Self.lintResult(error.errors.map(\.description), []))
            }
        }
    }

    // MARK: - Parts

    private static func lint(text: String) -> JSON {
        do {
            return lintResult([], try ConfigurationParser.parse(text: text).warnings)
        } catch let error as InvalidConfiguration {
            return lintResult(error.errors.map(\.description), [])
        } catch {
            return lintResult(["\(error)"], [])
        }
    }

    private static func lintResult(_ errors: [String], _ warnings: [String]) -> JSON {
        [
            "valid": .bool(errors.isEmpty), "status": errors.isEmpty ? "valid" : "invalid", "errors": JSON(errors),
            "warnings": JSON(warnings), "includes": [],
        ]
    }

    private func createPipeline(_ call: APICall, _ project: Project) async throws -> PipelineRecord {
        let variables = try Self.jobVariables(call.fields, "variables")
        do {
            return try await createOnRequest(
                project,
                ref: try call.fields.required("ref"),
                source: .api,
                userID: try call.requirePrincipal().userID,
                variables: variables
            )
        } catch let error as PipelineRefused {
            throw GitLabError.invalid("base", error.description)
        } catch let error as InvalidConfiguration {
            throw GitLabError(.badRequest, fields: ["base": error.errors.map(\.description)])
        }
    }

    private func commitStatuses(_ call: APICall, _ project: Project) async throws -> JSONResponse {
        let sha = try await forge.repository(of: project).resolve(try call.parameter("sha"))
        var statuses: [JSON] = []
        for pipeline in try await store.pipelines(ofProject: project.id) where pipeline.sha == sha {
            let user = try await forge.user(pipeline.userID)
            for job in try await store.jobs(ofPipeline: pipeline.id) {
                statuses.append(presenter(project).commitStatus(job, pipeline, user: user))
            }
        }
        return try call.list(statuses) { $0 }
    }

    func removeFiles(_ jobID: Int) {
        archives.remove(archives.artifacts(ofJob: jobID))
        archives.remove(tracePath(jobID))
        archives.remove(tracePath(jobID) + ".sections")
    }
}
