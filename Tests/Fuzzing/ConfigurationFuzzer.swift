/// Feeds configuration files to their reader and compiles what it accepts.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzConfiguration(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let text = String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
    do {
        let configuration = try FileConfiguration.parse(text, file: "gateway.yaml")
        let again = try FileConfiguration.parse(text, file: "gateway.yaml")
        check(configuration == again, "a file is read in two ways")
        compile(configuration.table(addresses: [:]))
    } catch {
        check(!error.description.isEmpty, "a file is refused without a reason")
    }
    return 0
}

/// Requests that any table must be able to take or leave.
private let requests: [StaticString] = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /a/b/c?v=1&w=%20 HTTP/1.1\r\nHost: api.example.org:8080\r\nX-Tier: gold\r\nCookie: a=b\r\n\r\n",
]

private func compile(_ table: RouteTable) {
    let compiled = CompiledTable(table, generation: 1)
    for request in requests {
        withFields { fields in
            let bytes = ByteSpan(request.utf8Start, request.utf8CodeUnitCount)
            guard let head = try? RequestHead.parse(bytes, into: fields) else {
                fatalError("a sound request is refused")
            }
            let key = RequestKey(
                host: bytes.slice(head.host),
                path: bytes.slice(head.path),
                query: bytes.slice(head.query),
                method: bytes.slice(head.method),
                head: bytes,
                fields: fields,
                fieldCount: head.fieldCount
            )
            guard let match = compiled.view.lookup(key) else { return }
            check(match.rule < table.rules.count, "a request matches a rule that is not there")
        }
    }
}
