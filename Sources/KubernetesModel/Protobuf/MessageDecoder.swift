/// Reads messages as JSON, as a table describes them.
struct MessageDecoder {
    private let table: MessageTable
    /// The fields on the way to the present one, for errors.
    private var path: [String] = []
    private var valueCount = 0

    init(table: MessageTable) {
        self.table = table
    }

    /// The object in an envelope.
    mutating func object(_ bytes: [UInt8], depth: Int) throws(ProtobufError) -> JSON {
        let envelope = try ProtobufEnvelope(bytes)
        guard envelope.contentType.isEmpty || envelope.contentType == KubernetesProtobuf.mediaType else {
            throw ProtobufError(.unsupported, "the content type \(envelope.contentType) is not read within protobuf")
        }
        guard let message = table.message(apiVersion: envelope.apiVersion, kind: envelope.kind) else {
            let kind = envelope.kind.isEmpty ? "without a kind" : "of kind \(envelope.kind) (\(envelope.apiVersion))"
            throw ProtobufError(.unsupported, "objects \(kind) are not read as protobuf; send application/json")
        }
        let outerPath = path
        do {
            path = []
            let type: JSONObject = ["apiVersion": .string(envelope.apiVersion), "kind": .string(envelope.kind)]
            let object = try self.message(message, envelope.content, into: type, depth: depth)
            path = outerPath
            return .object(object)
        } catch {
            let located = located(error, in: "\(envelope.kind) (\(envelope.apiVersion))")
            path = outerPath
            throw located
        }
    }

    private func located(_ error: ProtobufError, in kind: String) -> ProtobufError {
        let place = path.isEmpty ? kind : "field \(path.joined(separator: ".")) of \(kind)"
        return ProtobufError(error.reason, "\(place): \(error.message)")
    }

    // MARK: - Messages

    /// `object` with the fields of a message.
    private mutating func message(
        _ index: Int,
        _ reader: WireReader,
        into object: consuming JSONObject,
        depth: Int
    ) throws(ProtobufError)
        -> JSONObject
    {
        guard depth < KubernetesProtobuf.maximumDepth else {
            throw ProtobufError(.excessive, "messages nest deeper than \(KubernetesProtobuf.maximumDepth) levels")
        }
        var reader = reader
        while !reader.isAtEnd {
            let tag = try reader.tag()
            guard let field = table.messages[index].fields[tag.number] else {
                try reader.skip(tag.type)
                continue
            }
            try countValue()
            if field.isInline {
                try require(tag, .lengthDelimited)
                object = try inlined(field, reader.lengthDelimited(), into: consume object, depth: depth)
            } else {
                path.append(field.name)
                try read(field, tag, &reader, &object, depth)
                path.removeLast()
            }
        }
        return object
    }

    private mutating func inlined(
        _ field: MessageTable.Field,
        _ reader: WireReader,
        into object: consuming JSONObject,
        depth: Int
    ) throws(ProtobufError)
        -> JSONObject
    {
        guard case .message(let index) = field.type else { return object }
        return try message(index, reader, into: consume object, depth: depth + 1)
    }

    private mutating func read(
        _ field: MessageTable.Field,
        _ tag: WireReader.Tag,
        _ reader: inout WireReader,
        _ object: inout JSONObject,
        _ depth: Int
    ) throws(ProtobufError) {
        let former = object[field.name]
        if former != nil { object[field.name] = .null }  // gives up the shared storage: the change happens in place
        let value: JSON? =
            switch field.cardinality {
            case .single: try single(field, tag, &reader, consume former, depth)
            case .list: try list(field, tag, &reader, consume former, depth)
            case .map: try map(field, tag, &reader, consume former, depth)
            }
        object[field.name] = value
    }

    private mutating func countValue() throws(ProtobufError) {
        valueCount += 1
        guard valueCount <= KubernetesProtobuf.maximumValues else {
            throw ProtobufError(.excessive, "there are more than \(KubernetesProtobuf.maximumValues) values")
        }
    }

    private func require(_ tag: WireReader.Tag, _ type: WireReader.WireType) throws(ProtobufError) {
        guard tag.type == type else {
            throw .malformed("wire type \(tag.type.rawValue) where \(type.rawValue) is needed")
        }
    }

    // MARK: - Fields

    /// A value that occurs once; a message that occurs again adds to the former one.
    private mutating func single(
        _ field: MessageTable.Field,
        _ tag: WireReader.Tag,
        _ reader: inout WireReader,
        _ former: consuming JSON?,
        _ depth: Int
    ) throws(ProtobufError)
        -> JSON?
    {
        try require(tag, field.type.wireType)
        let value = try value(field.type, &reader, consume former, depth)
        return field.dropsZero && value?.isZero == true ? nil : value
    }

