/// Elements behind one plain pointer, for reading without reference counting. Whoever makes it frees it.
struct FlatArray<Element: BitwiseCopyable> {
    let base: UnsafeMutablePointer<Element>
    let count: Int

    init(_ elements: [Element]) {
        count = elements.count
        base = .allocate(capacity: Swift.max(1, count))
        base.initialize(from: elements, count: count)
    }

    @inline(__always)
    subscript(index: Int) -> Element {
        @inline(__always) get {
            precondition(index >= 0 && index < count, "An index of a flat array must be below its count.")
            return base[index]
        }
    }

    func free() { base.deallocate() }
}

/// Bytes of a larger piece of memory.
struct ByteRange: BitwiseCopyable, Hashable {
    var start: UInt32 = 0
    var count: UInt32 = 0

    var isEmpty: Bool { count == 0 }
}

/// Elements of a ``FlatArray``.
struct RowRange: BitwiseCopyable, Hashable {
    var start: UInt32 = 0
    var count: UInt32 = 0

    @inline(__always) var indices: Range<Int> { Int(start)..<Int(start) + Int(count) }
}

/// Bytes seen without owning them; valid only while the owner lets them be.
struct ByteSpan: BitwiseCopyable {
    var base: UnsafePointer<UInt8>
    var count: Int

    @inline(__always) init(_ base: UnsafePointer<UInt8>, _ count: Int) {
        self.base = base
        self.count = count
    }

    static var empty: ByteSpan {
        let nothing: StaticString = ""
        return ByteSpan(nothing.utf8Start, 0)
    }

    @inline(__always) subscript(index: Int) -> UInt8 { base[index] }

    @inline(__always) func dropFirst(_ n: Int) -> ByteSpan { ByteSpan(base + n, count - n) }

    @inline(__always) func slice(_ range: ByteRange) -> ByteSpan { ByteSpan(base + Int(range.start), Int(range.count)) }

    @inline(__always) func equals(_ word: StaticString) -> Bool {
        equals(ByteSpan(word.utf8Start, word.utf8CodeUnitCount))
    }

    @inline(__always) func equals(_ other: ByteSpan) -> Bool {
        guard count == other.count else { return false }
        for index in 0..<count where base[index] != other.base[index] { return false }
        return true
    }

    /// ASCII letters count as equal in both cases; `lowercased` must be in lower case.
    @inline(__always) func equalsIgnoringCase(lowercased other: ByteSpan) -> Bool {
        guard count == other.count else { return false }
        for index in 0..<count where ASCII.lowercased(base[index]) != other.base[index] { return false }
        return true
    }

    @inline(__always) func equalsIgnoringCase(_ word: StaticString) -> Bool {
        equalsIgnoringCase(lowercased: ByteSpan(word.utf8Start, word.utf8CodeUnitCount))
    }

    /// - Parameter word: in lower case.
    @inline(__always) func startsIgnoringCase(_ word: StaticString) -> Bool {
        let length = word.utf8CodeUnitCount
        return count >= length && ByteSpan(base, length).equalsIgnoringCase(word)
    }

    var string: String { String(decoding: UnsafeBufferPointer(start: base, count: count), as: UTF8.self) }
}

/// Bytes of ASCII by their role in HTTP.
enum ASCII {
    static let tab: UInt8 = 0x09
    static let lf: UInt8 = 0x0A
    static let cr: UInt8 = 0x0D
    static let space: UInt8 = 0x20
    static let slash: UInt8 = 0x2F
    static let colon: UInt8 = 0x3A

    @inline(__always) static func lowercased(_ byte: UInt8) -> UInt8 {
        byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
    }

    @inline(__always) static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

    /// The value of a hexadecimal digit, or 255.
    @inline(__always) static func hexadecimalValue(_ byte: UInt8) -> UInt8 {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: 255
        }
    }

    /// RFC 9110 §5.6.2 `tchar`
    @inline(__always) static func isToken(_ byte: UInt8) -> Bool {
        // Two 64-bit sets: bytes 0-63 and 64-127.
        let low: UInt64 = 0x03FF_6CFA_0000_0000
        let high: UInt64 = 0x57FF_FFFF_C7FF_FFFE
        if byte < 64 { return low >> UInt64(byte) & 1 == 1 }
        if byte < 128 { return high >> UInt64(byte - 64) & 1 == 1 }
        return false
    }
}
