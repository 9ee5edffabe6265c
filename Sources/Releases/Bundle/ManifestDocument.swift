import KubernetesModel
import Yams

/// One Kubernetes object as a manifest file declares it.
struct ManifestDocument: Hashable, Sendable {
    var object: JSON
    /// `k8s/web.yaml:12`, where the object begins; `generated` for objects that no file declares.
    var source: String

    var apiVersion: String { object["apiVersion"]?.string ?? "" }
    var kind: String { object["kind"]?.string ?? "" }
    var name: String { object["metadata", "name"]?.string ?? "" }
}

/// Reads manifest files: YAML with any number of documents, or JSON.
enum ManifestReader {
    /// `files` are paths and contents; others than `.yaml`, `.yml` and `.json` are passed over. In the order of the paths.
    static func read(_ files: [(path: String, text: String)]) throws -> [ManifestDocument] {
        try files.sorted { $0.path < $1.path }
            .filter { file in [".yaml", ".yml", ".json"].contains { file.path.hasSuffix($0) } }
            .flatMap { try read($0.text, path: $0.path) }
    }

    // MARK: - Private

    private static func read(_ text: String, path: String) throws -> [ManifestDocument] {
        do {
            let parser = try Parser(yaml: text)
            var documents: [ManifestDocument] = []
            while let node = try parser.nextRoot() {
                let source = "\(path):\(node.mark?.line ?? 1)"
                documents += try self.documents(JSON(yaml: node, path: path), source)
            }
            return documents
        } catch let error as YamlError {
            throw ReleaseError("\(path): \(description(of: error)); expected YAML")
        }
    }

    private static func documents(_ value: JSON, _ source: String) throws -> [ManifestDocument] {
        if value.isNull { return [] }
        guard let fields = value.object else {
            throw ReleaseError(
                "\(source): expected an object with apiVersion, kind and metadata, found \(value.typeName)"
            )
        }
        for field in ["apiVersion", "kind"] where (fields[field]?.string ?? "").isEmpty {
            throw ReleaseError("\(source): the field \"\(field)\" is missing; expected a Kubernetes object")
        }
        if value["kind"]?.string == "List", let items = value["items"]?.array {
            return try items.flatMap { try documents($0, source) }
        }
        let document = ManifestDocument(object: value, source: source)
        guard !document.name.isEmpty else {
            throw ReleaseError(
                "\(source): \(document.kind) has no metadata.name (generateName cannot be deployed again)"
            )
        }
        return [document]
    }

    private static func description(of error: YamlError) -> String {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            "line \(mark.line), column \(mark.column): \(problem)"
        case .duplicatedKeysInMapping(let duplicates, let context):
            "line \(context.mark.line): the key \"\(duplicates.first?.description ?? "")\" is there twice"
        default: "\(error)"
        }
    }
}

extension JSON {
    /// The value of a YAML node, by the rules of YAML 1.1 that Kubernetes' own reader follows.
    fileprivate init(yaml node: Node, path: String, depth: Int = 0) throws {
        guard depth < 100 else { throw ReleaseError("\(path):\(node.mark?.line ?? 1): nested deeper than 100 levels") }
        switch node {
        case .scalar(let scalar): self = Self.scalar(scalar, node)
        case .sequence(let sequence):
            self = .array(try sequence.map { try JSON(yaml: $0, path: path, depth: depth + 1) })
        case .mapping(let mapping): self = .object(try Self.object(mapping, path, depth))
        case .alias: throw ReleaseError("\(path):\(node.mark?.line ?? 1): an alias names an anchor that is not there")
        }
    }

    private static func object(_ mapping: Node.Mapping, _ path: String, _ depth: Int) throws -> JSONObject {
        var object: JSONObject = [:]
        for (key, value) in mapping {
            guard let name = key.scalar?.string else {
                throw ReleaseError("\(path):\(key.mark?.line ?? 1): a key is not text")
            }
            let isMerge = name == "<<" && key.scalar?.style == .plain
            let value = try JSON(yaml: value, path: path, depth: depth + 1)
            guard isMerge else {
                object[name] = value
                continue
            }
            for source in value.array ?? [value] {
                object.merge(source.object ?? [:]) { own, _ in own }
            }
        }
        return object
    }

    private static func scalar(_ scalar: Node.Scalar, _ node: Node) -> JSON {
        switch node.tag {
        case Tag(.null): return .null
        case Tag(.bool): return Bool.construct(from: scalar).map(JSON.bool) ?? .string(scalar.string)
        case Tag(.int): return Int.construct(from: scalar).map { JSON($0) } ?? .string(scalar.string)
        case Tag(.float):
            guard let value = Double.construct(from: scalar), value.isFinite else { return .string(scalar.string) }
            return .number(value)
        default: return .string(scalar.string)
        }
    }
}
