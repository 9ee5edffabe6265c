import KubernetesModel

/// Turns a `.gitlab-ci.yml` into a ``PipelineConfiguration``.
///
/// ```swift
/// let configuration = try await ConfigurationParser.parse(".gitlab-ci.yml", from: tree)
/// ```
package struct ConfigurationParser {
    private var reader = ValueReader()
    private var stages: [String] = []

    /// - Throws: ``InvalidConfiguration`` with every mistake found, or what `tree` throws.
    package static func parse(_ file: String, from tree: any SourceTree) async throws -> PipelineConfiguration {
        do {
            return try parse(try await ConfigurationAssembly.assemble(file, from: tree))
        } catch let error as ConfigurationError {
            throw InvalidConfiguration([error])
        }
    }

    /// Parses text that includes no other files.
    package static func parse(text: String, file: String = ".gitlab-ci.yml") throws -> PipelineConfiguration {
        do {
            let empty = YAMLNode(content: .mapping([:]), mark: SourceMark(file: file, line: 0))
            let root = try YAMLReader.read(text, file: file) ?? empty
            guard root.mapping != nil else {
                throw ConfigurationError(root.mark, [], "expected a mapping of jobs and keywords, not \(root.typeName)")
            }
            if let include = root["include"], !include.isNull {
                throw ConfigurationError(include.mark, ["include"], "other files cannot be included here")
            }
            return try parse(try ConfigurationAssembly.finish(root))
        } catch let error as ConfigurationError {
            throw InvalidConfiguration([error])
        }
    }

    private static func parse(_ root: YAMLNode) throws -> PipelineConfiguration {
        var parser = ConfigurationParser()
        let configuration = parser.configuration(root)
        guard parser.reader.errors.isEmpty else { throw InvalidConfiguration(parser.reader.errors) }
        return configuration
    }

    // MARK: - The root

    private mutating func configuration(_ root: YAMLNode) -> PipelineConfiguration {
        let entries = root.mapping ?? [:]
        stages = allStages(entries)
        let variables = entries["variables"].map { reader.variables($0.value, ["variables"]) } ?? [:]
        let workflow = entries["workflow"].map { self.workflow($0.value) } ?? Workflow()
        let jobs = self.jobs(entries, defaults: defaults(entries))
        if jobs.isEmpty, reader.errors.isEmpty {
            reader.fail(root.mark, ["jobs"], "there is no job; a job is a top-level key with a \"script\"")
        }
        return PipelineConfiguration(
            stages: stages,
            variables: variables,
            workflow: workflow,
            jobs: jobs,
            warnings: reader.warnings
        )
    }

    private mutating func allStages(_ entries: OrderedDictionary<String, YAMLEntry>) -> [String] {
        guard let entry = entries["stages"] ?? entries["types"], !entry.value.isNull else {
            return [".pre"] + Keywords.predefinedStages + [".post"]
        }
        let named = reader.strings(entry.value, ["stages"], what: "a list of stage names") ?? []
        if named.isEmpty { reader.fail(entry.value.mark, ["stages"], "expected at least one stage") }
        var own: OrderedSet<String> = []
        for stage in named where stage != ".pre" && stage != ".post" { own.append(stage) }
        return [".pre"] + own + [".post"]
    }

    private mutating func workflow(_ node: YAMLNode) -> Workflow {
        let keys: Set = ["name", "rules", "auto_cancel"]
        let entries = reader.mapping(node, ["workflow"], keys: keys) ?? [:]
        reader.warnOfIgnored(["auto_cancel"], in: entries, ["workflow"])
        var workflow = Workflow(name: entries["name"].flatMap { reader.string($0.value, ["workflow", "name"]) })
        if let rules = entries["rules"] {
            workflow.rules = withJobParser(stages) { $0.rules(rules.value, ["workflow", "rules"]) }
        }
        return workflow
    }

    /// What jobs get where they say nothing: `default:` and the old way of writing it at the root.
    private mutating func defaults(
        _ entries: OrderedDictionary<String, YAMLEntry>
    ) -> OrderedDictionary<String, YAMLEntry> {
        var defaults = entries.filter {
            ["image", "services", "cache", "before_script", "after_script"].contains($0.key)
        }
        if let own = entries["default"], !own.value.isNull {
            defaults.merge(reader.mapping(own.value, ["default"], keys: Keywords.inheritable) ?? [:]) { _, own in own }
        }
        return defaults
    }

    // MARK: - Jobs

    private mutating func jobs(
        _ entries: OrderedDictionary<String, YAMLEntry>,
        defaults: OrderedDictionary<String, YAMLEntry>
    ) -> [JobDefinition] {
        var jobs: [JobDefinition] = []
        for (name, entry) in entries where !Keywords.global.contains(name) && !name.hasPrefix(".") {
            guard let job = entry.value.mapping else {
                notAJob(name, entry)
                continue
            }
            if let job = self.job(name, entry, inheriting(defaults, by: job)) { jobs.append(job) }
        }
        return jobs
    }

    private mutating func notAJob(_ name: String, _ entry: YAMLEntry) {
        let hint = Keywords.suggestion(for: name, among: Keywords.global).map {
            "; did you mean the keyword \"\($0)\"?"
        }
        reader.fail(
            entry.keyMark,
            ["jobs", name],
            "expected a mapping with a \"script\", not \(entry.value.typeName)\(hint ?? "")"
        )
    }

    private func inheriting(
        _ defaults: OrderedDictionary<String, YAMLEntry>,
        by job: OrderedDictionary<String, YAMLEntry>
    ) -> OrderedDictionary<String, YAMLEntry> {
        let inherit = job["inherit"]?.value["default"]
        if inherit?.boolean == false { return job }
        let names = inherit?.sequence?.compactMap(\.text)
        return job.merging(defaults.filter { names?.contains($0.key) ?? true }) { own, _ in own }
    }

    private mutating func job(
        _ name: String,
        _ entry: YAMLEntry,
        _ entries: OrderedDictionary<String, YAMLEntry>
    ) -> JobDefinition? {
        let stages = stages
        guard name.utf8.count <= 255 else {
            reader.fail(entry.keyMark, ["jobs", name], "a job's name has at most 255 bytes")
            return nil
        }
        return withJobParser(stages) { $0.job(name, entry.keyMark, entries) }
    }

    private mutating func withJobParser<Value>(_ stages: [String], _ body: (inout JobParser) -> Value) -> Value {
        var parser = JobParser(reader: reader, stages: stages)
        let value = body(&parser)
        reader = parser.reader
        return value
    }
}
