import KubernetesModel

/// Reads values of a configuration and notes what is wrong with them, so that one run reports all mistakes.
struct ValueReader {
    private(set) var errors: [ConfigurationError] = []
    private(set) var warnings: [String] = []

    mutating func fail(_ mark: SourceMark, _ path: [String], _ message: String) {
        errors.append(ConfigurationError(mark, path, message))
    }

    mutating func warn(_ mark: SourceMark, _ path: [String], _ message: String) {
        warnings.append(ConfigurationError(mark, path, message).description)
    }

    mutating func expected(_ what: String, _ node: YAMLNode, _ path: [String]) {
        fail(node.mark, path, "expected \(what), not \(node.typeName)")
    }

    mutating func string(_ node: YAMLNode, _ path: [String]) -> String? {
        if let text = node.text { return text }
        expected("a string", node, path)
        return nil
    }

    mutating func nonEmptyString(_ node: YAMLNode, _ path: [String]) -> String? {
        guard let text = string(node, path) else { return nil }
        if text.isEmpty { fail(node.mark, path, "must not be empty") }
        return text
    }

    mutating func boolean(_ node: YAMLNode, _ path: [String]) -> Bool? {
        if let value = node.boolean { return value }
        expected("true or false", node, path)
        return nil
    }

    mutating func integer(_ node: YAMLNode, _ path: [String], in range: ClosedRange<Int>) -> Int? {
        guard let value = node.integer else {
            expected("a whole number", node, path)
            return nil
        }
        guard range.contains(value) else {
            fail(node.mark, path, "\(value) is out of range; expected \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return value
    }

    /// A list of strings; one string stands for a list of one.
    mutating func strings(_ node: YAMLNode, _ path: [String], what: String = "a list of strings") -> [String]? {
        if let text = node.text { return [text] }
        guard let nodes = node.sequence else {
            expected(what, node, path)
            return nil
        }
        var result: [String] = []
        for element in flattened(nodes) {
            if let text = element.text { result.append(text) } else { expected("a string", element, path) }
        }
        return result
    }

    /// One of the words of `Word`.
    mutating func word<Word: RawRepresentable<String> & CaseIterable>(
        _ node: YAMLNode,
        _ path: [String],
        as type: Word.Type = Word.self
    ) -> Word? {
        guard let text = string(node, path) else { return nil }
        if let word = Word(rawValue: text) { return word }
        let words = Word.allCases.map(\.rawValue)
        let hint = Keywords.suggestion(for: text, among: words).map { "; did you mean \"\($0)\"?" } ?? ""
        fail(node.mark, path, "unknown value \"\(text)\"; expected one of \(words.joined(separator: ", "))\(hint)")
        return nil
    }

    mutating func mapping(
        _ node: YAMLNode,
        _ path: [String],
        keys: Set<String>? = nil,
        what: String = "a mapping"
    ) -> OrderedDictionary<String, YAMLEntry>? {
        guard let entries = node.mapping else {
            expected(what, node, path)
            return nil
        }
        if let keys {
            for (key, entry) in entries where !keys.contains(key) { unknownKeyword(key, entry.keyMark, path, keys) }
        }
        return entries.filter { !$0.value.value.isNull }
    }

    /// Says of each of `keywords` that is given that nothing comes of it here.
    mutating func warnOfIgnored(
        _ keywords: Set<String>,
        in entries: OrderedDictionary<String, YAMLEntry>,
        _ path: [String]
    ) {
        for (key, entry) in entries where keywords.contains(key) {
            warn(entry.keyMark, path + [key], "\"\(key)\" has no effect on this platform")
        }
    }

    mutating func unknownKeyword(_ key: String, _ mark: SourceMark, _ path: [String], _ known: Set<String>) {
        let hint: String
        if let suggestion = Keywords.suggestion(for: key, among: known) {
            hint = "did you mean \"\(suggestion)\"?"
        } else {
            hint = "expected one of \(known.sorted().joined(separator: ", "))"
        }
        fail(mark, path + [key], "unknown keyword \"\(key)\"; \(hint)")
    }

    mutating func timeSpan(_ node: YAMLNode, _ path: [String]) -> Int? {
        guard let text = string(node, path) else { return nil }
        if let seconds = TimeSpan.seconds(text) { return seconds }
        fail(node.mark, path, "\"\(text)\" is no span of time; expected something like \"1h 30m\" or \"3 days\"")
        return nil
    }

    mutating func expression(_ node: YAMLNode, _ path: [String]) -> RuleExpression? {
        guard let text = string(node, path) else { return nil }
        do {
            return try RuleExpression(parsing: text)
        } catch {
            fail(node.mark, path, "invalid condition `\(text)`: \(error)")
            return nil
        }
    }

    mutating func variables(_ node: YAMLNode, _ path: [String]) -> OrderedDictionary<String, VariableDefinition> {
        var result: OrderedDictionary<String, VariableDefinition> = [:]
        for (name, entry) in mapping(node, path, what: "a mapping of names to values") ?? [:] {
            guard name.isVariableName else {
                fail(entry.keyMark, path + [name], "a variable's name has only letters, digits and underscores")
                continue
            }
            result[name] = variable(entry.value, path + [name])
        }
        return result
    }

    private mutating func variable(_ node: YAMLNode, _ path: [String]) -> VariableDefinition? {
        if let text = node.text { return VariableDefinition(text) }
        let keys: Set = ["value", "description", "options", "expand"]
        guard let entries = mapping(node, path, keys: keys, what: "a string or a mapping with \"value\"") else {
            return nil
        }
        warnOfIgnored(["options"], in: entries, path)
        return VariableDefinition(
            entries["value"].flatMap { string($0.value, path + ["value"]) } ?? "",
            description: entries["description"]?.value.text,
            isExpanded: entries["expand"].flatMap { boolean($0.value, path + ["expand"]) } ?? true
        )
    }

    /// The nodes with lists inside lists opened, as scripts and `!reference` make them.
    func flattened(_ nodes: [YAMLNode]) -> [YAMLNode] {
        nodes.flatMap { node in node.sequence.map(flattened) ?? [node] }
    }
}
