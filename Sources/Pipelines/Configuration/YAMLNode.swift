import KubernetesModel
import Yams

/// A YAML value that knows the line it was written on.
///
/// Aliases and merge keys are resolved; GitLab's `!reference` tags are kept for ``ConfigurationAssembly``.
struct YAMLNode: Hashable, Sendable {
    enum Content: Hashable, Sendable {
        case null
        /// Numbers, booleans and dates stay as they were written; only an unquoted one may count as such.
        case scalar(String, isPlain: Bool)
        case sequence([YAMLNode])
        case mapping(OrderedDictionary<String, YAMLEntry>)
        case reference([String])
    }

    var content: Content
    var mark: SourceMark
}

struct YAMLEntry: Hashable, Sendable {
    var keyMark: SourceMark
    var value: YAMLNode
}

extension YAMLNode {
    var isNull: Bool { content == .null }

    var mapping: OrderedDictionary<String, YAMLEntry>? {
        if case .mapping(let entries) = content { entries } else { nil }
    }

    var sequence: [YAMLNode]? {
        if case .sequence(let nodes) = content { nodes } else { nil }
    }

    /// The text of a scalar of any type.
    var text: String? {
        if case .scalar(let text, _) = content { text } else { nil }
    }

    var integer: Int? {
        if case .scalar(let text, isPlain: true) = content { Int(text) } else { nil }
    }

    var boolean: Bool? {
        guard case .scalar(let text, isPlain: true) = content else { return nil }
        return switch text.lowercased() {
        case "true", "yes", "on": true
        case "false", "no", "off": false
        default: nil
        }
    }

    subscript(key: String) -> YAMLNode? { mapping?[key]?.value }

    /// What the value is, for error messages.
    var typeName: String {
        switch content {
        case .null: "nothing"
        case .scalar where boolean != nil: "a boolean"
        case .scalar where integer != nil: "a number"
        case .scalar: "a string"
        case .sequence: "a list"
        case .mapping: "a mapping"
        case .reference: "a !reference"
        }
    }

    /// This mapping with that of `other` laid over it: mappings merge, everything else is replaced.
    func merging(_ other: YAMLNode) -> YAMLNode {
        guard var entries = mapping, let others = other.mapping else { return other }
        for (key, entry) in others {
            if let existing = entries[key] {
                entries[key] = YAMLEntry(keyMark: entry.keyMark, value: existing.value.merging(entry.value))
            } else {
                entries[key] = entry
            }
        }
        return YAMLNode(content: .mapping(entries), mark: other.mark)
    }
}

/// Reads one YAML file, bounded in size, depth and number of values after aliases are written out.
struct YAMLReader {
    static let maximumBytes = 1 << 20
    static let maximumNodes = 200_000
    static let maximumDepth = 100

    private let file: String
    private var count = 0

    /// The document of `text`, or `nil` when it is empty.
    static func read(_ text: String, file: String) throws(ConfigurationError) -> YAMLNode? {
        var reader = YAMLReader(file: file)
        guard text.utf8.count <= maximumBytes else {
            throw reader.failure(0, "the file has \(text.utf8.count) bytes; at most \(maximumBytes) are allowed")
        }
        guard let root = try reader.compose(text) else { return nil }
        return try reader.convert(root, depth: 0)
    }

    private init(file: String) {
        self.file = file
    }

    private func failure(_ line: Int, _ message: String) -> ConfigurationError {
        ConfigurationError(SourceMark(file: file, line: line), [], message)
    }

    private func compose(_ text: String) throws(ConfigurationError) -> Node? {
        do {
            var documents = try Yams.compose_all(yaml: text).makeIterator()
            let first = documents.next()
            if let error = documents.error { throw error }
            // A configuration may open with a `spec:` header document; the pipeline is the last one.
            guard let first, first["spec"] != nil, first.mapping?.count == 1 else { return first }
            let second = documents.next()
            if let error = documents.error { throw error }
            return second
        } catch let error as YamlError {
            throw describe(error)
        } catch {
            throw failure(0, "\(error)")
        }
    }

