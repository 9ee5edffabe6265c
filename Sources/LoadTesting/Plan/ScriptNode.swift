import Yams

/// A value of a load script, which knows where it stands, so that every complaint can name file, line and field.
struct ScriptNode {
    let file: String
    /// Such as `classes[1].rate`; empty for the whole script.
    let path: String
    private let node: Node

    init(file: String, text: String) throws {
        self.file = file
        path = ""
        do {
            guard let node = try Yams.compose(yaml: text) else { throw LoadError("\(file): the script is empty") }
            self.node = node
        } catch let error as YamlError {
            throw LoadError("\(file): \(error)")
        }
    }

    private init(file: String, path: String, node: Node) {
        (self.file, self.path, self.node) = (file, path, node)
    }

    func error(_ reason: String) -> LoadError {
        let line = node.mark.map { ":\($0.line)" } ?? ""
        return LoadError("\(file)\(line): \(path.isEmpty ? "" : "\(path): ")\(reason)")
    }

    // MARK: - Mappings

    /// The fields of a mapping that has no others than those named.
    func fields(_ known: Set<String>) throws -> [String: ScriptNode] {
        var fields: [String: ScriptNode] = [:]
        for (name, value) in try pairs() {
            guard known.contains(name) else {
                throw value.error("there is no such field here; there are \(known.sorted().joined(separator: ", "))")
            }
            fields[name] = value
        }
        return fields
    }

    /// The fields in their order, each at most once.
    func pairs() throws -> [(String, ScriptNode)] {
        guard case .mapping(let mapping) = node else { throw error("must be a mapping of names to values") }
        var seen: Set<String> = []
        return try mapping.map { key, value in
            guard case .scalar(let name) = key else { throw error("has a name that is no text") }
            let child = ScriptNode(file: file, path: path.isEmpty ? name.string : "\(path).\(name.string)", node: value)
            guard seen.insert(name.string).inserted else { throw child.error("stands here twice") }
            return (name.string, child)
        }
    }

    // MARK: - Sequences

    func items(atMost bound: Int) throws -> [ScriptNode] {
        guard case .sequence(let sequence) = node else { throw error("must be a list") }
        guard !sequence.isEmpty else { throw error("must not be empty") }
        guard sequence.count <= bound else {
            throw error("has \(sequence.count) entries; at most \(bound) are allowed")
        }
        return sequence.enumerated().map { ScriptNode(file: file, path: "\(path)[\($0)]", node: $1) }
    }

    // MARK: - Scalars

    var isList: Bool { node.sequence != nil }

    func text() throws -> String {
        guard case .scalar(let scalar) = node else { throw error("must be a single value") }
        return scalar.string
    }

    /// What `parse` makes of the text; its complaints get the place.
    func value<Value>(_ parse: (String) throws -> Value) throws -> Value {
        let text = try text()
        do {
            return try parse(text)
        } catch let reason as LoadError {
            throw error(reason.description)
        }
    }

    func count(_ range: ClosedRange<Int>) throws -> Int {
        guard let number = Int(try text()), range.contains(number) else {
            throw error("must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func flag() throws -> Bool {
        switch try text() {
        case "true": true
        case "false": false
        default: throw error("must be true or false")
        }
    }
}
