/// Replaces the names in `needs` and `dependencies` by jobs of the graph and refuses what cannot be.
struct NeedResolution {
    static let maximumNeeds = 50

    private let definitions: [String: JobDefinition]
    private let stages: [String]
    private let jobs: [CompiledJob]
    private let order: [JobDefinition]

    init(configuration: PipelineConfiguration, jobs: [CompiledJob]) {
        definitions = Dictionary(configuration.jobs.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        order = configuration.jobs
        stages = configuration.stages
        self.jobs = jobs
    }

    func resolved() throws(InvalidConfiguration) -> [CompiledJob] {
        var errors: [ConfigurationError] = []
        var result = jobs
        for index in jobs.indices {
            let definition = definition(of: jobs[index])
            result[index].needs = jobs[index].needs.map { needs(jobs[index], $0, definition, &errors) }
            result[index].dependencies = jobs[index].dependencies.map {
                dependencies(jobs[index], $0, definition, &errors)
            }
        }
        if errors.isEmpty, let cycle = firstCycle(result) { errors.append(cycle) }
        guard errors.isEmpty else { throw InvalidConfiguration(unique(errors)) }
        return result
    }

    private func unique(_ errors: [ConfigurationError]) -> [ConfigurationError] {
        var seen: Set<ConfigurationError> = []
        return errors.filter { seen.insert($0).inserted }
    }

    private func definition(of job: CompiledJob) -> JobDefinition? {
        definitions[job.name] ?? order.first { ParallelJobs.isJob(job.name, of: $0.name) }
    }

    private func needs(
        _ job: CompiledJob,
        _ needs: [CompiledNeed],
        _ definition: JobDefinition?,
        _ errors: inout [ConfigurationError]
    ) -> [CompiledNeed] {
        let path = ["jobs", definition?.name ?? job.name, "needs"]
        var result: [CompiledNeed] = []
        for need in needs {
            let written = definition?.needs?.first { $0.job == need.job }
            let mark = SourceMark(file: definition?.mark.file ?? "", line: written?.line ?? definition?.mark.line ?? 0)
            let targets = jobs.filter {
                ParallelJobs.isJob($0.name, of: need.job) && matches($0, written?.matrix ?? [])
            }
            if let problem = problem(with: need.job, targets, isOptional: written?.isOptional ?? false, of: job) {
                errors.append(ConfigurationError(mark, path, problem))
            }
            result += targets.map { CompiledNeed(job: $0.name, wantsArtifacts: need.wantsArtifacts) }
        }
        if result.count > Self.maximumNeeds, let mark = definition?.mark {
            errors.append(ConfigurationError(mark, path, "a job can need at most \(Self.maximumNeeds) others"))
        }
        return result
    }

    private func problem(with name: String, _ targets: [CompiledJob], isOptional: Bool, of job: CompiledJob) -> String?
    {
        if targets.isEmpty {
            guard definitions[name] != nil || order.contains(where: { ParallelJobs.isJob(name, of: $0.name) }) else {
                let hint =
                    Keywords.suggestion(for: name, among: definitions.keys).map { "; did you mean \"\($0)\"?" } ?? ""
                return "there is no job \"\(name)\"\(hint)"
            }
            return isOptional
                ? nil : "the job \"\(name)\" is not part of this pipeline; write \"optional: true\" to allow that"
        }
        if let later = targets.first(where: { $0.stageIndex > job.stageIndex }) {
            return "the job \"\(later.name)\" runs in the later stage \"\(later.stage)\""
        }
        return nil
    }

    private func matches(_ job: CompiledJob, _ matrix: [[String: [String]]]) -> Bool {
        guard !matrix.isEmpty else { return true }
        return matrix.contains { wanted in
            wanted.allSatisfy { name, values in
                job.variables.last { $0.key == name }.map { values.contains($0.value) } ?? false
            }
        }
    }

    private func dependencies(
        _ job: CompiledJob,
        _ names: [String],
        _ definition: JobDefinition?,
        _ errors: inout [ConfigurationError]
    ) -> [String] {
        names.flatMap { name -> [String] in
            let targets = jobs.filter { ParallelJobs.isJob($0.name, of: name) }
            let path = ["jobs", definition?.name ?? job.name, "dependencies"]
            let mark = definition?.mark ?? SourceMark(file: "", line: 0)
            if definitions[name] == nil, targets.isEmpty {
                errors.append(ConfigurationError(mark, path, "there is no job \"\(name)\""))
            } else if let later = targets.first(where: { $0.stageIndex > job.stageIndex }) {
                errors.append(ConfigurationError(mark, path, "the job \"\(later.name)\" runs in a later stage"))
            }
            return targets.map(\.name)
        }
    }

    // MARK: - Circles

    private func firstCycle(_ jobs: [CompiledJob]) -> ConfigurationError? {
        let needs = Dictionary(uniqueKeysWithValues: jobs.map { ($0.name, $0.needs?.map(\.job) ?? []) })
        var finished: Set<String> = []
        for job in jobs {
            guard let cycle = cycle(from: job.name, needs, chain: [], &finished) else { continue }
            let definition = jobs.first { $0.name == cycle[0] }.flatMap(definition)
            return ConfigurationError(
                definition?.mark ?? SourceMark(file: "", line: 0),
                ["jobs", definition?.name ?? cycle[0], "needs"],
                "circular: \(cycle.joined(separator: " -> "))"
            )
        }
        return nil
    }

    private func cycle(
        from name: String,
        _ needs: [String: [String]],
        chain: [String],
        _ finished: inout Set<String>
    ) -> [String]? {
        if let start = chain.firstIndex(of: name) { return chain[start...] + [name] }
        guard !finished.contains(name) else { return nil }
        for next in needs[name] ?? [] {
            if let cycle = cycle(from: next, needs, chain: chain + [name], &finished) { return cycle }
        }
        finished.insert(name)
        return nil
    }
}
