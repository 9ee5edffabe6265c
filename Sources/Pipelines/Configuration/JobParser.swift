import KubernetesModel

/// Reads one job whose `extends`, references and defaults are already filled in.
struct JobParser {
    var reader: ValueReader
    let stages: [String]

    mutating func job(
        _ name: String,
        _ mark: SourceMark,
        _ entries: OrderedDictionary<String, YAMLEntry>
    ) -> JobDefinition {
        let path = ["jobs", name]
        checkKeywords(entries, path)
        var job = JobDefinition(name: name, mark: mark, stage: "test")
        for (key, entry) in entries where !entry.value.isNull { read(key, entry.value, path + [key], into: &job) }
        if entries["script"].map(\.value.isNull) ?? true, entries["trigger"] == nil, entries["run"] == nil {
            reader.fail(mark, path, "a job needs a \"script\"")
        }
        if !stages.contains(job.stage) { unknownStage(job, entries, path) }
        checkCombinations(job, entries, path)
        return job
    }

    private mutating func checkKeywords(_ entries: OrderedDictionary<String, YAMLEntry>, _ path: [String]) {
        for (key, entry) in entries where !Keywords.job.contains(key) {
            reader.unknownKeyword(key, entry.keyMark, path, Keywords.job)
        }
        reader.warnOfIgnored(Keywords.ignored, in: entries, path)
    }

    private mutating func unknownStage(
        _ job: JobDefinition,
        _ entries: OrderedDictionary<String, YAMLEntry>,
        _ path: [String]
    ) {
        let hint = Keywords.suggestion(for: job.stage, among: stages).map { "; did you mean \"\($0)\"?" } ?? ""
        reader.fail(
            (entries["stage"] ?? entries["type"])?.value.mark ?? job.mark,
            path + ["stage"],
            "there is no stage \"\(job.stage)\"; the stages are \(stages.joined(separator: ", "))\(hint)"
        )
    }

    private mutating func checkCombinations(
        _ job: JobDefinition,
        _ entries: OrderedDictionary<String, YAMLEntry>,
        _ path: [String]
    ) {
        if job.rules != nil, let other = entries["only"] ?? entries["except"] {
            reader.fail(
                other.keyMark,
                path,
                "\"rules\" cannot be used together with \"only\" or \"except\"; keep \"rules\""
            )
        }
    }

    private mutating func read(_ key: String, _ node: YAMLNode, _ path: [String], into job: inout JobDefinition) {
        switch key {
        case "stage", "type": job.stage = reader.string(node, path) ?? job.stage
        case "image": job.image = image(node, path)
        case "services": job.services = services(node, path)
        case "before_script": job.beforeScript = script(node, path)
        case "script": job.script = mainScript(node, path)
        case "after_script": job.afterScript = script(node, path)
        case "variables": job.variables = reader.variables(node, path)
        case "inherit": job.inheritedVariables = inheritedVariables(node, path)
        case "rules": job.rules = rules(node, path)
        case "only": job.only = filter(node, path)
        case "except": job.except = filter(node, path)
        case "needs": job.needs = needs(node, path)
        case "dependencies": job.dependencies = reader.strings(node, path, what: "a list of job names")
        default: readSettings(key, node, path, into: &job)
        }
    }

    private mutating func readSettings(_ key: String, _ node: YAMLNode, _ path: [String], into job: inout JobDefinition)
    {
        switch key {
        case "artifacts": job.artifacts = artifacts(node, path)
        case "cache": job.caches = caches(node, path)
        case "environment": job.environment = environment(node, path)
        case "when": job.when = when(node, path)
        case "allow_failure": job.allowFailure = allowFailure(node, path)
        case "retry": job.retry = retry(node, path)
        case "timeout": job.timeout = reader.timeSpan(node, path)
        case "interruptible": job.isInterruptible = reader.boolean(node, path) ?? false
        case "tags": job.tags = reader.strings(node, path) ?? []
        case "parallel": job.parallel = parallel(node, path)
        case "resource_group": job.resourceGroup = reader.nonEmptyString(node, path)
        case "coverage": job.coverage = coverage(node, path)
        case "trigger", "run", "start_in": refuse(key, node, path)
        default: break
        }
    }

    private mutating func refuse(_ key: String, _ node: YAMLNode, _ path: [String]) {
        let instead =
            switch key {
            case "trigger": "downstream pipelines are not supported; run the work as a job with a \"script\""
            case "run": "steps are not supported; write the commands in \"script\""
            default: "delayed jobs are not supported; use \"when: manual\""
            }
        reader.fail(node.mark, path, instead)
    }

