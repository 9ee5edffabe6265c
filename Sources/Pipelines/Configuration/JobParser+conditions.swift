import KubernetesModel

/// When a job runs: `rules`, `only`, `except`, `needs`, `when`, `allow_failure`, `retry`.
extension JobParser {
    mutating func rules(_ node: YAMLNode, _ path: [String]) -> [Rule] {
        guard let nodes = node.sequence else {
            reader.expected("a list of rules", node, path)
            return []
        }
        return reader.flattened(nodes).compactMap { rule($0, path) }
    }

    private mutating func rule(_ node: YAMLNode, _ path: [String]) -> Rule? {
        guard let entries = reader.mapping(node, path, keys: Keywords.rule, what: "a mapping such as \"if: $NAME\"")
        else {
            return nil
        }
        reader.warnOfIgnored(["interruptible"], in: entries, path)
        var rule = Rule(mark: node.mark)
        rule.condition = entries["if"].flatMap { reader.expression($0.value, path + ["if"]) }
        rule.changes = entries["changes"].flatMap {
            paths($0.value, path + ["changes"], keys: ["paths", "compare_to"])
        }
        rule.exists = entries["exists"].flatMap { paths($0.value, path + ["exists"], keys: ["paths"]) }
        rule.when = entries["when"].flatMap { when($0.value, path + ["when"]) }
        rule.allowFailure = entries["allow_failure"].flatMap { allowFailure($0.value, path + ["allow_failure"]) }
        rule.variables = entries["variables"].map { reader.variables($0.value, path + ["variables"]) } ?? [:]
        rule.needs = entries["needs"].flatMap { needs($0.value, path + ["needs"]) }
        return rule
    }

    private mutating func paths(_ node: YAMLNode, _ path: [String], keys: Set<String>) -> [String]? {
        guard node.mapping != nil else { return reader.strings(node, path, what: "a list of paths") }
        let entries = reader.mapping(node, path, keys: keys) ?? [:]
        guard let paths = entries["paths"] else {
            reader.fail(node.mark, path, "expected the key \"paths\"")
            return nil
        }
        reader.warnOfIgnored(["compare_to"], in: entries, path)
        return reader.strings(paths.value, path + ["paths"], what: "a list of paths")
    }

    mutating func filter(_ node: YAMLNode, _ path: [String]) -> RefFilter? {
        guard node.mapping != nil else {
            return RefFilter(refs: refs(node, path))
        }
        let keys: Set = ["refs", "variables", "changes", "kubernetes"]
        let entries = reader.mapping(node, path, keys: keys) ?? [:]
        if let kubernetes = entries["kubernetes"] {
            reader.warn(kubernetes.keyMark, path + ["kubernetes"], "always holds on this platform")
        }
        var filter = RefFilter()
        filter.refs = entries["refs"].flatMap { refs($0.value, path + ["refs"]) }
        filter.changes = entries["changes"].flatMap { reader.strings($0.value, path + ["changes"]) }
        if let variables = entries["variables"]?.value {
            let path = path + ["variables"]
            filter.variables = (variables.sequence ?? [variables]).compactMap { reader.expression($0, path) }
        }
        return filter
    }

    private mutating func refs(_ node: YAMLNode, _ path: [String]) -> [String]? {
        guard let refs = reader.strings(node, path, what: "a list of branches, tags or /patterns/") else { return nil }
        for ref in refs where ref.hasPrefix("/") && (try? RulePattern(ref)) == nil {
            reader.fail(node.mark, path, "\(ref) is not a valid regular expression between slashes")
        }
        return refs
    }

    mutating func needs(_ node: YAMLNode, _ path: [String]) -> [Need]? {
        guard let nodes = node.sequence else {
            reader.expected("a list of job names", node, path)
            return nil
        }
        return reader.flattened(nodes).compactMap { need($0, path) }
    }

    private mutating func need(_ node: YAMLNode, _ path: [String]) -> Need? {
        if let name = node.text { return Need(job: name, line: node.mark.line) }
        let keys: Set = ["job", "artifacts", "optional", "parallel", "pipeline", "project", "ref"]
        let entries = reader.mapping(node, path, keys: keys, what: "a job name or a mapping with \"job\"") ?? [:]
        if let other = entries["pipeline"] ?? entries["project"] {
            reader.fail(other.keyMark, path, "needs from other pipelines or projects are not supported")
            return nil
        }
        guard let name = entries["job"].flatMap({ reader.nonEmptyString($0.value, path + ["job"]) }) else {
            if node.mapping != nil { reader.fail(node.mark, path, "expected the key \"job\"") }
            return nil
        }
        var need = Need(job: name, line: node.mark.line)
        need.wantsArtifacts = entries["artifacts"].flatMap { reader.boolean($0.value, path + ["artifacts"]) } ?? true
        need.isOptional = entries["optional"].flatMap { reader.boolean($0.value, path + ["optional"]) } ?? false
        need.matrix = entries["parallel"]?.value["matrix"].map { matrix($0, path + ["parallel"]) } ?? []
        return need
    }

    mutating func when(_ node: YAMLNode, _ path: [String]) -> When? {
        guard node.text != "delayed" else {
            reader.fail(node.mark, path, "delayed jobs are not supported; use \"when: manual\"")
            return nil
        }
        return reader.word(node, path)
    }

    mutating func allowFailure(_ node: YAMLNode, _ path: [String]) -> AllowFailure? {
        if let allows = node.boolean { return allows ? .yes : .no }
        guard node.mapping != nil else {
            reader.expected("true, false or a mapping with \"exit_codes\"", node, path)
            return nil
        }
        let entries = reader.mapping(node, path, keys: ["exit_codes"]) ?? [:]
        return entries["exit_codes"].map { .exitCodes(exitCodes($0.value, path + ["exit_codes"])) }
    }

    private mutating func exitCodes(_ node: YAMLNode, _ path: [String]) -> [Int] {
        (node.sequence ?? [node]).compactMap { reader.integer($0, path, in: 0...255) }
    }

    mutating func retry(_ node: YAMLNode, _ path: [String]) -> RetryDefinition {
        guard node.mapping != nil else {
            return RetryDefinition(max: reader.integer(node, path, in: 0...2) ?? 0)
        }
        let entries = reader.mapping(node, path, keys: ["max", "when", "exit_codes"]) ?? [:]
        var retry = RetryDefinition()
        retry.max = entries["max"].flatMap { reader.integer($0.value, path + ["max"], in: 0...2) } ?? 0
        retry.when = entries["when"].map { retryReasons($0.value, path + ["when"]) } ?? ["always"]
        retry.exitCodes = entries["exit_codes"].map { exitCodes($0.value, path + ["exit_codes"]) } ?? []
        if entries["exit_codes"] != nil, entries["when"] == nil { retry.when = [] }
        return retry
    }

    private mutating func retryReasons(_ node: YAMLNode, _ path: [String]) -> [String] {
        let known: Set = [
            "always", "unknown_failure", "script_failure", "api_failure", "stuck_or_timeout_failure",
            "runner_system_failure", "runner_unsupported", "stale_schedule", "job_execution_timeout",
            "archived_failure", "unmet_prerequisites", "scheduler_failure", "data_integrity_failure",
            "stuck_pending_with_matching_runners", "stuck_pending_no_matching_runners", "no_updates_running",
            "no_updates_canceling",
        ]
        let reasons = reader.strings(node, path) ?? []
        for reason in reasons where !known.contains(reason) { reader.unknownKeyword(reason, node.mark, path, known) }
        return reasons
    }
}
