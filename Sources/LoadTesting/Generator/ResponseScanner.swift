import Glibc

/// Finds the end of an HTTP/1 answer and what a client must know of it (RFC 9112), without keeping anything of it.
struct ResponseScanner: BitwiseCopyable {
    enum State: UInt8 { case head, length, chunked, untilClose, complete, malformed }

    private(set) var state = State.head
    private(set) var status: UInt16 = 0
    private(set) var keepsAlive = true
    /// Bytes of the body that are still to come, where their number is known.
    private(set) var remaining: UInt64 = 0
    private var chunk = ChunkScanner()
    private let toHead: Bool

    init(toHead: Bool) { self.toHead = toHead }

    /// Takes what was received; returns how much of it belongs to this answer. In the state `head`, what was not taken must be given
    /// again, together with more.
    @inline(__always)
    mutating func scan(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        var used = 0
        while state == .head {
            guard let length = scanHead(bytes + used, count - used) else { return used }
            used += length
        }
        return used + scanBody(bytes + used, count - used)
    }

    /// Counts bytes of a body with a known length that were dropped unread.
    mutating func skip(_ count: UInt64) {
        remaining -= count
        if remaining == 0 { state = .complete }
    }

    /// The peer ended its side: an end only where the answer has no other.
    mutating func end() {
        if state == .untilClose { state = .complete }
    }

    // MARK: - Body

    private mutating func scanBody(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        switch state {
        case .length:
            let taken = min(remaining, UInt64(count))
            skip(taken)
            return Int(taken)
        case .chunked:
            let taken = chunk.scan(bytes, count)
            if chunk.isComplete { state = .complete }
            if chunk.isMalformed { state = .malformed }
            return taken
        case .untilClose: return count
        case .head, .complete, .malformed: return 0
        }
    }

    // MARK: - Head

