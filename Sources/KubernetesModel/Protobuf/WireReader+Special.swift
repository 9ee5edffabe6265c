// MARK: - Messages that JSON writes as one value

extension WireReader {
    /// A message of one of the types that have a form of their own in JSON; `nil` for a moment that is not set.
    func special(_ type: MessageTable.FieldType) throws(ProtobufError) -> JSON? {
        let fields = try scalarFields()
        switch type {
        case .quantity: return .string(try fields.text(1) ?? "0")
        case .intOrString:
            return fields.number(1) == 1 ? .string(try fields.text(3) ?? "") : .integer(fields.int32(2))
        case .duration: return .string(Self.duration(nanoseconds: fields.number(1)))
        case .time: return try fields.timestamp().map { .string($0.description) }
        case .microTime: return try fields.timestamp().map { .string($0.microDescription) }
        default: preconditionFailure("Only the types with a form of their own come here.")
        }
    }

    private func scalarFields() throws(ProtobufError) -> ScalarFields {
        var reader = self
        var fields = ScalarFields()
        while !reader.isAtEnd {
            let tag = try reader.tag()
            switch tag.type {
            case .varint: fields.numbers[tag.number] = Int64(bitPattern: try reader.varint())
            case .lengthDelimited: fields.contents[tag.number] = try reader.lengthDelimited()
            default: try reader.skip(tag.type)
            }
        }
        return fields
    }

    /// As Go writes durations: `1h0m0.5s`, below a second `1.5ms`.
    private static func duration(nanoseconds: Int64) -> String {
        let sign = nanoseconds < 0 ? "-" : ""
        let length = nanoseconds.magnitude
        switch length {
        case 0: return "0s"
        case ..<1_000: return "\(sign)\(length)ns"
        case ..<1_000_000: return "\(sign)\(decimal(length, 1_000))µs"
        case ..<1_000_000_000: return "\(sign)\(decimal(length, 1_000_000))ms"
        default:
            let (minutes, rest) = length.quotientAndRemainder(dividingBy: 60_000_000_000)
            let hours = minutes >= 60 ? "\(minutes / 60)h" : ""
            return "\(sign)\(hours)\(minutes > 0 ? "\(minutes % 60)m" : "")\(decimal(rest, 1_000_000_000))s"
        }
    }

    private static func decimal(_ value: UInt64, _ unit: UInt64) -> String {
        let (whole, fraction) = value.quotientAndRemainder(dividingBy: unit)
        guard fraction > 0 else { return "\(whole)" }
        let digits = String(unit + fraction).dropFirst()
        return "\(whole).\(digits.reversed().drop { $0 == "0" }.reversed().map(String.init).joined())"
    }
}

/// The fields of a message of numbers and texts.
private struct ScalarFields {
    var numbers: [Int: Int64] = [:]
    var contents: [Int: WireReader] = [:]

    func number(_ field: Int) -> Int64 { numbers[field] ?? 0 }

    func int32(_ field: Int) -> Int64 { Int64(Int32(truncatingIfNeeded: number(field))) }

    func text(_ field: Int) throws(ProtobufError) -> String? {
        guard let content = contents[field] else { return nil }
        return try content.text()
    }

    /// Seconds (1) and nanoseconds (2) since 1970; a message without any is a moment that is not set.
    func timestamp() throws(ProtobufError) -> Timestamp? {
        guard !numbers.isEmpty else { return nil }
        let (seconds, nanoseconds) = (number(1), number(2))
        guard Self.years.contains(seconds), (0..<1_000_000_000).contains(nanoseconds) else {
            throw .malformed("\(seconds) s and \(nanoseconds) ns since 1970 is no moment of the years 0 to 9999")
        }
        return Timestamp(seconds: seconds, nanoseconds: Int32(nanoseconds))
    }

    /// The years 0 to 9999, which RFC 3339 can write.
    private static let years: Range<Int64> = -62_167_219_200..<253_402_300_800
}