    private mutating func list(
        _ field: MessageTable.Field,
        _ tag: WireReader.Tag,
        _ reader: inout WireReader,
        _ former: consuming JSON?,
        _ depth: Int
    ) throws(ProtobufError)
        -> JSON
    {
        var elements: [JSON] = []
        if case .array(let formerElements) = consume former { elements = formerElements }
        let isPacked = tag.type == .lengthDelimited && field.type.wireType != .lengthDelimited
        guard isPacked else {
            try require(tag, field.type.wireType)
            elements.append(try value(field.type, &reader, nil, depth) ?? .null)
            return .array(elements)
        }
        var packed = try reader.lengthDelimited()
        while !packed.isAtEnd {
            try countValue()
            elements.append(try value(field.type, &packed, nil, depth) ?? .null)
        }
        return .array(elements)
    }

    /// An entry of a map is a message of the key (1) and the value (2).
    private mutating func map(
        _ field: MessageTable.Field,
        _ tag: WireReader.Tag,
        _ reader: inout WireReader,
        _ former: consuming JSON?,
        _ depth: Int
    ) throws(ProtobufError)
        -> JSON
    {
        try require(tag, .lengthDelimited)
        var entries: JSONObject = [:]
        if case .object(let formerEntries) = consume former { entries = formerEntries }
        var entry = try reader.lengthDelimited()
        var (key, content): (String, JSON?) = ("", nil)
        while !entry.isAtEnd {
            let tag = try entry.tag()
            switch tag.number {
            case 1:
                try require(tag, .lengthDelimited)
                key = try entry.lengthDelimited().text()
            case 2:
                try require(tag, field.type.wireType)
                content = try value(field.type, &entry, nil, depth)
            default: try entry.skip(tag.type)
            }
        }
        if content == nil { content = try emptyValue(field.type, depth) }
        entries[key] = content
        return .object(entries)
    }

    /// What an entry of a map has whose value is not on the wire.
    private mutating func emptyValue(_ type: MessageTable.FieldType, _ depth: Int) throws(ProtobufError) -> JSON {
        switch type.wireType {
        case .lengthDelimited:
            var nothing = WireReader([0])  // a length of zero
            return try value(type, &nothing, nil, depth) ?? .null
        default: return type == .bool ? false : 0
        }
    }

    // MARK: - Values

    /// `nil` for what JSON leaves out, as the moment that is not set.
    private mutating func value(
        _ type: MessageTable.FieldType,
        _ reader: inout WireReader,
        _ former: consuming JSON?,
        _ depth: Int
    ) throws(ProtobufError)
        -> JSON?
    {
        switch type {
        case .bool: return .bool(try reader.varint() != 0)
        case .int32: return .integer(Int64(Int32(truncatingIfNeeded: try reader.varint())))
        case .int64: return .integer(Int64(bitPattern: try reader.varint()))
        case .double: return try number(Double(bitPattern: try reader.fixed64()))
        default: break
        }
        let content = try reader.lengthDelimited()
        switch type {
        case .string: return .string(try content.text())
        case .bytes: return .string(Base64.encoded(Array(content.remaining)))
        case .message(let index): return try shaped(index, content, consume former, depth)
        case .json: return try embedded(content, depth)
        default: return try content.special(type)
        }
    }

    private func number(_ value: Double) throws(ProtobufError) -> JSON {
        guard value.isFinite else { throw .malformed("JSON has no number \(value)") }
        return .number(value)
    }

    private mutating func shaped(
        _ index: Int,
        _ content: WireReader,
        _ former: consuming JSON?,
        _ depth: Int
    ) throws(ProtobufError)
        -> JSON
    {
        var object: JSONObject = [:]
        let hasFields = table.messages[index].shape == .object
        if hasFields, case .object(let formerFields) = consume former { object = formerFields }
        object = try message(index, content, into: consume object, depth: depth + 1)
        return table.messages[index].shaped(object)
    }

    /// The value whose text, or whose protobuf envelope, is the first field of a message.
    private mutating func embedded(_ content: WireReader, _ depth: Int) throws(ProtobufError) -> JSON? {
        var content = content
        var bytes: [UInt8] = []
        while !content.isAtEnd {
            let tag = try content.tag()
            if tag.number == 1, tag.type == .lengthDelimited {
                bytes = Array(try content.lengthDelimited().remaining)
            } else {
                try content.skip(tag.type)
            }
        }
        if bytes.isEmpty { return nil }
        if bytes.starts(with: KubernetesProtobuf.magic) { return try object(bytes, depth: depth + 1) }
        do {
            return try JSON(parsing: bytes)
        } catch {
            throw .malformed("the embedded value is no JSON text: \(error)")
        }
    }
}

extension MessageTable.Message {
    /// What stands in JSON for a message with these fields.
    fileprivate func shaped(_ object: JSONObject) -> JSON {
        guard shape != .object else { return .object(object) }
        let names = fields.values.sorted { $0.number > $1.number }.map(\.name)
        return names.lazy.compactMap { object[$0] }.first ?? (shape == .list ? [] : .null)
    }
}

extension JSON {
    /// Whether this is what Go calls the zero value of its type.
    fileprivate var isZero: Bool {
        switch self {
        case .null: true
        case .bool(let value): !value
        case .integer(let value): value == 0
        case .number(let value): value == 0
        case .string(let value): value.isEmpty
        case .array(let elements): elements.isEmpty
        case .object(let fields): fields.isEmpty
        }
    }
}
