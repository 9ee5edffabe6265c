import Glibc

/// Writes a head into memory of fixed size. What does not fit is left out and noted, never written past the end.
struct HeadWriter: BitwiseCopyable {
    private let base: UnsafeMutablePointer<UInt8>
    private let capacity: Int
    private(set) var count = 0
    private(set) var hasOverflowed = false

    init(_ base: UnsafeMutablePointer<UInt8>, capacity: Int) {
        self.base = base
        self.capacity = capacity
    }

    var bytes: ByteSpan { ByteSpan(base, count) }

    @inline(__always)
    mutating func append(_ bytes: ByteSpan) {
        guard count + bytes.count <= capacity else {
            hasOverflowed = true
            return
        }
        memcpy(base + count, bytes.base, bytes.count)
        count += bytes.count
    }

    @inline(__always)
    mutating func append(_ text: StaticString) {
        append(ByteSpan(text.utf8Start, text.utf8CodeUnitCount))
    }

    @inline(__always)
    mutating func append(byte: UInt8) {
        guard count < capacity else {
            hasOverflowed = true
            return
        }
        base[count] = byte
        count += 1
    }

    mutating func append(decimal value: UInt64) {
        if value >= 10 { append(decimal: value / 10) }
        append(byte: 0x30 + UInt8(value % 10))
    }

    /// With zeros in front.
    mutating func append(decimal value: UInt64, digits: Int) {
        var divisor: UInt64 = 1
        for _ in 1..<digits { divisor *= 10 }
        while divisor > 0 {
            append(byte: 0x30 + UInt8(value / divisor % 10))
            divisor /= 10
        }
    }

    /// The inside of a JSON string. Bytes beyond ASCII are taken for Latin-1, which never makes invalid JSON.
    /// - Parameter limit: of the bytes that are written; what does not fit is left out.
    mutating func append(json bytes: ByteSpan, limit: Int) {
        let end = count + limit
        var start = 0
        for index in 0..<bytes.count {
            let byte = bytes[index]
            if byte >= 0x20, byte < 0x7F, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") { continue }
            append(ByteSpan(bytes.base + start, min(index - start, end - count)))
            guard count + 6 <= end else { return }
            append("\\u00")
            append(hexadecimal: UInt64(byte), digits: 2)
            start = index + 1
        }
        append(ByteSpan(bytes.base + start, min(bytes.count - start, end - count)))
    }

    mutating func append(hexadecimal value: UInt64, digits: Int) {
        for index in (0..<digits).reversed() {
            let digit = UInt8(truncatingIfNeeded: value >> UInt64(index * 4)) & 15
            append(byte: digit < 10 ? 0x30 + digit : 0x61 + digit - 10)
        }
    }

    mutating func append(name: ByteSpan, value: ByteSpan) {
        append(name)
        append(": ")
        append(value)
        append("\r\n")
    }
}

/// Copies the field lines of a head that go on, in as few pieces as possible.
struct FieldCopy: BitwiseCopyable {
    let head: ByteSpan
    let fields: UnsafePointer<HeaderField>
    let count: Int
    let view: TableView
    let changes: RowRange
    let nominates: Bool

    /// - Parameter keeps: says of fields with a meaning to proxies whether they go on.
    @inline(__always)
    func write(to writer: inout HeadWriter, keeps: (HeaderField.Kind) -> Bool) {
        var runStart = -1
        var runEnd = 0
        for index in 0..<count {
            let field = fields[index]
            guard keeps(field.kind), !isChanged(field), !(nominates && isNominated(field)) else {
                if runStart >= 0 { writer.append(ByteSpan(head.base + runStart, runEnd - runStart)) }
                runStart = -1
                continue
            }
            if runStart < 0 { runStart = Int(field.line.start) }
            runEnd = Int(field.line.start + field.line.count)
        }
        if runStart >= 0 { writer.append(ByteSpan(head.base + runStart, runEnd - runStart)) }
    }

    /// Writes the fields that the rule sets and adds.
    func writeChanges(to writer: inout HeadWriter) {
        for index in changes.indices {
            let change = view.changes[index]
            if change.kind != .remove { writer.append(name: view.text(change.name), value: view.text(change.value)) }
        }
    }

    @inline(__always)
    private func isChanged(_ field: HeaderField) -> Bool {
        for index in changes.indices {
            let change = view.changes[index]
            if change.kind != .add,
                head.slice(field.name).equalsIgnoringCase(lowercased: view.text(change.lowercasedName))
            {
                return true
            }
        }
        return false
    }

    /// Framing and routing fields cannot be nominated away: the proxy itself answers for them.
    private func isNominated(_ field: HeaderField) -> Bool {
        switch field.kind {
        case .other, .requestID, .forwardedFor, .forwardedHost, .forwardedProto, .forwarded, .trailer: break
        case .cookie, .referer, .userAgent: break
        default: return false
        }
        let name = head.slice(field.name)
        for index in 0..<count where fields[index].kind == .connection {
            let isNamed = FieldParser.anyMember(of: head.slice(fields[index].value)) { member in
                guard member.count == name.count else { return false }
                for index in 0..<name.count where ASCII.lowercased(member[index]) != ASCII.lowercased(name[index]) {
                    return false
                }
                return true
            }
            if isNamed { return true }
        }
        return false
    }
}
