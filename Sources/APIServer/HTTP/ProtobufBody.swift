import Foundation
import KubernetesModel

/// Reads the protobuf bodies that some `kubectl` commands send (`create configmap`, `auth can-i`), as the JSON that they stand for.
///
/// A body is the four bytes `k8s\0` and a `runtime.Unknown`: apiVersion and kind, then the object's own message.
struct ProtobufBody {
    static let mediaType = "application/vnd.kubernetes.protobuf"
    private static let magic: [UInt8] = [0x6B, 0x38, 0x73, 0x00]
    private static let maximumDepth = 64
    /// Zero is written for numbers and booleans that are not set, except for these, where it is a choice.
    private static let meaningfulZeros: Set<String> = [
        "replicas", "terminationGracePeriodSeconds", "gracePeriodSeconds", "ttlSecondsAfterFinished", "backoffLimit",
        "parallelism", "completions", "revisionHistoryLimit", "minReplicas", "runAsUser", "runAsGroup", "fsGroup",
        "maxUnavailable", "maxSurge", "automountServiceAccountToken", "allowPrivilegeEscalation", "enableServiceLinks",
        "runAsNonRoot", "value",
    ]

    private let fields: ProtobufFields

    static func parse(_ bytes: [UInt8]) throws -> JSON {
        guard bytes.starts(with: magic) else { throw malformed("it does not begin with k8s\\0") }
        var reader = ProtobufReader(bytes[magic.count...])
        var (type, raw): (ArraySlice<UInt8>, ArraySlice<UInt8>) = ([], [])
        while let (number, value) = try reader.next() {
            if number == 1, case .bytes(let bytes) = value { type = bytes }
            if number == 2, case .bytes(let bytes) = value { raw = bytes }
        }
        let (apiVersion, kind) = try typeMeta(type)
        let body = ProtobufBody(fields: .kubernetes)
        let name = ProtobufFields.messageName(apiVersion: apiVersion, kind: kind)
        guard body.fields.message(name) != nil else {
            throw StatusError.unsupportedMediaType("\(apiVersion), Kind=\(kind) is not served as protobuf: send JSON")
        }
        var object: JSONObject = ["apiVersion": .string(apiVersion), "kind": .string(kind)]
        try body.read(raw, name, into: &object, depth: 0)
        return .object(object)
    }

    // MARK: - Messages

    private static func typeMeta(_ bytes: ArraySlice<UInt8>) throws -> (apiVersion: String, kind: String) {
        var reader = ProtobufReader(bytes)
        var (apiVersion, kind) = ("", "")
        while let (number, value) = try reader.next() {
            guard case .bytes(let text) = value else { continue }
            if number == 1 { apiVersion = String(decoding: text, as: UTF8.self) }
            if number == 2 { kind = String(decoding: text, as: UTF8.self) }
        }
        return (apiVersion, kind)
    }

    private func read(_ bytes: ArraySlice<UInt8>, _ message: String, into object: inout JSONObject, depth: Int) throws {
        guard depth < Self.maximumDepth else { throw Self.malformed("it is nested too deeply") }
        guard let known = fields.message(message) else { throw Self.malformed("it has no message \(message)") }
        var reader = ProtobufReader(bytes)
        while let (number, value) = try reader.next() {
            guard let field = known[number] else { continue }
            try add(value, of: field, to: &object, depth)
        }
    }

    private func add(
        _ value: ProtobufReader.Value,
        of field: ProtobufFields.Field,
        to object: inout JSONObject,
        _ depth: Int
    ) throws {
        switch (field.shape, value) {
        case (.inline, .bytes(let bytes)): try read(bytes, field.type, into: &object, depth: depth + 1)
        case (.map, .bytes(let bytes)):
            let (key, element) = try entry(bytes, field, depth)
            var map = object[field.name]?.object ?? [:]
            map[key] = element
            object[field.name] = .object(map)
        case (.list, _):
            let element = try json(value, field.type, depth) ?? .null
            object[field.name] = .array((object[field.name]?.array ?? []) + [element])
        case (_, _):
            guard let element = try json(value, field.type, depth) else { return }
            guard !Self.isUnset(element) || Self.meaningfulZeros.contains(field.name) else { return }
            object[field.name] = element
        }
    }

