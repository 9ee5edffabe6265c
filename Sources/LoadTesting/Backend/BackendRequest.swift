import Glibc

/// The head of a request, as far as a back end must understand it.
struct BackendRequest: BitwiseCopyable {
    static let maximumHead = 64 * 1024

    /// The head's bytes, with the empty line.
    var length = 0
    var bodyLength: UInt64 = 0
    var keepsAlive = true
    var isHead = false
    var pathStart = 0
    var pathEnd = 0

    enum Result {
        case complete(BackendRequest)
        case incomplete
        case malformed
    }

    @inline(__always)
    static func scan(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Result {
        guard let first = lineEnd(bytes, 0, count) else { return count > maximumHead ? .malformed : .incomplete }
        var request = BackendRequest()
        guard request.readLine(bytes, first) else { return .malformed }
        var start = first + 1
        while let end = lineEnd(bytes, start, count) {
            if bytes[start] == 0x0A || bytes[start] == 0x0D && end == start + 1 {
                request.length = end + 1
                return .complete(request)
            }
            if bytes[start] | 0x20 == UInt8(ascii: "c"), !request.readField(bytes, start, end) { return .malformed }
            start = end + 1
        }
        return count > maximumHead ? .malformed : .incomplete
    }

    @inline(__always)
    private static func lineEnd(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> Int? {
        guard start < count, let found = memchr(bytes + start, 0x0A, count - start) else { return nil }
        return UnsafeRawPointer(found) - UnsafeRawPointer(bytes)
    }

    /// `GET /path HTTP/1.1`
    private mutating func readLine(_ bytes: UnsafePointer<UInt8>, _ end: Int) -> Bool {
        guard let space = memchr(bytes, 0x20, end) else { return false }
        pathStart = UnsafeRawPointer(space) - UnsafeRawPointer(bytes) + 1
        guard let second = memchr(bytes + pathStart, 0x20, end - pathStart) else { return false }
        pathEnd = UnsafeRawPointer(second) - UnsafeRawPointer(bytes)
        guard end - pathEnd >= 9, memcmp(bytes + pathEnd, " HTTP/1.", 8) == 0 else { return false }
        keepsAlive = bytes[pathEnd + 8] == UInt8(ascii: "1")
        isHead = pathStart == 5 && memcmp(bytes, "HEAD", 4) == 0
        return true
    }

    private mutating func readField(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Bool {
        let length = end - start
        if length > 15, strncasecmp(bytes + start, "content-length:", 15) == 0 {
            var index = start + 15
            while bytes[index] == 0x20 { index += 1 }
            bodyLength = 0
            while bytes[index] >= 0x30, bytes[index] <= 0x39, bodyLength < 1 << 40 {
                bodyLength = bodyLength * 10 + UInt64(bytes[index] - 0x30)
                index += 1
            }
            return bytes[index] == 0x0D || bytes[index] == 0x0A
        }
        if length > 11, strncasecmp(bytes + start, "connection:", 11) == 0 {
            var index = start + 11
            while bytes[index] == 0x20 { index += 1 }
            if strncasecmp(bytes + index, "close", min(5, end - index)) == 0 { keepsAlive = false }
            if strncasecmp(bytes + index, "keep-alive", min(10, end - index)) == 0 { keepsAlive = true }
        }
        return true
    }

    private func strncasecmp(_ bytes: UnsafePointer<UInt8>, _ word: StaticString, _ count: Int) -> Int32 {
        Glibc.strncasecmp(
            UnsafeRawPointer(bytes).assumingMemoryBound(to: CChar.self),
            UnsafeRawPointer(word.utf8Start).assumingMemoryBound(to: CChar.self),
            count
        )
    }
}
