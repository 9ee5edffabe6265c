import KubernetesModel

/// Selects the jobs that an event runs and makes a ``JobGraph`` of them. Pure.
package struct PipelineCompiler {
    private let configuration: PipelineConfiguration
    private let event: PipelineEvent
    /// Predefined variables of the pipeline and those of instance, groups and project, in the order of precedence.
    private let context: CompilationContext

    package static func compile(
        _ configuration: PipelineConfiguration,
        for event: PipelineEvent,
        in context: CompilationContext
    ) throws(InvalidConfiguration) -> Compilation {
        let compiler = PipelineCompiler(configuration: configuration, event: event, context: context)
        return try compiler.compile()
    }

    private func compile() throws(InvalidConfiguration) -> Compilation {
        let evaluation = RuleEvaluation(event: event, paths: context.paths)
        var globals = configuration.variables
        let values = allVariables(yaml: globals)
        if let rules = configuration.workflow.rules {
            guard let rule = evaluation.firstMatch(rules, values), rule.when != .never else {
                return .none("workflow:rules allow no pipeline for this event")
            }
            globals.merge(rule.variables) { _, own in own }
        }
        let selected = configuration.jobs.flatMap { selectedJobs($0, globals, evaluation) }
        guard selected.contains(where: { $0.stage != ".pre" && $0.stage != ".post" }) else {
            return .none("no job is selected by its rules for this event")
        }
        return .pipeline(try graph(of: selected, variables: allVariables(yaml: globals)))
    }

    private func allVariables(yaml: OrderedDictionary<String, VariableDefinition>) -> VariableCollection {
        var variables = VariableCollection(context.predefined)
        variables.append(contentsOf: yaml.map { JobVariable($0.key, $0.value.value, isRaw: !$0.value.isExpanded) })
        variables.append(contentsOf: context.settings)
        variables.append(contentsOf: event.variables)
        return variables.expanded()
    }

    // MARK: - Selection

    /// The jobs that stand for `definition` in this pipeline: none, one, or the parallel ones.
    private func selectedJobs(
        _ definition: JobDefinition,
        _ globals: OrderedDictionary<String, VariableDefinition>,
        _ evaluation: RuleEvaluation
    ) -> [CompiledJob] {
        var yaml = globals.filter { definition.inheritedVariables?.contains($0.key) ?? true }
        yaml.merge(definition.variables) { _, own in own }
        let values = allVariables(yaml: yaml)
        guard let selection = evaluation.selection(of: definition, values) else { return [] }
        yaml.merge(selection.variables) { _, own in own }
        let job = compiled(definition, selection, yaml)
        return ParallelJobs.expand(job, definition.parallel).map(withEnvironment)
    }

    private func compiled(
        _ definition: JobDefinition,
        _ selection: JobSelection,
        _ yaml: OrderedDictionary<String, VariableDefinition>
    ) -> CompiledJob {
        CompiledJob(
            name: definition.name,
            stage: definition.stage,
            stageIndex: 0,
            image: definition.image,
            services: definition.services,
            beforeScript: definition.beforeScript,
            script: definition.script,
            afterScript: definition.afterScript,
            variables: yaml.map { JobVariable($0.key, $0.value.value, isRaw: !$0.value.isExpanded) },
            when: selection.when,
            allowFailure: selection.allowFailure,
            needs: (selection.needs ?? definition.needs)?.map {
                CompiledNeed(job: $0.job, wantsArtifacts: $0.wantsArtifacts)
            },
            dependencies: definition.dependencies,
            artifacts: definition.artifacts,
            caches: definition.caches,
            environment: definition.environment,
            retry: definition.retry,
            timeout: definition.timeout,
            isInterruptible: definition.isInterruptible,
            tags: definition.tags,
            resourceGroup: definition.resourceGroup,
            coverage: definition.coverage
        )
    }

    /// The job with the variables in the names of its environment and resource group replaced.
    private func withEnvironment(_ job: CompiledJob) -> CompiledJob {
        var job = job
        var variables = VariableCollection(context.predefined)
        variables.append(contentsOf: job.variables)
        variables.append(contentsOf: context.settings + event.variables)
        variables.append(JobVariable("CI_JOB_NAME", job.name))
        let values = variables.expanded()
        if let name = job.environment?.name { job.environment?.name = VariableExpansion.expand(name) { values[$0] } }
        job.resourceGroup = job.resourceGroup.map { VariableExpansion.expand($0) { values[$0] } }
        return job
    }

    // MARK: - The graph

    private func graph(of jobs: [CompiledJob], variables: VariableCollection) throws(InvalidConfiguration) -> JobGraph {
        let used = Set(jobs.map(\.stage))
        let stages = configuration.stages.filter(used.contains)
        var ordered: [CompiledJob] = []
        for (index, stage) in stages.enumerated() {
            for var job in jobs where job.stage == stage {
                job.stageIndex = index
                ordered.append(job)
            }
        }
        let edges = NeedResolution(configuration: configuration, jobs: ordered)
        let resolved = try edges.resolved()
        return JobGraph(
            name: configuration.workflow.name.map { VariableExpansion.expand($0) { variables[$0] } },
            stages: stages,
            jobs: resolved,
            warnings: configuration.warnings
        )
    }
}

/// What the compiler knows besides the configuration and the event.
package struct CompilationContext: Sendable {
    /// `CI_*` variables that are known before there is a pipeline.
    package var predefined: [JobVariable]
    /// Variables of instance, groups and project, in this order.
    package var settings: [JobVariable]
    /// The files of the commit, for `exists`.
    package var paths: [String]

    package init(predefined: [JobVariable] = [], settings: [JobVariable] = [], paths: [String] = []) {
        self.predefined = predefined
        self.settings = settings
        self.paths = paths
    }
}
