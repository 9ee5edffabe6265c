import Glibc

/// Reads the field lines that follow a start line.
enum FieldParser {
    static let maximumFields = 128
    static let maximumHead = 32 * 1024
    static let maximumTarget = 16 * 1024

    /// The length of the head that starts `bytes`, its empty line included, or `nil` while it is incomplete. Lines that end wrongly
    /// count too, so that a malformed head is refused at once and not waited for.
    /// - Parameter offset: bytes that an earlier call has seen already.
    static func headLength(of bytes: ByteSpan, from offset: Int = 0) -> Int? {
        var position = Swift.max(0, offset - 3)
        while position < bytes.count,
            let found = memchr(bytes.base + position, Int32(ASCII.lf), bytes.count - position)
        {
            let next = UnsafePointer(found.assumingMemoryBound(to: UInt8.self)) - bytes.base + 1
            if next < bytes.count, bytes[next] == ASCII.lf { return next + 1 }
            if next + 1 < bytes.count, bytes[next] == ASCII.cr, bytes[next + 1] == ASCII.lf { return next + 2 }
            position = next
        }
        return nil
    }

    /// The index of the CR that ends the line at `start`.
    @inline(__always)
    static func lineEnd(_ head: ByteSpan, from start: Int) throws(HeadFault) -> Int {
        guard let found = memchr(head.base + start, Int32(ASCII.lf), head.count - start) else {
            throw .malformedStartLine
        }
        let feed = UnsafePointer(found.assumingMemoryBound(to: UInt8.self)) - head.base
        guard feed > start, head[feed - 1] == ASCII.cr else { throw .bareLineFeed }
        return feed - 1
    }

    /// Reads all fields from `start` to the empty line; returns their number.
    static func parse(
        _ head: ByteSpan,
        from start: Int,
        into fields: UnsafeMutablePointer<HeaderField>
    ) throws(HeadFault) -> Int {
        var position = start
        var count = 0
        while true {
            let end = try lineEnd(head, from: position)
            if end == position { return count }
            guard count < maximumFields else { throw .tooManyFields }
            fields[count] = try field(head, from: position, to: end)
            count += 1
            position = end + 2
        }
    }

    @inline(__always)
    private static func field(_ head: ByteSpan, from start: Int, to end: Int) throws(HeadFault) -> HeaderField {
        var colon = start
        while colon < end, ASCII.isToken(head[colon]) { colon += 1 }
        guard colon < end, head[colon] == ASCII.colon, colon > start else {
            throw head[start] == ASCII.space || head[start] == ASCII.tab ? .foldedField : .malformedField
        }
        var valueStart = colon + 1
        while valueStart < end, isBlank(head[valueStart]) { valueStart += 1 }
        var valueEnd = end
        while valueEnd > valueStart, isBlank(head[valueEnd - 1]) { valueEnd -= 1 }
        try checkValue(head, from: valueStart, to: valueEnd)
        return HeaderField(
            name: range(start, colon),
            value: range(valueStart, valueEnd),
            line: range(start, end + 2),
            kind: .of(ByteSpan(head.base + start, colon - start))
        )
    }

    @inline(__always) private static func isBlank(_ byte: UInt8) -> Bool { byte == ASCII.space || byte == ASCII.tab }

    @inline(__always) static func range(_ start: Int, _ end: Int) -> ByteRange {
        ByteRange(start: UInt32(truncatingIfNeeded: start), count: UInt32(truncatingIfNeeded: end - start))
    }

    /// Refuses control characters but the tab, eight bytes at a time.
    @inline(__always)
    private static func checkValue(_ head: ByteSpan, from start: Int, to end: Int) throws(HeadFault) {
        var index = start
        let ones: UInt64 = 0x0101_0101_0101_0101
        let tops: UInt64 = 0x8080_8080_8080_8080
        while index + 8 <= end {
            let word = UnsafeRawPointer(head.base + index).loadUnaligned(as: UInt64.self)
            let below = (word &- ones &* 0x20) & ~word & tops
            let delete = word ^ ones &* 0x7F
            let isDelete = (delete &- ones) & ~delete & tops
            if below | isDelete != 0 { try checkBytes(head, from: index, to: index + 8) }
            index += 8
        }
        try checkBytes(head, from: index, to: end)
    }

    @inline(__always)
    private static func checkBytes(_ head: ByteSpan, from start: Int, to end: Int) throws(HeadFault) {
        for index in start..<end where head[index] < 0x20 && head[index] != ASCII.tab || head[index] == 0x7F {
            throw .controlCharacter
        }
    }

    // MARK: - Values

    /// RFC 9110 §8.6; at most 18 digits, so that sums never overflow.
    static func contentLength(_ value: ByteSpan) throws(HeadFault) -> UInt64 {
        guard value.count > 0, value.count <= 18 else { throw .malformedContentLength }
        var length: UInt64 = 0
        for index in 0..<value.count {
            guard ASCII.isDigit(value[index]) else { throw .malformedContentLength }
            length = length * 10 + UInt64(value[index] - 0x30)
        }
        return length
    }

    /// Calls `body` with each member of a comma-separated list until it answers `true`; says whether one did.
    @inline(__always)
    static func anyMember(of value: ByteSpan, _ body: (ByteSpan) -> Bool) -> Bool {
        var start = 0
        while start <= value.count {
            var end = start
            while end < value.count, value[end] != UInt8(ascii: ",") { end += 1 }
            var first = start
            var last = end
            while first < last, isBlank(value[first]) { first += 1 }
            while last > first, isBlank(value[last - 1]) { last -= 1 }
            if last > first, body(ByteSpan(value.base + first, last - first)) { return true }
            start = end + 1
        }
        return false
    }
}

/// What the `Connection` fields of a head say.
struct ConnectionOptions: BitwiseCopyable {
    var close = false
    var keepAlive = false
    var upgrade = false
    /// Names other fields, which then must not go on.
    var nominates = false

    @inline(__always)
    mutating func add(_ value: ByteSpan) {
        var options = self
        _ = FieldParser.anyMember(of: value) { member in
            if member.equalsIgnoringCase("close") {
                options.close = true
            } else if member.equalsIgnoringCase("keep-alive") {
                options.keepAlive = true
            } else if member.equalsIgnoringCase("upgrade") {
                options.upgrade = true
            } else {
                options.nominates = true
            }
            return false
        }
        self = options
    }
}
