/// Feeds response heads to the parser, as answers to HEAD and to other methods.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzResponseHead(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    guard count > 0, let length = FieldParser.headLength(of: ByteSpan(start, count)) else { return 0 }
    guard length <= FieldParser.maximumHead else { return 0 }
    for toHead in [false, true] {
        withFields { fields in
            let bytes = ByteSpan(start, length)
            guard let head = try? ResponseHead.parse(bytes, toHead: toHead, into: fields) else { return }
            check(head.length == length, "the head has another length than its lines")
            check((100...999).contains(head.status), "a status has three digits")
            check(Int(head.reason.start + head.reason.count) <= length, "the reason lies outside of the head")
            check(!toHead || head.body.isComplete, "an answer to HEAD has no body")
            checkFields(fields, head.fieldCount, length)
        }
    }
    return 0
}
