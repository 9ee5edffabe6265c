import CLinux
import FlowControl

/// Takes the key that a policy tells requests apart by, hashed with the process' own seed, so that nobody can make keys that meet.
struct PolicyKeyReader: BitwiseCopyable {
    let view: TableView
    let request: RequestKey
    let client: clinux_address

    func hash(_ key: TableView.PolicyKeyRow) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(key.kind.rawValue)
        switch key.kind {
        case .none: break
        case .clientAddress:
            hasher.combine(client.family)
            hasher.combine(client.family == 4 ? client.low : client.high)
        case .host: Self.combine(lowercased: request.host, &hasher)
        case .path: Self.combine(request.path, &hasher)
        case .header: if let value = header(view.text(key.name)) { Self.combine(value, &hasher) }
        case .query: if let value = parameter(view.text(key.name)) { Self.combine(value, &hasher) }
        case .cookie: if let value = cookie(view.text(key.name)) { Self.combine(value, &hasher) }
        }
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    /// The class of the request.
    func level(_ row: TableView.PolicyRow) -> UInt8 {
        for index in row.selectors.indices {
            let selector = view.selectors[index]
            if selector.name.isEmpty { return selector.level }
            guard let value = header(view.text(selector.name)) else { continue }
            if !selector.hasValue || value.equals(view.text(selector.value)) { return selector.level }
        }
        return row.defaultLevel
    }

    // MARK: - Private

    private static func combine(_ bytes: ByteSpan, _ hasher: inout Hasher) {
        hasher.combine(bytes: UnsafeRawBufferPointer(start: bytes.base, count: bytes.count))
    }

    /// Hosts are at most 255 bytes, see ``RequestHead``.
    private static func combine(lowercased bytes: ByteSpan, _ hasher: inout Hasher) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { buffer in
            let count = min(bytes.count, buffer.count)
            for index in 0..<count { buffer[index] = ASCII.lowercased(bytes[index]) }
            hasher.combine(bytes: UnsafeRawBufferPointer(start: buffer.baseAddress, count: count))
        }
    }

    private func header(_ name: ByteSpan) -> ByteSpan? {
        for index in 0..<request.fieldCount {
            let field = request.fields[index]
            if request.head.slice(field.name).equalsIgnoringCase(lowercased: name) {
                return request.head.slice(field.value)
            }
        }
        return nil
    }

    private func parameter(_ name: ByteSpan) -> ByteSpan? {
        Self.value(of: name, in: request.query, separator: UInt8(ascii: "&"))
    }

    /// RFC 6265 §4.2.1: `name=value; name=value`
    private func cookie(_ name: ByteSpan) -> ByteSpan? {
        for index in 0..<request.fieldCount {
            let field = request.fields[index]
            guard request.head.slice(field.name).equalsIgnoringCase("cookie") else { continue }
            let pairs = request.head.slice(field.value)
            if let value = Self.value(of: name, in: pairs, separator: UInt8(ascii: ";")) { return value }
        }
        return nil
    }

    /// The value in `name=value` pairs, blanks before the name left out.
    private static func value(of name: ByteSpan, in pairs: ByteSpan, separator: UInt8) -> ByteSpan? {
        var start = 0
        while start < pairs.count {
            while start < pairs.count, pairs[start] == ASCII.space { start += 1 }
            var end = start
            while end < pairs.count, pairs[end] != separator { end += 1 }
            let pair = ByteSpan(pairs.base + start, end - start)
            if pair.count >= name.count, ByteSpan(pair.base, name.count).equals(name) {
                if pair.count == name.count { return pair.dropFirst(name.count) }
                if pair[name.count] == UInt8(ascii: "=") { return pair.dropFirst(name.count + 1) }
            }
            start = end + 1
        }
        return nil
    }
}