    private func describe(_ error: YamlError) -> ConfigurationError {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let while_ = context.map { " (\($0.text.trimmed) from line \($0.mark.line))" } ?? ""
            return failure(mark.line, "this is not valid YAML: \(problem)\(while_)")
        case .duplicatedKeysInMapping(let keys, let context):
            return failure(context.mark.line, "the key \"\(keys.first ?? "")\" appears twice in one mapping; keep one")
        case .reader(let problem, _, _, _):
            return failure(0, "this is not valid YAML: \(problem)")
        default:
            return failure(0, "this is not valid YAML")
        }
    }

    // MARK: - Conversion

    private mutating func convert(_ node: Node, depth: Int) throws(ConfigurationError) -> YAMLNode {
        let line = node.mark?.line ?? 0
        count += 1
        guard count <= Self.maximumNodes else {
            throw failure(line, "aliases make this file larger than \(Self.maximumNodes) values")
        }
        guard depth <= Self.maximumDepth else { throw failure(line, "nested deeper than \(Self.maximumDepth) levels") }
        return YAMLNode(content: try content(of: node, line, depth), mark: SourceMark(file: file, line: line))
    }

    private mutating func content(
        of node: Node,
        _ line: Int,
        _ depth: Int
    ) throws(ConfigurationError)
        -> YAMLNode.Content
    {
        switch node {
        case .scalar(let scalar):
            let isPlain = scalar.style == .plain || scalar.style == .any
            return isPlain && ["", "~", "null", "Null", "NULL"].contains(scalar.string)
                ? .null : .scalar(scalar.string, isPlain: isPlain)
        case .sequence(let sequence):
            var nodes: [YAMLNode] = []
            for element in sequence { nodes.append(try convert(element, depth: depth + 1)) }
            guard sequence.tag.description == "!reference" else { return .sequence(nodes) }
            return try reference(nodes, line)
        case .mapping(let mapping):
            return .mapping(try entries(of: mapping, depth))
        case .alias:
            throw failure(line, "an alias without an anchor")
        }
    }

    private func reference(_ nodes: [YAMLNode], _ line: Int) throws(ConfigurationError) -> YAMLNode.Content {
        let keys = nodes.compactMap(\.text)
        guard !keys.isEmpty, keys.count == nodes.count else {
            throw failure(line, "!reference needs a list of keys, such as !reference [.setup, script]")
        }
        return .reference(keys)
    }

    private mutating func entries(
        of mapping: Node.Mapping,
        _ depth: Int
    ) throws(ConfigurationError)
        -> OrderedDictionary<String, YAMLEntry>
    {
        var merged: OrderedDictionary<String, YAMLEntry> = [:]
        var own: OrderedDictionary<String, YAMLEntry> = [:]
        for (key, value) in mapping {
            let line = key.mark?.line ?? 0
            guard case .scalar(let name) = key else { throw failure(line, "a key must be a string") }
            let node = try convert(value, depth: depth + 1)
            if name.string == "<<", name.style == .plain {
                for (key, entry) in try mergedEntries(node) where merged[key] == nil { merged[key] = entry }
            } else {
                own[name.string] = YAMLEntry(keyMark: SourceMark(file: file, line: line), value: node)
            }
        }
        return merged.merging(own) { _, own in own }
    }

    private func mergedEntries(_ node: YAMLNode) throws(ConfigurationError) -> OrderedDictionary<String, YAMLEntry> {
        if let entries = node.mapping { return entries }
        var result: OrderedDictionary<String, YAMLEntry> = [:]
        for element in node.sequence ?? [] {
            guard let entries = element.mapping else { break }
            result.merge(entries) { first, _ in first }
        }
        guard let elements = node.sequence, elements.allSatisfy({ $0.mapping != nil }) else {
            throw failure(node.mark.line, "<<: takes a mapping or a list of mappings, not \(node.typeName)")
        }
        return result
    }
}

extension String {
    var trimmed: String {
        let isSpace: (Character) -> Bool = { $0.isWhitespace }
        return String(drop(while: isSpace).reversed().drop(while: isSpace).reversed())
    }
}
