import CLinux

/// Takes the hash that a request is balanced by, where its backend asks for one.
struct RequestHash: BitwiseCopyable {
    let key: TableView.HashKeyRow
    let view: TableView
    let request: RequestKey

    /// Never zero, but for requests without the key.
    func of(_ client: clinux_address) -> UInt64 {
        switch key.kind {
        case .none: 0
        case .clientAddress: client.low.mixed ^ (client.high &+ 1).mixed | 1
        case .header: header.map(Self.hash) ?? 0
        case .cookie: cookie.map(Self.hash) ?? 0
        }
    }

    // MARK: - Private

    private static func hash(_ value: ByteSpan) -> UInt64 { RollingHash.of(value, seed: 3).mixed | 1 }

    private var header: ByteSpan? {
        for index in 0..<request.fieldCount {
            let field = request.fields[index]
            if request.head.slice(field.name).equalsIgnoringCase(lowercased: view.text(key.name)) {
                return request.head.slice(field.value)
            }
        }
        return nil
    }

    private var cookie: ByteSpan? {
        for index in 0..<request.fieldCount where request.fields[index].kind == .cookie {
            if let value = Self.cookie(view.text(key.name), in: request.head.slice(request.fields[index].value)) {
                return value
            }
        }
        return nil
    }

    /// RFC 6265 §4.2.1: `name=value; name=value`
    private static func cookie(_ name: ByteSpan, in pairs: ByteSpan) -> ByteSpan? {
        var start = 0
        while start < pairs.count {
            var end = start
            while end < pairs.count, pairs[end] != UInt8(ascii: ";") { end += 1 }
            let valueStart = start + name.count + 1
            if valueStart <= end, pairs[valueStart - 1] == UInt8(ascii: "="),
                ByteSpan(pairs.base + start, name.count).equals(name)
            {
                return ByteSpan(pairs.base + valueStart, end - valueStart)
            }
            start = end + 1
            while start < pairs.count, pairs[start] == ASCII.space { start += 1 }
        }
        return nil
    }
}
