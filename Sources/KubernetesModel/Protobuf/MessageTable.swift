/// The messages of the Kubernetes protobuf wire: which field number is which field of the JSON form.
///
/// Read from a text of one line each. `kind APIVERSION KIND MESSAGE` names the message of a body; the API version `*` stands for
/// every one. `NAME FIELD…` describes a message, where a field is `NUMBER:NAME:TYPE`; an empty name means that the fields of that
/// message stand in the place of the field. `[` before the type marks a list, `{` a map with string keys and `-` a field that JSON
/// leaves out when it is zero; `@` refers to a message. `=list` and `=union` after the name of a message are its `Shape`.
struct MessageTable: Sendable {
    /// What stands in JSON for a message.
    enum Shape: String, Sendable {
        case object = ""
        /// The list that is the only field.
        case list
        /// The value of the field with the highest number of those that are present.
        case union
    }

    enum FieldType: Hashable, Sendable {
        case string, bytes, bool, int32, int64, double
        case quantity, intOrString, time, microTime, duration
        /// A message whose first field is the text of a JSON value.
        case json
        /// An index of `messages`.
        case message(Int)
    }

    enum Cardinality: Sendable { case single, list, map }

    struct Field: Sendable {
        var number: Int
        var name: String
        var type: FieldType
        var cardinality: Cardinality
        var dropsZero: Bool

        /// Whether the fields of this message belong to the object around it.
        var isInline: Bool { name.isEmpty }
    }

    struct Message: Sendable {
        var name: String
        var shape: Shape
        var fields: [Int: Field]
    }

    private(set) var messages: [Message] = []
    private var kinds: [String: Int] = [:]

    static let builtin: MessageTable = {
        guard let table = MessageTable(text: builtinProtobufText) else {
            preconditionFailure("The derived table must be valid: run Scripts/derive-protobuf.")
        }
        return table
    }()

    /// The index of the message that carries objects of a kind.
    func message(apiVersion: String, kind: String) -> Int? {
        kinds["\(apiVersion) \(kind)"] ?? kinds["* \(kind)"]
    }

    /// `nil` when a line does not have the form above or refers to a message that is not there.
    init?(text: String) {
        let lines = text.split(separator: "\n").map { $0.split(separator: " ") }
        let headers = lines.filter { $0[0] != "kind" }.map { $0[0].split(separator: "=") }
        let indices = Dictionary(
            headers.enumerated().map { (String($1[0]), $0) },
            uniquingKeysWith: { _, last in last }
        )
        for line in lines {
            if line[0] == "kind" {
                guard line.count == 4, let index = indices[String(line[3])] else { return nil }
                kinds["\(line[1]) \(line[2])"] = index
            } else {
                guard let message = Message(line, indices) else { return nil }
                messages.append(message)
            }
        }
    }
}

extension MessageTable.Message {
    fileprivate init?(_ line: [Substring], _ indices: [String: Int]) {
        let header = line[0].split(separator: "=")
        guard let shape = MessageTable.Shape(rawValue: header.count == 2 ? String(header[1]) : "") else { return nil }
        self.init(name: String(header[0]), shape: shape, fields: [:])
        for text in line.dropFirst() {
            guard let field = MessageTable.Field(text, indices) else { return nil }
            fields[field.number] = field
        }
    }
}

extension MessageTable.Field {
    fileprivate init?(_ text: Substring, _ indices: [String: Int]) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, let number = Int(parts[0]) else { return nil }
        let marks = parts[2].prefix { "-[{".contains($0) }
        guard let type = MessageTable.FieldType(parts[2].dropFirst(marks.count), indices) else { return nil }
        self.init(
            number: number,
            name: String(parts[1]),
            type: type,
            cardinality: marks == "[" ? .list : marks == "{" ? .map : .single,
            dropsZero: marks == "-"
        )
    }
}

extension MessageTable.FieldType {
    private static let named: [Substring: Self] = [
        "string": .string, "bytes": .bytes, "bool": .bool, "int32": .int32, "int64": .int64, "double": .double,
        "quantity": .quantity, "intOrString": .intOrString, "time": .time, "microTime": .microTime,
        "duration": .duration, "json": .json,
    ]

    fileprivate init?(_ name: Substring, _ indices: [String: Int]) {
        if name.hasPrefix("@") {
            guard let index = indices[String(name.dropFirst())] else { return nil }
            self = .message(index)
        } else {
            guard let type = Self.named[name] else { return nil }
            self = type
        }
    }

    /// How values of this type stand on the wire.
    var wireType: WireReader.WireType {
        switch self {
        case .bool, .int32, .int64: .varint
        case .double: .fixed64
        default: .lengthDelimited
        }
    }
}