    // MARK: - Scripts and images

    private mutating func mainScript(_ node: YAMLNode, _ path: [String]) -> [String] {
        let lines = script(node, path)
        if lines.isEmpty, node.sequence?.isEmpty == true { reader.fail(node.mark, path, "must not be empty") }
        return lines
    }

    private mutating func script(_ node: YAMLNode, _ path: [String]) -> [String] {
        if let text = node.text { return [text] }
        guard let nodes = node.sequence else {
            reader.expected("a command or a list of commands", node, path)
            return []
        }
        var lines: [String] = []
        for element in reader.flattened(nodes) {
            if let text = element.text {
                lines.append(text)
            } else if let key = element.mapping?.keys.first {
                reader.fail(
                    element.mark,
                    path,
                    "the command is read as a mapping because of the \": \" after \"\(key)\"; put quotes around it"
                )
            } else if !element.isNull {
                reader.expected("a command", element, path)
            }
        }
        return lines
    }

    private mutating func image(_ node: YAMLNode, _ path: [String]) -> ImageDefinition? {
        if node.text != nil { return reader.nonEmptyString(node, path).map { ImageDefinition(name: $0) } }
        let keys: Set = ["name", "entrypoint", "pull_policy", "docker", "kubernetes"]
        guard let entries = reader.mapping(node, path, keys: keys, what: "an image or a mapping with \"name\"") else {
            return nil
        }
        guard let name = entries["name"] else {
            reader.fail(node.mark, path, "an image needs a \"name\"")
            return nil
        }
        reader.warnOfIgnored(["docker", "kubernetes"], in: entries, path)
        return ImageDefinition(
            name: reader.nonEmptyString(name.value, path + ["name"]) ?? "",
            entrypoint: entries["entrypoint"].flatMap { reader.strings($0.value, path + ["entrypoint"]) },
            pullPolicy: entries["pull_policy"].flatMap { pullPolicy($0.value, path + ["pull_policy"]) }
        )
    }

    private mutating func pullPolicy(_ node: YAMLNode, _ path: [String]) -> String? {
        guard let policy = reader.strings(node, path)?.first else { return nil }
        if ["always", "if-not-present", "never"].contains(policy) { return policy }
        reader.fail(node.mark, path, "unknown value \"\(policy)\"; expected always, if-not-present or never")
        return nil
    }

    private mutating func services(_ node: YAMLNode, _ path: [String]) -> [ServiceDefinition] {
        guard let nodes = node.sequence else {
            reader.expected("a list of images", node, path)
            return []
        }
        return nodes.compactMap { service($0, path) }
    }

    private mutating func service(_ node: YAMLNode, _ path: [String]) -> ServiceDefinition? {
        if let text = node.text { return ServiceDefinition(name: text) }
        let keys: Set = ["name", "alias", "entrypoint", "command", "variables", "pull_policy", "docker", "kubernetes"]
        let entries = reader.mapping(node, path, keys: keys, what: "an image or a mapping with \"name\"") ?? [:]
        guard let name = entries["name"].flatMap({ reader.nonEmptyString($0.value, path + ["name"]) }) else {
            if node.mapping != nil { reader.fail(node.mark, path, "a service needs a \"name\"") }
            return nil
        }
        reader.warnOfIgnored(["pull_policy", "docker", "kubernetes"], in: entries, path)
        let variables = entries["variables"].map { reader.variables($0.value, path + ["variables"]) } ?? [:]
        return ServiceDefinition(
            name: name,
            alias: entries["alias"]?.value.text,
            entrypoint: entries["entrypoint"].flatMap { reader.strings($0.value, path + ["entrypoint"]) },
            command: entries["command"].flatMap { reader.strings($0.value, path + ["command"]) },
            variables: Dictionary(uniqueKeysWithValues: variables.map { ($0.key, $0.value.value) })
        )
    }

    /// The names that `inherit:variables` lets through; `nil` for all.
    private mutating func inheritedVariables(_ node: YAMLNode, _ path: [String]) -> [String]? {
        let entries = reader.mapping(node, path, keys: ["default", "variables"]) ?? [:]
        guard let variables = entries["variables"]?.value else { return nil }
        if let isInherited = variables.boolean { return isInherited ? nil : [] }
        return reader.strings(variables, path + ["variables"], what: "true, false or a list of names")
    }
}