    /// The length of the head, or `nil` while it is not all there; then it is read again from its start.
    private mutating func scanHead(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int? {
        guard let first = Self.lineEnd(bytes, 0, count) else { return nil }
        guard readStatus(bytes, first) else { return fail(count) }
        var framing = Framing()
        var start = first + 1
        while let end = Self.lineEnd(bytes, start, count) {
            if bytes[start] == 0x0A || bytes[start] == 0x0D && end == start + 1 {
                decideBody(framing)
                return end + 1
            }
            if !readField(bytes, start, end, &framing) { return fail(count) }
            start = end + 1
        }
        return nil
    }

    @inline(__always)
    private static func lineEnd(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> Int? {
        guard start < count, let found = memchr(bytes + start, 0x0A, count - start) else { return nil }
        return UnsafeRawPointer(found) - UnsafeRawPointer(bytes)
    }

    private mutating func fail(_ count: Int) -> Int {
        state = .malformed
        return count
    }

    /// `HTTP/1.1 200 OK`
    private mutating func readStatus(_ bytes: UnsafePointer<UInt8>, _ end: Int) -> Bool {
        guard end >= 12, memcmp(bytes, "HTTP/1.", 7) == 0, bytes[8] == 0x20 else { return false }
        var value: UInt16 = 0
        for index in 9..<12 {
            let digit = bytes[index] &- 0x30
            guard digit < 10 else { return false }
            value = value * 10 + UInt16(digit)
        }
        guard value >= 100, value != 101 else { return false }
        status = value
        keepsAlive = bytes[7] == UInt8(ascii: "1")
        return true
    }

    private struct Framing {
        var length: UInt64?
        var isChunked = false
    }

    /// Only fields that start with a letter c or t can matter.
    @inline(__always)
    private mutating func readField(
        _ bytes: UnsafePointer<UInt8>,
        _ start: Int,
        _ end: Int,
        _ framing: inout Framing
    ) -> Bool {
        switch bytes[start] | 0x20 {
        case UInt8(ascii: "c"):
            if let value = Self.value(bytes, start, end, of: "content-length:") {
                guard let length = Self.number(value), framing.length == nil || framing.length == length else {
                    return false
                }
                framing.length = length
            } else if let value = Self.value(bytes, start, end, of: "connection:") {
                if Self.equals(value, "close") { keepsAlive = false }
                if Self.equals(value, "keep-alive") { keepsAlive = true }
            }
        case UInt8(ascii: "t"):
            if let value = Self.value(bytes, start, end, of: "transfer-encoding:") {
                guard Self.equals(value, "chunked") else { return false }
                framing.isChunked = true
            }
        default: break
        }
        return true
    }

    private mutating func decideBody(_ framing: Framing) {
        if status < 200 { return }  // an interim answer; the final one follows
        if toHead || status == 204 || status == 304 {
            state = .complete
        } else if framing.isChunked {
            state = .chunked
        } else if let length = framing.length {
            remaining = length
            state = length == 0 ? .complete : .length
        } else {
            keepsAlive = false
            state = .untilClose
        }
    }

    /// The value of the field in the line, without white space around it, when the line starts with `name` in any case.
    @inline(__always)
    private static func value(
        _ bytes: UnsafePointer<UInt8>,
        _ start: Int,
        _ end: Int,
        of name: StaticString
    ) -> UnsafeBufferPointer<UInt8>? {
        let length = name.utf8CodeUnitCount
        guard end - start >= length, matches(bytes + start, name) else { return nil }
        var (from, to) = (start + length, end)
        while from < to, bytes[from] == 0x20 || bytes[from] == 0x09 { from += 1 }
        while to > from, bytes[to - 1] <= 0x20 { to -= 1 }
        return UnsafeBufferPointer(start: bytes + from, count: to - from)
    }

    @inline(__always)
    private static func equals(_ value: UnsafeBufferPointer<UInt8>, _ word: StaticString) -> Bool {
        value.count == word.utf8CodeUnitCount && matches(value.baseAddress!, word)
    }

    /// `word` is in lower case.
    @inline(__always)
    private static func matches(_ bytes: UnsafePointer<UInt8>, _ word: StaticString) -> Bool {
        for index in 0..<word.utf8CodeUnitCount {
            let wanted = word.utf8Start[index]
            let folded = wanted >= 0x61 && wanted <= 0x7A ? bytes[index] | 0x20 : bytes[index]
            guard folded == wanted else { return false }
        }
        return true
    }

    private static func number(_ value: UnsafeBufferPointer<UInt8>) -> UInt64? {
        guard value.count > 0, value.count <= 18 else { return nil }
        var number: UInt64 = 0
        for byte in value {
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            number = number * 10 + UInt64(byte - 0x30)
        }
        return number
    }
}

/// Finds the end of a body in chunks (RFC 9112 §7.1).
struct ChunkScanner: BitwiseCopyable {
    private enum State: UInt8 { case size, sizeEnd, data, dataEnd, trailerStart, trailer, complete, malformed }

    private var state = State.size
    private var digits: UInt8 = 0
    private var remaining: UInt64 = 0

    var isComplete: Bool { state == .complete }
    var isMalformed: Bool { state == .malformed }

    /// Returns how many bytes belong to the body.
    mutating func scan(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        var index = 0
        while index < count, state != .complete, state != .malformed {
            if state == .data {
                let run = min(remaining, UInt64(count - index))
                remaining -= run
                index += Int(run)
                if remaining == 0 { state = .dataEnd }
            } else {
                step(bytes[index])
                index += 1
            }
        }
        return index
    }

    /// Line feeds decide; carriage returns and extensions are passed over.
    private mutating func step(_ byte: UInt8) {
        switch state {
        case .size: readSize(byte)
        case .sizeEnd:
            guard byte == 0x0A else { return }
            digits = 0
            state = remaining == 0 ? .trailerStart : .data
        case .dataEnd:
            if byte == 0x0A { state = .size } else if byte != 0x0D { state = .malformed }
        case .trailerStart:
            if byte == 0x0A { state = .complete } else if byte != 0x0D { state = .trailer }
        case .trailer:
            if byte == 0x0A { state = .trailerStart }
        case .data, .complete, .malformed: preconditionFailure("Data and the end are not stepped through.")
        }
    }

    private mutating func readSize(_ byte: UInt8) {
        let digit: UInt8 =
            switch byte {
            case 0x30...0x39: byte - 0x30
            case 0x41...0x46, 0x61...0x66: (byte | 0x20) - 0x57
            default: 16
            }
        if digit < 16, digits < 15 {
            remaining = remaining << 4 | UInt64(digit)
            digits += 1
        } else if digits > 0, byte == 0x0D || byte == 0x3B || byte == 0x20 {
            state = .sizeEnd
        } else if digits > 0, byte == 0x0A {
            state = .sizeEnd
            step(byte)
        } else {
            state = .malformed
        }
    }
}
