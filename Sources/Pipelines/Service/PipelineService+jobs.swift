import Foundation
import Git
import KubernetesModel
import Review

/// What a job gets to know before it runs.
extension PipelineService {
    func assignment(for job: JobRecord) async throws -> JobAssignment {
        guard let pipeline = try await store.pipeline(job.pipelineID),
            let project = try await forge.project(job.projectID)
        else {
            throw GitLabError.notFound("Project")
        }
        let token = try await store.sealedToken(ofJob: job.id).map { try box.open($0, context: "job:\(job.id)") } ?? ""
        let account = try await account(of: job, pipeline, project)
        let variables = try await variables(of: job, pipeline, project, token: token, account)
        let expand = { (text: String) in VariableExpansion.expand(text) { variables[$0] } }
        var image = job.definition.image ?? ImageDefinition(name: configuration.defaultImage)
        image.name = expand(image.name)
        let services = job.definition.services.map { service in
            var service = service
            service.name = expand(service.name)
            service.variables = service.variables.mapValues(expand)
            return service
        }
        return JobAssignment(
            jobID: job.id,
            projectID: job.projectID,
            pipelineID: job.pipelineID,
            name: job.name,
            image: image,
            services: services,
            variables: Array(variables.variables.values),
            files: JobFiles(
                job: job.definition,
                variables: variables,
                dependencies: try await dependencies(of: job),
                apiURL: configuration.server.apiURL,
                account: account
            ),
            account: account,
            timeout: remainingSeconds(job),
            registry: configuration.server.registry,
            token: token
        )
    }

    private func remainingSeconds(_ job: JobRecord) -> Int {
        let whole = job.definition.timeout ?? configuration.jobTimeout
        return whole - Int(Date().timeIntervalSince(job.startedAt ?? Date()))
    }

    private func variables(
        of job: JobRecord,
        _ pipeline: PipelineRecord,
        _ project: Project,
        token: String,
        _ account: JobAccount?
    ) async throws -> VariableCollection {
        let event = try await event(of: pipeline)
        let isProtected = try await isProtected(event, project)
        let predefined = PredefinedVariables(
            server: configuration.server,
            project: project.facts,
            user: try await forge.user(job.userID)?.facts
        )
        let environment = job.definition.environment
        var variables = VariableCollection(predefined.pipeline(event, isRefProtected: isProtected))
        variables.append(contentsOf: predefined.job(facts(of: job, pipeline, token: token)))
        if let account { variables.append(contentsOf: ClusterFiles(account: account).variables) }
        variables.append(contentsOf: job.definition.variables)
        variables.append(
            contentsOf: try await settings(of: project, isRefProtected: isProtected, environment: environment?.name)
        )
        variables.append(contentsOf: event.variables)
        variables.append(contentsOf: try await self.variables(of: job))
        return variables.expanded()
    }

    /// Where the deployment of a job answers, when the job says so.
    func environmentURL(of job: JobRecord) async throws -> String? {
        guard job.definition.environment?.url != nil, let pipeline = try await store.pipeline(job.pipelineID),
            let project = try await forge.project(job.projectID)
        else { return nil }
        let url = try await variables(of: job, pipeline, project, token: "", nil)["CI_ENVIRONMENT_URL"] ?? ""
        return url.isEmpty ? nil : url
    }

    /// Who a job with an environment is to the cluster.
    private func account(
        of job: JobRecord,
        _ pipeline: PipelineRecord,
        _ project: Project
    ) async throws -> JobAccount? {
        guard let access, let environment = job.definition.environment else { return nil }
        let identity = JobIdentity(
            jobID: job.id,
            projectID: job.projectID,
            userID: job.userID,
            ref: pipeline.ref
        )
        return try await access.account(for: identity, of: project, environment: environment.name)
    }

    private func facts(of job: JobRecord, _ pipeline: PipelineRecord, token: String) -> JobFacts {
        JobFacts(
            id: job.id,
            name: job.name,
            stage: job.stage,
            pipelineID: pipeline.id,
            pipelineIID: pipeline.iid,
            pipelineCreatedAt: APIEncoder.timestamp(pipeline.createdAt),
            startedAt: APIEncoder.timestamp(job.startedAt ?? job.createdAt),
            isManual: job.definition.when == .manual,
            timeout: job.definition.timeout ?? configuration.jobTimeout,
            pipelineName: pipeline.name,
            token: token,
            image: job.definition.image?.name,
            environment: job.definition.environment
        )
    }

