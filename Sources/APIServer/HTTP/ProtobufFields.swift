/// The messages of the Kubernetes protobuf encoding: which field of an object each number stands for.
struct ProtobufFields: Sendable {
    enum Shape: Hashable, Sendable {
        case single, list, map
        /// The fields of the message stand in the object itself.
        case inline
    }

    struct Field: Hashable, Sendable {
        let name: String
        let type: String
        let shape: Shape
    }

    static let kubernetes = ProtobufFields(parsing: text)

    private let messages: [String: [Int: Field]]

    func message(_ name: String) -> [Int: Field]? { messages[name] }

    /// The message of a kind: packages are named by the first part of their group.
    static func messageName(apiVersion: String, kind: String) -> String {
        guard kind != "DeleteOptions" else { return "meta.v1.DeleteOptions" }
        let parts = apiVersion.split(separator: "/")
        let group = parts.count == 2 ? parts[0].split(separator: ".").first ?? "" : "core"
        return "\(group).\(parts.last ?? "").\(kind)"
    }

    private init(parsing text: String) {
        var messages: [String: [Int: Field]] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: ";")
            messages[String(parts[0])] = parts.dropFirst().reduce(into: [:]) { fields, part in
                let words = part.split(separator: " ")
                guard words.count == 3, let number = Int(words[0]) else { return }
                fields[number] = Self.field(String(words[1]), String(words[2]))
            }
        }
        self.messages = messages
    }

    private static func field(_ name: String, _ type: String) -> Field {
        let marks: [(String, Shape)] = [("[]", .list), ("{}", .map), ("^", .inline)]
        for (mark, shape) in marks where type.hasPrefix(mark) {
            return Field(name: name, type: String(type.dropFirst(mark.count)), shape: shape)
        }
        return Field(name: name, type: type, shape: .single)
    }
}
