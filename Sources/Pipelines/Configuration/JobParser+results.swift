import KubernetesModel

/// What a job leaves behind and shares: `artifacts`, `cache`, `environment`, `parallel`, `coverage`.
extension JobParser {
    mutating func artifacts(_ node: YAMLNode, _ path: [String]) -> ArtifactsDefinition? {
        let keys: Set = [
            "paths", "exclude", "untracked", "name", "when", "expire_in", "reports", "expose_as", "public", "access",
        ]
        guard let entries = reader.mapping(node, path, keys: keys) else { return nil }
        reader.warnOfIgnored(["public", "access", "expose_as"], in: entries, path)
        var artifacts = ArtifactsDefinition()
        artifacts.paths = entries["paths"].flatMap { filePatterns($0.value, path + ["paths"]) } ?? []
        artifacts.exclude = entries["exclude"].flatMap { reader.strings($0.value, path + ["exclude"]) } ?? []
        artifacts.includesUntracked =
            entries["untracked"].flatMap { reader.boolean($0.value, path + ["untracked"]) } ?? false
        artifacts.name = entries["name"].flatMap { reader.string($0.value, path + ["name"]) }
        artifacts.when = entries["when"].flatMap { reader.word($0.value, path + ["when"]) } ?? .onSuccess
        artifacts.expireIn = entries["expire_in"].flatMap { expiry($0.value, path + ["expire_in"]) }
        if let reports = entries["reports"] {
            reader.warn(reports.keyMark, path + ["reports"], "reports are kept as plain files, not evaluated")
            artifacts.paths += reportPaths(reports.value)
        }
        return artifacts.paths.isEmpty && !artifacts.includesUntracked ? nil : artifacts
    }

    /// Patterns of files in the project's folder; what is outside of it cannot be kept.
    private mutating func filePatterns(_ node: YAMLNode, _ path: [String]) -> [String]? {
        for element in reader.flattened(node.sequence ?? [node]) {
            guard let text = element.text, text.split(separator: "/").contains("..") else { continue }
            reader.fail(element.mark, path, "\"\(text)\" leaves the project's folder; expected a path inside of it")
        }
        return reader.strings(node, path)
    }

    private mutating func expiry(_ node: YAMLNode, _ path: [String]) -> Int? {
        node.text == "never" ? 0 : reader.timeSpan(node, path)
    }

    private func reportPaths(_ node: YAMLNode) -> [String] {
        (node.mapping ?? [:]).values.flatMap { entry -> [String] in
            let value = entry.value["path"] ?? entry.value
            return value.text.map { [$0] } ?? value.sequence?.compactMap(\.text) ?? []
        }
    }

    mutating func caches(_ node: YAMLNode, _ path: [String]) -> [CacheDefinition] {
        (node.sequence ?? [node]).compactMap { cache($0, path) }
    }

    private mutating func cache(_ node: YAMLNode, _ path: [String]) -> CacheDefinition? {
        let keys: Set = ["key", "paths", "policy", "untracked", "when", "unprotect", "fallback_keys"]
        guard let entries = reader.mapping(node, path, keys: keys) else { return nil }
        reader.warnOfIgnored(["untracked", "fallback_keys", "unprotect"], in: entries, path)
        var cache = CacheDefinition()
        cache.key = entries["key"].flatMap { cacheKey($0.value, path + ["key"]) } ?? "default"
        cache.paths = entries["paths"].flatMap { filePatterns($0.value, path + ["paths"]) } ?? []
        if let policy = entries["policy"]?.value, policy.text?.contains("$") != true {
            cache.policy = reader.word(policy, path + ["policy"]) ?? .pullPush
        }
        cache.when = entries["when"].flatMap { reader.word($0.value, path + ["when"]) } ?? .onSuccess
        return cache.paths.isEmpty ? nil : cache
    }

    /// Keys by the contents of files keep the files' names: any commit of the same files shares the cache.
    private mutating func cacheKey(_ node: YAMLNode, _ path: [String]) -> String? {
        guard node.mapping != nil else { return reader.nonEmptyString(node, path) }
        let entries = reader.mapping(node, path, keys: ["files", "files_commits", "prefix"]) ?? [:]
        let files = (entries["files"] ?? entries["files_commits"]).flatMap {
            reader.strings($0.value, path + ["files"])
        }
        let prefix = entries["prefix"].flatMap { reader.string($0.value, path + ["prefix"]) }
        return ([prefix].compactMap { $0 } + (files ?? [])).joined(separator: "-")
    }

    mutating func environment(_ node: YAMLNode, _ path: [String]) -> EnvironmentDefinition? {
        if node.text != nil { return reader.nonEmptyString(node, path).map { EnvironmentDefinition(name: $0) } }
        let keys: Set = ["name", "url", "action", "on_stop", "auto_stop_in", "kubernetes", "deployment_tier"]
        let what = "an environment's name or a mapping with \"name\""
        guard let entries = reader.mapping(node, path, keys: keys, what: what) else { return nil }
        guard let name = entries["name"].flatMap({ reader.nonEmptyString($0.value, path + ["name"]) }) else {
            reader.fail(node.mark, path, "an environment needs a \"name\"")
            return nil
        }
        reader.warnOfIgnored(["auto_stop_in", "kubernetes"], in: entries, path)
        return EnvironmentDefinition(
            name: name,
            url: entries["url"].flatMap { reader.string($0.value, path + ["url"]) },
            action: entries["action"].flatMap { reader.word($0.value, path + ["action"]) } ?? .start,
            onStop: entries["on_stop"].flatMap { reader.string($0.value, path + ["on_stop"]) },
            tier: entries["deployment_tier"].flatMap {
                reader.word($0.value, path + ["deployment_tier"], as: EnvironmentTier.self)?.rawValue
            }
        )
    }

    mutating func parallel(_ node: YAMLNode, _ path: [String]) -> Parallel? {
        if node.text != nil { return reader.integer(node, path, in: 1...200).map { .count($0) } }
        let what = "a number or a mapping with \"matrix\""
        guard let entries = reader.mapping(node, path, keys: ["matrix"], what: what) else { return nil }
        guard let matrix = entries["matrix"]?.value else {
            reader.fail(node.mark, path, "expected the key \"matrix\"")
            return nil
        }
        return .matrix(orderedMatrix(matrix, path + ["matrix"]))
    }

    /// The combinations that a `needs:parallel:matrix` names.
    mutating func matrix(_ node: YAMLNode, _ path: [String]) -> [[String: [String]]] {
        orderedMatrix(node, path).map { Dictionary(uniqueKeysWithValues: $0.map { ($0.key, $0.value) }) }
    }

    private mutating func orderedMatrix(_ node: YAMLNode, _ path: [String]) -> [OrderedDictionary<String, [String]>] {
        guard let nodes = node.sequence, !nodes.isEmpty else {
            reader.expected("a list of mappings from variables to values", node, path)
            return []
        }
        var result: [OrderedDictionary<String, [String]>] = []
        for element in nodes {
            var combination: OrderedDictionary<String, [String]> = [:]
            for (name, entry) in reader.mapping(element, path) ?? [:] {
                combination[name] = reader.strings(entry.value, path + [name])
            }
            result.append(combination)
        }
        return result
    }

    mutating func coverage(_ node: YAMLNode, _ path: [String]) -> String? {
        guard let text = reader.string(node, path) else { return nil }
        if (try? RulePattern(text)) != nil { return text }
        reader.fail(node.mark, path, "expected a regular expression between slashes, such as /\\d+%/")
        return nil
    }
}