    private func entry(
        _ bytes: ArraySlice<UInt8>,
        _ field: ProtobufFields.Field,
        _ depth: Int
    ) throws
        -> (key: String, value: JSON)
    {
        var reader = ProtobufReader(bytes)
        var key = ""
        var element: JSON = field.type == "string" || field.type == "bytes" ? "" : [:]
        while let (number, value) = try reader.next() {
            if number == 1, case .bytes(let text) = value { key = String(decoding: text, as: UTF8.self) }
            if number == 2 { element = try json(value, field.type, depth) ?? element }
        }
        return (key, element)
    }

    // MARK: - Values

    private func json(_ value: ProtobufReader.Value, _ type: String, _ depth: Int) throws -> JSON? {
        switch (value, type) {
        case (.number(let number), "bool"): return .bool(number != 0)
        case (.number(let number), _): return .integer(Int64(bitPattern: number))
        case (.fixed(let number), _): return .number(Double(bitPattern: number))
        case (.bytes(let bytes), "string"): return .string(String(decoding: bytes, as: UTF8.self))
        case (.bytes(let bytes), "bytes"): return .string(Data(bytes).base64EncodedString())
        case (.bytes(let bytes), _): return try message(bytes, type, depth)
        }
    }

    private func message(_ bytes: ArraySlice<UInt8>, _ type: String, _ depth: Int) throws -> JSON? {
        var object: JSONObject = [:]
        try read(bytes, type, into: &object, depth: depth + 1)
        switch type {
        case "resource.Quantity": return object["string"] ?? "0"
        case "meta.v1.Time", "meta.v1.MicroTime": return Self.time(object, isMicro: type == "meta.v1.MicroTime")
        case "intstr.IntOrString":
            return object["type"] == nil ? object["intVal"] ?? 0 : object["strVal"] ?? ""
        case "meta.v1.FieldsV1": return try Self.embedded(object["Raw"])
        case "runtime.RawExtension": return try Self.embedded(object["raw"])
        case _ where type.hasSuffix(".ExtraValue") || type.hasSuffix(".Verbs"): return object["items"] ?? []
        default: return .object(object)
        }
    }

    /// The zero time is how an absent one is written.
    private static func time(_ object: JSONObject, isMicro: Bool) -> JSON? {
        guard let seconds = object["seconds"]?.int else { return nil }
        let time = Timestamp(seconds: Int64(seconds), nanoseconds: Int32(object["nanos"]?.int ?? 0))
        return .string(isMicro ? time.microDescription : time.description)
    }

    private static func embedded(_ base64: JSON?) throws -> JSON? {
        guard let data = Data(base64Encoded: base64?.string ?? ""), !data.isEmpty else { return nil }
        guard let value = try? JSON(parsing: Array(data)) else { throw malformed("an embedded object is no JSON") }
        return value
    }

    private static func isUnset(_ value: JSON) -> Bool { value == "" || value == 0 || value == false }

    static func malformed(_ why: String) -> StatusError {
        .badRequest("the body is no Kubernetes protobuf: \(why)")
    }
}

/// Walks the fields of one protobuf message.
struct ProtobufReader {
    enum Value: Equatable {
        case number(UInt64)
        case fixed(UInt64)
        case bytes(ArraySlice<UInt8>)
    }

    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) {
        rest = bytes
    }

    /// - Throws: 400 when the message is cut off or has groups, which Kubernetes does not use.
    mutating func next() throws -> (number: Int, value: Value)? {
        guard !rest.isEmpty else { return nil }
        let tag = try varint()
        guard let number = Int(exactly: tag >> 3), number > 0 else {
            throw ProtobufBody.malformed("a tag is not valid")
        }
        switch tag & 7 {
        case 0: return (number, .number(try varint()))
        case 1: return (number, .fixed(try fixed(8)))
        case 2:
            guard let count = Int(exactly: try varint()) else { throw Self.cutOff }
            return (number, .bytes(try take(count)))
        case 5: return (number, .fixed(try fixed(4)))
        default: throw ProtobufBody.malformed("it has a group")
        }
    }

    private mutating func varint() throws -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            guard let byte = rest.popFirst() else { throw Self.cutOff }
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
        }
        throw ProtobufBody.malformed("a number is longer than ten bytes")
    }

    private mutating func fixed(_ count: Int) throws -> UInt64 {
        try take(count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private mutating func take(_ count: Int) throws -> ArraySlice<UInt8> {
        guard count >= 0, count <= rest.count else { throw Self.cutOff }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    private static var cutOff: StatusError { ProtobufBody.malformed("it is cut off") }
}