    private func event(of pipeline: PipelineRecord) async throws -> PipelineEvent {
        PipelineEvent(
            source: pipeline.source,
            ref: pipeline.ref,
            isTag: pipeline.isTag,
            commit: pipeline.commit,
            beforeSHA: pipeline.beforeSHA,
            variables: try await variables(of: pipeline)
        )
    }

    /// The variables that were given with the request for the pipeline.
    func variables(of pipeline: PipelineRecord) async throws -> [JobVariable] {
        guard let sealed = try await store.sealedVariables(ofPipeline: pipeline.id) else { return [] }
        return try JSONDecoder().decode([JobVariable].self, from: Data(try box.open(sealed, context: "pipeline").utf8))
    }

    /// The variables that were given when the job was started by hand.
    private func variables(of job: JobRecord) async throws -> [JobVariable] {
        guard let sealed = try await store.sealedVariables(ofJob: job.id) else { return [] }
        let text = try box.open(sealed, context: Self.variablesContext(job.pipelineID))
        return try JSONDecoder().decode([JobVariable].self, from: Data(text.utf8))
    }

    /// Opened by any try of the job.
    func seal(_ variables: [JobVariable], ofJobsIn pipelineID: Int) throws -> Data {
        try box.seal(try PipelineStore.json(variables), context: Self.variablesContext(pipelineID))
    }

    private static func variablesContext(_ pipelineID: Int) -> String { "job-variables:\(pipelineID)" }

    func isProtected(_ event: PipelineEvent, _ project: Project) async throws -> Bool {
        guard !event.isTag else { return false }
        return try await forge.isProtected(branch: event.ref, of: project.id)
    }

    /// The variables that people set for the instance, the project's groups and the project.
    func settings(of project: Project, isRefProtected: Bool, environment: String?) async throws -> [JobVariable] {
        var records = try await store.variables(.instance)
        var path = ""
        for part in project.namespacePath.split(separator: "/") {
            path += path.isEmpty ? String(part) : "/\(part)"
            guard let group = try await forge.namespace(path: path) else { continue }
            records += try await store.variables(.group(group.id))
        }
        records += try await store.variables(.project(project.id))
        let selected = VariableSelection.select(records, isRefProtected: isRefProtected, environment: environment)
        return try selected.map { record in
            JobVariable(
                record.key,
                try value(of: record),
                isMasked: record.isMasked,
                isFile: record.variableType == "file",
                isRaw: record.isRaw
            )
        }
    }

    func value(of record: VariableRecord) throws -> String {
        try box.open(record.sealedValue, context: "variable:\(record.scope.rawValue):\(record.scopeID)")
    }

    func seal(_ value: String, in scope: VariableScope) throws -> Data {
        try box.seal(value, context: "variable:\(scope.kind.rawValue):\(scope.id)")
    }

    /// The finished jobs whose artifacts `job` downloads.
    func dependencies(of job: JobRecord) async throws -> [JobDependency] {
        let others = try await store.jobs(ofPipeline: job.pipelineID)
        let chosen = others.filter { other in
            if let names = job.definition.dependencies, !names.contains(other.name) { return false }
            guard let needs = job.definition.needs else { return other.stageIndex < job.stageIndex }
            return needs.contains { $0.job == other.name && $0.wantsArtifacts }
        }
        var result: [JobDependency] = []
        for other in chosen where other.definition.artifacts != nil {
            guard try await store.artifacts(ofJob: other.id) != nil else { continue }
            result.append(JobDependency(jobID: other.id, name: other.name))
        }
        return result
    }
}

extension Project {
    var facts: PredefinedVariables.Project {
        var facts = PredefinedVariables.Project(
            id: id,
            name: name,
            path: pathWithNamespace,
            defaultBranch: defaultBranch
        )
        facts.visibility = visibility.rawValue
        facts.description = description
        facts.namespaceID = namespaceID
        return facts
    }
}

extension User {
    var facts: PredefinedVariables.User {
        PredefinedVariables.User(id: id, login: username, name: name, email: email)
    }
}
