import KubernetesModel

/// The files of a commit, as far as a configuration asks for them.
package protocol SourceTree: Sendable {
    /// The bytes of a file, or `nil` when there is none at `path` (relative to the repository's root).
    func read(_ path: String) async throws -> [UInt8]?
    /// All files, for wildcards and `exists`.
    func paths() async throws -> [String]
}

/// Puts a configuration's one mapping together: included files below the including one, `extends` merged, `!reference` filled in.
struct ConfigurationAssembly {
    static let maximumFiles = 150
    static let maximumDepth = 10

    private let tree: any SourceTree
    private var filesRead = 0

    init(tree: any SourceTree) {
        self.tree = tree
    }

    /// - Throws: ``ConfigurationError`` or what `tree` throws.
    static func assemble(_ file: String, from tree: any SourceTree) async throws -> YAMLNode {
        var assembly = ConfigurationAssembly(tree: tree)
        let whole = try await assembly.load(file, from: nil, depth: 0)
        return try finish(whole)
    }

    /// Resolves what needs no other file.
    static func finish(_ root: YAMLNode) throws(ConfigurationError) -> YAMLNode {
        let extended = try Extension(root: root).resolved()
        return try References(root: extended).resolved()
    }

    private mutating func load(_ file: String, from mark: SourceMark?, depth: Int) async throws -> YAMLNode {
        filesRead += 1
        let mark = mark ?? SourceMark(file: file, line: 0)
        guard filesRead <= Self.maximumFiles, depth <= Self.maximumDepth else {
            throw ConfigurationError(
                mark,
                ["include"],
                "more than \(Self.maximumFiles) files or \(Self.maximumDepth) levels"
            )
        }
        guard let bytes = try await tree.read(file) else {
            throw ConfigurationError(mark, ["include"], "the file \"\(file)\" does not exist in this commit")
        }
        let text = String(decoding: bytes, as: UTF8.self)
        guard let root = try YAMLReader.read(text, file: file) else {
            return YAMLNode(content: .mapping([:]), mark: SourceMark(file: file, line: 0))
        }
        guard root.mapping != nil else {
            throw ConfigurationError(root.mark, [], "expected a mapping of jobs and keywords, not \(root.typeName)")
        }
        return try await withIncludes(root, depth: depth)
    }

    private mutating func withIncludes(_ root: YAMLNode, depth: Int) async throws -> YAMLNode {
        guard let include = root["include"], !include.isNull, var entries = root.mapping else { return root }
        entries["include"] = nil
        var result: YAMLNode?
        for item in include.sequence ?? [include] {
            for path in try await includedPaths(item) {
                let included = try await load(path, from: item.mark, depth: depth + 1)
                result = result?.merging(included) ?? included
            }
        }
        let own = YAMLNode(content: .mapping(entries), mark: root.mark)
        return result?.merging(own) ?? own
    }

    private func includedPaths(_ item: YAMLNode) async throws -> [String] {
        let pattern = try Self.localPath(item)
        guard pattern.contains("*") else { return [pattern] }
        let glob = GlobPattern(pattern)
        return try await tree.paths().filter { glob.matches($0) }.sorted()
    }

    private static func localPath(_ item: YAMLNode) throws(ConfigurationError) -> String {
        let hint = "only files of the same repository can be included: - local: path/to/file.yml"
        if let text = item.text {
            guard !text.contains("://") else {
                throw ConfigurationError(item.mark, ["include"], "remote files are not supported; \(hint)")
            }
            return text.withoutLeadingSlash
        }
        guard let entries = item.mapping else {
            throw ConfigurationError(
                item.mark,
                ["include"],
                "expected a path or a mapping, not \(item.typeName); \(hint)"
            )
        }
        for (key, entry) in entries where key != "local" {
            throw ConfigurationError(entry.keyMark, ["include", key], "include:\(key) is not supported; \(hint)")
        }
        guard let path = entries["local"]?.value.text else {
            throw ConfigurationError(item.mark, ["include"], "expected the key \"local\"; \(hint)")
        }
        return path.withoutLeadingSlash
    }
}

