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
        case .other, .requestID, .forwardedFor, .forwardedHost, .forwardedProto, .trailer: break
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
