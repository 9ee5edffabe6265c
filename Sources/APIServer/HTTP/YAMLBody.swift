import KubernetesModel
import Yams

/// Reads YAML as JSON, in the core schema of YAML 1.2 as Kubernetes uses it.
enum YAMLBody {
    /// The most values that a text may stand for, so that nested aliases cannot exhaust the memory.
    static let maximumValues = 200_000

    static func parse(_ text: String) throws -> JSON {
        let node: Node?
        do {
            node = try Yams.compose(yaml: text)
        } catch {
            throw StatusError.badRequest("error converting YAML to JSON: \(error)")
        }
        guard let node else { return .null }
        var count = 0
        return try json(node, &count)
    }

    private static func json(_ node: Node, _ count: inout Int) throws -> JSON {
        count += 1
        guard count <= maximumValues else {
            throw StatusError.badRequest("error converting YAML to JSON: more than \(maximumValues) values")
        }
        switch node {
        case .scalar(let scalar): return value(scalar)
        case .sequence(let sequence): return .array(try sequence.map { try json($0, &count) })
        case .mapping(let mapping):
            var object: JSONObject = [:]
            for (key, value) in mapping {
                guard let name = key.scalar?.string else {
                    throw StatusError.badRequest("error converting YAML to JSON: the keys of a mapping must be strings")
                }
                object[name] = try json(value, &count)
            }
            return .object(object)
        case .alias: throw StatusError.badRequest("error converting YAML to JSON: an alias has no anchor")
        }
    }

    private static func value(_ scalar: Node.Scalar) -> JSON {
        guard scalar.style == .plain || scalar.style == .any else { return .string(scalar.string) }
        switch scalar.string {
        case "", "~", "null", "Null", "NULL": return .null
        case "true", "True", "TRUE": return true
        case "false", "False", "FALSE": return false
        default: return number(scalar.string) ?? .string(scalar.string)
        }
    }

    private static func number(_ text: String) -> JSON? {
        if let integer = Int64(text) { return .integer(integer) }
        guard text.wholeMatch(of: /[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?/) != nil else { return nil }
        return Double(text).flatMap { $0.isFinite ? .number($0) : nil }
    }
}