// MARK: - extends

/// Merges every job over the ones that it extends.
private struct Extension {
    static let maximumDepth = 11
    let root: YAMLNode

    func resolved() throws(ConfigurationError) -> YAMLNode {
        guard var entries = root.mapping else { return root }
        for (name, entry) in entries where entry.value["extends"] != nil {
            entries[name]?.value = try resolve(name, entry.value, chain: [name])
        }
        return YAMLNode(content: .mapping(entries), mark: root.mark)
    }

    private func resolve(_ name: String, _ job: YAMLNode, chain: [String]) throws(ConfigurationError) -> YAMLNode {
        guard let extends = job["extends"], var own = job.mapping else { return job }
        let path = ["jobs", name, "extends"]
        guard chain.count <= Self.maximumDepth else {
            throw ConfigurationError(extends.mark, path, "nested deeper than \(Self.maximumDepth) levels")
        }
        own["extends"] = nil
        var base: YAMLNode?
        for parent in try parents(extends, path) {
            guard !chain.contains(parent) else {
                let cycle = (chain + [parent]).joined(separator: " -> ")
                throw ConfigurationError(extends.mark, path, "circular: \(cycle)")
            }
            guard let definition = root[parent] else {
                throw ConfigurationError(extends.mark, path, "there is no job \"\(parent)\"")
            }
            guard definition.mapping != nil else {
                throw ConfigurationError(extends.mark, path, "\"\(parent)\" is \(definition.typeName), not a job")
            }
            let whole = try resolve(parent, definition, chain: chain + [parent])
            base = base?.merging(whole) ?? whole
        }
        let job = YAMLNode(content: .mapping(own), mark: job.mark)
        return base?.merging(job) ?? job
    }

    private func parents(_ extends: YAMLNode, _ path: [String]) throws(ConfigurationError) -> [String] {
        let names = (extends.sequence ?? [extends]).compactMap(\.text)
        guard !names.isEmpty, names.count == (extends.sequence?.count ?? 1) else {
            throw ConfigurationError(
                extends.mark,
                path,
                "expected a job name or a list of them, not \(extends.typeName)"
            )
        }
        return names
    }
}

// MARK: - !reference

private struct References {
    static let maximumDepth = 10
    let root: YAMLNode

    func resolved() throws(ConfigurationError) -> YAMLNode { try resolve(root, chain: []) }

    private func resolve(_ node: YAMLNode, chain: [[String]]) throws(ConfigurationError) -> YAMLNode {
        switch node.content {
        case .null, .scalar:
            return node
        case .sequence(let nodes):
            var resolved: [YAMLNode] = []
            for node in nodes { resolved.append(try resolve(node, chain: chain)) }
            return YAMLNode(content: .sequence(resolved), mark: node.mark)
        case .mapping(var entries):
            for (key, entry) in entries { entries[key]?.value = try resolve(entry.value, chain: chain) }
            return YAMLNode(content: .mapping(entries), mark: node.mark)
        case .reference(let keys):
            return try target(keys, node.mark, chain)
        }
    }

    private func target(
        _ keys: [String],
        _ mark: SourceMark,
        _ chain: [[String]]
    ) throws(ConfigurationError) -> YAMLNode {
        let written = "!reference [\(keys.joined(separator: ", "))]"
        guard !chain.contains(keys), chain.count < Self.maximumDepth else {
            throw ConfigurationError(
                mark,
                keys,
                "\(written) refers to itself or is nested deeper than \(Self.maximumDepth)"
            )
        }
        var node = root
        for key in keys {
            guard let next = node[key] else {
                throw ConfigurationError(mark, keys, "\(written): there is no \"\(key)\"")
            }
            node = next
        }
        return try resolve(node, chain: chain + [keys])
    }
}

extension String {
    var withoutLeadingSlash: String { hasPrefix("./") ? String(dropFirst(2)) : String(drop { $0 == "/" }) }
}
