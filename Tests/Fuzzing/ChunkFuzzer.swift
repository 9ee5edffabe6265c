import Glibc

/// Feeds chunked bodies to the reader: whole, byte by byte and in two pieces they must decode alike.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzChunks(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    guard count > 1 else { return 0 }
    // The first byte says where the second piece begins.
    let body = ByteSpan(start + 1, count - 1)
    let whole = Decoded(body, pieces: [body.count])
    let cut = Int(start[0]) * body.count / 256
    check(Decoded(body, pieces: [cut, body.count - cut]) == whole, "two pieces decode otherwise than the whole")
    if body.count <= 4096 {
        let bytes = [Int](repeating: 1, count: body.count)
        check(Decoded(body, pieces: bytes) == whole, "single bytes decode otherwise than the whole")
    }
    var reader = BodyReader(.chunked)
    if let consumed = try? reader.consume(body) {
        check(consumed == whole.consumed && !whole.isRefused, "passing on reads another length than decoding")
        check(reader.isComplete == whole.isComplete, "passing on ends elsewhere than decoding")
    } else {
        check(whole.isRefused, "decoding takes what passing on refuses")
    }
    return 0
}

private struct Decoded: Equatable {
    var data: [UInt8] = []
    var consumed = 0
    var isComplete = false
    var isRefused = false

    init(_ body: ByteSpan, pieces: [Int]) {
        var reader = BodyReader(.chunked)
        var position = 0
        for piece in pieces where !reader.isComplete && piece > 0 {
            let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: piece)
            defer { copy.deallocate() }
            memcpy(copy, body.base + position, piece)
            guard let progress = try? reader.decode(copy, piece) else {
                // How much of a refused body was read before is of no interest.
                (data, consumed, isRefused) = ([], 0, true)
                return
            }
            check(progress.produced <= progress.consumed, "decoding makes a body longer")
            check(reader.isComplete || progress.consumed == piece, "the reader stops before its body's end")
            data += UnsafeBufferPointer(start: copy, count: progress.produced)
            consumed += progress.consumed
            position += piece
        }
        isComplete = reader.isComplete
    }
}
