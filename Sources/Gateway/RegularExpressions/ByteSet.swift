/// A set of bytes.
struct ByteSet: Hashable {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    init() {}

    init(_ byte: UInt8) { insert(byte) }

    init(_ ranges: ClosedRange<UInt8>...) { for range in ranges { insert(range) } }

    static let all = ByteSet(0...255)
    static let digits = ByteSet(0x30...0x39)
    static let wordBytes = ByteSet(0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A)
    /// RE2's `\s`: tab, line feed, form feed, carriage return, space.
    static let spaces = ByteSet(0x09...0x0A, 0x0C...0x0D, 0x20...0x20)

    func contains(_ byte: UInt8) -> Bool { self[Int(byte >> 6)] >> UInt64(byte & 63) & 1 == 1 }

    mutating func insert(_ byte: UInt8) { self[Int(byte >> 6)] |= 1 << UInt64(byte & 63) }

    mutating func insert(_ range: ClosedRange<UInt8>) { for byte in range { insert(byte) } }

    mutating func formUnion(_ other: ByteSet) { for word in 0..<4 { self[word] |= other[word] } }

    var inverted: ByteSet {
        var result = ByteSet()
        for word in 0..<4 { result[word] = ~self[word] }
        return result
    }

    /// With both cases of every letter in it.
    var caseFolded: ByteSet {
        var result = self
        for letter in UInt8(0x61)...0x7A {
            if contains(letter) { result.insert(letter - 32) }
            if contains(letter - 32) { result.insert(letter) }
        }
        return result
    }

    private subscript(word: Int) -> UInt64 {
        get {
            switch word {
            case 0: words.0
            case 1: words.1
            case 2: words.2
            default: words.3
            }
        }
        set {
            switch word {
            case 0: words.0 = newValue
            case 1: words.1 = newValue
            case 2: words.2 = newValue
            default: words.3 = newValue
            }
        }
    }

    static func == (left: ByteSet, right: ByteSet) -> Bool { left.words == right.words }

    func hash(into hasher: inout Hasher) { for word in 0..<4 { hasher.combine(self[word]) } }

    /// The classes of POSIX, as `[[:alpha:]]` names them.
    static let named: [String: ByteSet] = [
        "alnum": ByteSet(0x30...0x39, 0x41...0x5A, 0x61...0x7A), "alpha": ByteSet(0x41...0x5A, 0x61...0x7A),
        "ascii": ByteSet(0x00...0x7F), "blank": ByteSet(0x09...0x09, 0x20...0x20),
        "cntrl": ByteSet(0x00...0x1F, 0x7F...0x7F), "digit": digits, "graph": ByteSet(0x21...0x7E),
        "lower": ByteSet(0x61...0x7A), "print": ByteSet(0x20...0x7E),
        "punct": ByteSet(0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E),
        "space": ByteSet(0x09...0x0D, 0x20...0x20), "upper": ByteSet(0x41...0x5A), "word": wordBytes,
        "xdigit": ByteSet(0x30...0x39, 0x41...0x46, 0x61...0x66),
    ]
}
