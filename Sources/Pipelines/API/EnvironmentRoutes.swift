import HTTPTypes
import Hummingbird
import KubernetesModel
import Review

enum EnvironmentState: String, CaseIterable {
    case available, stopping, stopped
}

/// Environments and deployments.
extension PipelineService {
    func addEnvironmentRoutes<Context: RequestContext>(to router: some RouterMethods<Context>, _ web: WebAuthentication)
    {
        router.api(.get, "/projects/:id/environments", web) { call in
            let project = try await call.project(requiring: .readPipelines)
            let name = try call.fields.string("name")
            let search = try call.fields.string("search").flatMap { $0.isEmpty ? nil : $0.lowercased() }
            let state = try call.fields.choice("states", of: EnvironmentState.self)?.rawValue
            let found = try await self.store.environments(ofProject: project.id).filter {
                (name == nil || $0.name == name) && (state == nil || $0.state == state)
                    && (search == nil || $0.name.lowercased().contains(search ?? ""))
            }
            return try call.list(found) { self.presenter(project).environment($0) }
        }
        router.api(.post, "/projects/:id/environments", web) { call in
            let project = try await call.project(requiring: .runPipelines)
            let name = try call.fields.required("name")
            if try await self.store.environments(ofProject: project.id).contains(where: { $0.name == name }) {
                throw GitLabError.invalid("name", "has already been taken")
            }
            let fields = call.fields
            let id = try await self.store.createEnvironment(
                project.id,
                name: name,
                url: try fields.string("external_url"),
                tier: try fields.choice("tier", of: EnvironmentTier.self)?.rawValue
            )
            try await self.forge.audit("environment_created", of: "environment:\(id)", by: try await call.author())
            return JSONResponse(json: try await self.environmentJSON(id, project), status: .created)
        }
        router.api(.get, "/projects/:id/environments/:name", web) { call in
            let project = try await call.project(requiring: .readPipelines)
            return JSONResponse(
                json: try await self.environmentJSON(try await self.environment(call, project).id, project)
            )
        }
        addEnvironmentActions(to: router, web)
        addDeploymentRoutes(to: router, web)
    }

    private func addEnvironmentActions<Context: RequestContext>(
        to router: some RouterMethods<Context>,
        _ web: WebAuthentication
    ) {
        router.api(.put, "/projects/:id/environments/:name", web) { call in
            let project = try await call.project(requiring: .runPipelines)
            let environment = try await self.environment(call, project)
            try await self.store.updateEnvironment(
                environment.id,
                url: try call.fields.string("external_url"),
                tier: try call.fields.choice("tier", of: EnvironmentTier.self)?.rawValue
            )
            try await self.forge.audit(
                "environment_updated",
                of: "environment:\(environment.id)",
                by: try await call.author()
            )
            return JSONResponse(json: try await self.environmentJSON(environment.id, project))
        }
        router.api(.post, "/projects/:id/environments/:name/stop", web) { call in
            let project = try await call.project(requiring: .runPipelines)
            let environment = try await self.environment(call, project)
            try await self.stop(environment, isForced: try call.fields.bool("force") ?? false, call)
            try await self.forge.audit(
                "environment_stopped",
                of: "environment:\(environment.id)",
                by: try await call.author()
            )
            return JSONResponse(json: try await self.environmentJSON(environment.id, project))
        }
        router.api(.delete, "/projects/:id/environments/:name", web) { call in
            let project = try await call.project(requiring: .runPipelines)
            let environment = try await self.environment(call, project)
            guard environment.state == "stopped" else { throw GitLabError.forbidden("stop the environment first") }
            try await self.store.deleteEnvironment(environment.id)
            try await self.forge.audit(
                "environment_deleted",
                of: "environment:\(environment.id)",
                by: try await call.author()
            )
            return EmptyResponse()
        }
    }

    private func addDeploymentRoutes<Context: RequestContext>(
        to router: some RouterMethods<Context>,
        _ web: WebAuthentication
    ) {
        router.api(.get, "/projects/:id/deployments", web) { call in
            let project = try await call.project(requiring: .readPipelines)
            let environments = try await self.store.environments(ofProject: project.id)
            let name = try call.fields.string("environment")
            let status = try call.fields.choice("status", of: DeploymentStatus.self)
            let found = try await self.store.deployments(ofProject: project.id).filter { deployment in
                (status == nil || deployment.status == status)
                    && (name == nil || environments.contains { $0.id == deployment.environmentID && $0.name == name })
            }
            let ordered = try call.fields.choice("sort", of: SortOrder.self) == .desc ? found.reversed() : found
            let page = try Page(call.fields)
            var items: [JSON] = []
            for deployment in page.slice(ordered) {
                items.append(try await self.json(deployment, environments, project))
            }
            let url = self.forge.configuration.externalURL
            return JSONResponse(
                json: .array(items),
                headers: page.headers(total: ordered.count, request: call.request, externalURL: url)
            )
        }
        router.api(.get, "/projects/:id/deployments/:deployment_id", web) { call in
            let project = try await call.project(requiring: .readPipelines)
            let id = try call.id("deployment_id", of: "Deployment")
            let all = try await self.store.deployments(ofProject: project.id)
            guard let deployment = all.first(where: { $0.id == id }) else { throw GitLabError.notFound("Deployment") }
            let environments = try await self.store.environments(ofProject: project.id)
            return JSONResponse(json: try await self.json(deployment, environments, project))
        }
    }

    // MARK: - Parts

    /// Plays the job that stops the environment; without one the environment is stopped at once.
    private func stop(_ environment: EnvironmentRecord, isForced: Bool, _ call: APICall) async throws {
        guard environment.state != "stopped" else { return }
        guard !isForced, let job = try await store.stopJob(ofEnvironment: environment.id) else {
            return try await store.setState("stopped", ofEnvironment: environment.id)
        }
        try await store.setState("stopping", ofEnvironment: environment.id)
        let user = try call.requirePrincipal().userID
        if try await !store.play(job, userID: user), job.status.isRetryable {
            _ = try await store.retry(job, userID: user)
        }
        poke()
    }

    /// The environment that the path names, by number or by name.
    private func environment(_ call: APICall, _ project: Project) async throws -> EnvironmentRecord {
        let reference = try call.parameter("name")
        let all = try await store.environments(ofProject: project.id)
        guard let found = all.first(where: { String($0.id) == reference }) ?? all.first(where: { $0.name == reference })
        else {
            throw GitLabError.notFound("Environment")
        }
        return found
    }

    private func environmentJSON(_ id: Int, _ project: Project) async throws -> JSON {
        guard let environment = try await store.environments(ofProject: project.id).first(where: { $0.id == id }) else {
            throw GitLabError.notFound("Environment")
        }
        let last = try await store.deployments(ofProject: project.id).last {
            $0.environmentID == id && $0.status == .success
        }
        return presenter(project).environment(environment, last: last)
    }

    private func json(
        _ deployment: DeploymentRecord,
        _ environments: [EnvironmentRecord],
        _ project: Project
    ) async throws -> JSON {
        guard let environment = environments.first(where: { $0.id == deployment.environmentID }) else {
            throw GitLabError.notFound("Environment")
        }
        var deployable: JSON?
        if let id = deployment.jobID, let job = try await store.job(id) { deployable = try await json(job, project) }
        let user = try await forge.user(deployment.userID)
        return presenter(project).deployment(deployment, environment, deployable, user: user)
    }
}
