/// Reads the values of the protobuf wire from a range of bytes
/// ([encoding](https://protobuf.dev/programming-guides/encoding/)).
struct WireReader {
    enum WireType: UInt8 {
        case varint = 0
        case fixed64 = 1
        case lengthDelimited = 2
        case startGroup = 3
        case endGroup = 4
        case fixed32 = 5
    }

    struct Tag: Equatable {
        var number: Int
        var type: WireType
    }

    private let bytes: [UInt8]
    private(set) var position: Int
    private let end: Int

    init(_ bytes: [UInt8]) {
        self.init(bytes, 0..<bytes.count)
    }

    private init(_ bytes: [UInt8], _ range: Range<Int>) {
        self.bytes = bytes
        position = range.lowerBound
        end = range.upperBound
    }

    var isAtEnd: Bool { position == end }
    var remaining: ArraySlice<UInt8> { bytes[position..<end] }

    mutating func tag() throws(ProtobufError) -> Tag {
        let value = try varint()
        guard let number = Int32(exactly: value >> 3), (1..<1 << 29).contains(number) else {
            throw .malformed("there is no field number \(value >> 3)")
        }
        guard let type = WireType(rawValue: UInt8(value & 7)) else {
            throw .malformed("there is no wire type \(value & 7)")
        }
        return Tag(number: Int(number), type: type)
    }

    mutating func varint() throws(ProtobufError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard position < end else { throw .malformed("the bytes end within a varint") }
            let byte = bytes[position]
            position += 1
            guard shift < 63 || byte <= 1 else { break }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        throw .malformed("a varint has more than 64 bits")
    }

    mutating func fixed64() throws(ProtobufError) -> UInt64 {
        let range = try take(8)
        return bytes[range].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// The next length-delimited value, to read on its own.
    mutating func lengthDelimited() throws(ProtobufError) -> WireReader {
        let length = try varint()
        guard let length = Int(exactly: length) else { throw .malformed("the length \(length) is beyond all bounds") }
        return WireReader(bytes, try take(length))
    }

    mutating func skip(_ type: WireType) throws(ProtobufError) {
        switch type {
        case .varint: _ = try varint()
        case .fixed64: _ = try take(8)
        case .lengthDelimited: _ = try lengthDelimited()
        case .fixed32: _ = try take(4)
        case .startGroup, .endGroup: throw .malformed("groups are not part of the Kubernetes wire")
        }
    }

    /// Everything that is left, as text.
    func text() throws(ProtobufError) -> String {
        guard let text = String(validating: remaining, as: UTF8.self) else { throw .malformed("the text is not UTF-8") }
        return text
    }

    private mutating func take(_ count: Int) throws(ProtobufError) -> Range<Int> {
        guard count <= end - position else {
            throw .malformed("a value has \(count) bytes where only \(end - position) are left")
        }
        defer { position += count }
        return position..<position + count
    }
}
