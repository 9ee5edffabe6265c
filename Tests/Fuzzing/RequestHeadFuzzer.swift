/// Feeds request heads to the parser. Whatever it accepts must point into the bytes that it was read from.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzRequestHead(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    guard count > 0 else { return 0 }
    let bytes = ByteSpan(start, count)
    let whole = FieldParser.headLength(of: bytes)
    checkPieces(bytes, whole)
    guard let length = whole, length <= FieldParser.maximumHead else { return 0 }
    withFields { fields in
        guard let head = try? RequestHead.parse(ByteSpan(start, length), into: fields) else { return }
        check(head.length == length, "the head has another length than its lines")
        for range in [head.method, head.path, head.query, head.authority, head.host] {
            check(Int(range.start + range.count) <= length, "a part of the request line lies outside of the head")
        }
        check(head.host.count <= head.authority.count, "the host is longer than its authority")
        checkFields(fields, head.fieldCount, length)
    }
    return 0
}

/// The end of a head must not depend on how its bytes arrive.
private func checkPieces(_ bytes: ByteSpan, _ whole: Int?) {
    for cut in stride(from: 1, to: bytes.count, by: max(1, bytes.count / 8)) {
        let first = FieldParser.headLength(of: ByteSpan(bytes.base, cut))
        let length = first ?? FieldParser.headLength(of: bytes, from: cut)
        check(length == whole, "the head's end moves when its bytes arrive in two pieces")
    }
}
