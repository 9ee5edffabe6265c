/// What a pattern says.
indirect enum RegularExpressionSyntax: Hashable {
    case empty
    case bytes(ByteSet)
    case sequence([RegularExpressionSyntax])
    case alternatives([RegularExpressionSyntax])
    /// Without an upper bound where it is `nil`.
    case repetition(RegularExpressionSyntax, least: Int, most: Int?)
    case start
    case end
}

/// Reads a pattern: RE2's syntax over bytes (https://github.com/google/re2/wiki/Syntax) without Unicode classes and word boundaries.
struct RegularExpressionParser {
    private let pattern: [UInt8]
    private var position = 0
    private var nesting = 0
    private var flags = Flags()

    private struct Flags {
        var ignoresCase = false
        /// `.` takes line feeds, too.
        var dotTakesAll = false
    }

    init(_ pattern: String) { self.pattern = Array(pattern.utf8) }

    mutating func parse() throws(RegularExpressionError) -> RegularExpressionSyntax {
        guard pattern.count <= RegularExpression.Limits.bytes else {
            throw RegularExpressionError("it has more than \(RegularExpression.Limits.bytes) bytes")
        }
        let syntax = try alternatives()
        guard position == pattern.count else {
            throw fault("there is a ) without its (; write \\) for the sign itself")
        }
        return syntax
    }

    // MARK: - Structure

    private mutating func alternatives() throws(RegularExpressionError) -> RegularExpressionSyntax {
        var branches = [try sequence()]
        while take("|") { branches.append(try sequence()) }
        return branches.count == 1 ? branches[0] : .alternatives(branches)
    }

    private mutating func sequence() throws(RegularExpressionError) -> RegularExpressionSyntax {
        var items: [RegularExpressionSyntax] = []
        while let byte = peek, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
            let atom = try atom()
            items.append(try repeated(atom))
        }
        switch items.count {
        case 0: return .empty
        case 1: return items[0]
        default: return .sequence(items)
        }
    }

    private mutating func repeated(
        _ atom: RegularExpressionSyntax
    ) throws(RegularExpressionError) -> RegularExpressionSyntax {
        guard let (least, most) = try quantifier() else { return atom }
        _ = take("?")  // prefers fewer repetitions, which only captures would show
        let next = position
        if try quantifier() != nil {
            position = next
            throw fault("a repetition cannot be repeated; put it into a group")
        }
        return .repetition(atom, least: least, most: most)
    }

    private mutating func quantifier() throws(RegularExpressionError) -> (Int, Int?)? {
        if take("*") { return (0, nil) }
        if take("+") { return (1, nil) }
        if take("?") { return (0, 1) }
        guard peek == UInt8(ascii: "{") else { return nil }
        return try counts()
    }

    /// `{n}`, `{n,}` or `{n,m}`; anything else in braces is plain text, as in RE2.
    private mutating func counts() throws(RegularExpressionError) -> (Int, Int?)? {
        let start = position
        position += 1
        guard let least = number() else {
            position = start
            return nil
        }
        var most: Int? = least
        if take(",") { most = peek == UInt8(ascii: "}") ? nil : number() ?? -1 }
        guard take("}"), most != -1 else {
            position = start
            return nil
        }
        let limit = RegularExpression.Limits.repetitions
        guard least <= limit, (most ?? 0) <= limit else {
            throw fault("more than \(limit) repetitions are not supported")
        }
        guard most ?? least >= least else { throw fault("the repetition {\(least),\(most ?? 0)} is upside down") }
        return (least, most)
    }

    private mutating func number() -> Int? {
        let start = position
        while let byte = peek, ASCII.isDigit(byte) { position += 1 }
        guard position > start, position - start <= 5 else { return nil }
        return Int(String(decoding: pattern[start..<position], as: UTF8.self))
    }

    // MARK: - Atoms

    private mutating func atom() throws(RegularExpressionError) -> RegularExpressionSyntax {
        switch pattern[position] {
        case UInt8(ascii: "("): return try group()
        case UInt8(ascii: "["):
            position += 1
            return .bytes(try bracket())
        case UInt8(ascii: "."):
            position += 1
            return .bytes(flags.dotTakesAll ? .all : ByteSet(ASCII.lf).inverted)
        case UInt8(ascii: "^"):
            position += 1
            return .start
        case UInt8(ascii: "$"):
            position += 1
            return .end
        case UInt8(ascii: "\\"): return try escape()
        case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"):
            throw fault(
                "there is nothing to repeat; write \\\(Character(Unicode.Scalar(pattern[position]))) for the sign"
            )
        default: return character()
        }
    }

    /// A character beyond ASCII is the sequence of its bytes, so that a repetition repeats all of them.
    private mutating func character() -> RegularExpressionSyntax {
        let first = pattern[position]
        position += 1
        guard first >= 0x80 else { return .bytes(folded(ByteSet(first))) }
        var bytes = [RegularExpressionSyntax.bytes(ByteSet(first))]
        while let byte = peek, byte & 0xC0 == 0x80 {
            bytes.append(.bytes(ByteSet(byte)))
            position += 1
        }
        return .sequence(bytes)
    }

    private func folded(_ set: ByteSet) -> ByteSet { flags.ignoresCase ? set.caseFolded : set }

    // MARK: - Groups

    private mutating func group() throws(RegularExpressionError) -> RegularExpressionSyntax {
        let opening = position
        position += 1
        let outer = flags
        if take("?"), try groupOptions() {
            // `(?i)` without a colon holds until the end of the group around it.
            return .empty
        }
        nesting += 1
        guard nesting <= RegularExpression.Limits.nesting else {
            throw fault("groups are nested more than \(RegularExpression.Limits.nesting) deep")
        }
        let syntax = try alternatives()
        guard take(")") else {
            position = opening
            throw fault("the ( has no ); write \\( for the sign itself")
        }
        nesting -= 1
        flags = outer
        return syntax
    }

    /// - Returns: whether the group was only a change of flags and is over.
    private mutating func groupOptions() throws(RegularExpressionError) -> Bool {
        if take(":") { return false }
        if take("=") || take("!") { throw fault("look-ahead is not supported") }
        if take("<=") || take("<!") { throw fault("look-behind is not supported") }
        if take("P<") || take("<") {
            while let byte = peek, ByteSet.wordBytes.contains(byte) { position += 1 }
            guard take(">") else { throw fault("the name of a group must be letters and digits in <>") }
            return false
        }
        var isOn = true
        while let byte = peek {
            position += 1
            switch byte {
            case UInt8(ascii: "i"): flags.ignoresCase = isOn
            case UInt8(ascii: "s"): flags.dotTakesAll = isOn
            case UInt8(ascii: "-") where isOn: isOn = false
            case UInt8(ascii: ":"): return false
            case UInt8(ascii: ")"): return true
            default: throw fault("the flag \(Character(Unicode.Scalar(byte))) is not supported; use i and s")
            }
        }
        throw fault("the ( has no )")
    }

    // MARK: - Escapes

    private mutating func escape() throws(RegularExpressionError) -> RegularExpressionSyntax {
        guard position + 1 < pattern.count else { throw fault("the \\ at the end escapes nothing; write \\\\") }
        switch pattern[position + 1] {
        case UInt8(ascii: "A"):
            position += 2
            return .start
        case UInt8(ascii: "z"):
            position += 2
            return .end
        case UInt8(ascii: "b"), UInt8(ascii: "B"): throw fault("word boundaries (\\b) are not supported")
        case UInt8(ascii: "1")...UInt8(ascii: "9"): throw fault("back references are not supported")
        case UInt8(ascii: "p"), UInt8(ascii: "P"): throw fault("Unicode classes (\\p) are not supported; use [A-Za-z]")
        default: return .bytes(folded(try escapedSet()))
        }
    }

    /// What an escape stands for inside and outside of brackets.
    private mutating func escapedSet() throws(RegularExpressionError) -> ByteSet {
        guard position + 1 < pattern.count else { throw fault("the \\ at the end escapes nothing; write \\\\") }
        let byte = pattern[position + 1]
        position += 2
        switch byte {
        case UInt8(ascii: "d"): return .digits
        case UInt8(ascii: "D"): return ByteSet.digits.inverted
        case UInt8(ascii: "w"): return .wordBytes
        case UInt8(ascii: "W"): return ByteSet.wordBytes.inverted
        case UInt8(ascii: "s"): return .spaces
        case UInt8(ascii: "S"): return ByteSet.spaces.inverted
        case UInt8(ascii: "t"): return ByteSet(0x09)
        case UInt8(ascii: "n"): return ByteSet(0x0A)
        case UInt8(ascii: "v"): return ByteSet(0x0B)
        case UInt8(ascii: "f"): return ByteSet(0x0C)
        case UInt8(ascii: "r"): return ByteSet(0x0D)
        case UInt8(ascii: "a"): return ByteSet(0x07)
        case UInt8(ascii: "x"): return ByteSet(try hexadecimal())
        default:
            guard byte < 0x80, !ByteSet.wordBytes.contains(byte) else {
                position -= 2
                throw fault("there is no escape \\\(String(decoding: [byte], as: UTF8.self))")
            }
            return ByteSet(byte)
        }
    }

    /// `\x7F` or `\x{7F}`
    private mutating func hexadecimal() throws(RegularExpressionError) -> UInt8 {
        let isBraced = take("{")
        var value = 0
        var digits = 0
        while let byte = peek, ASCII.hexadecimalValue(byte) < 16, digits < 2 {
            value = value * 16 + Int(ASCII.hexadecimalValue(byte))
            digits += 1
            position += 1
        }
        guard digits == 2 || isBraced && digits > 0, !isBraced || take("}"), value < 0x80 else {
            throw fault("\\x needs two hexadecimal digits up to 7F")
        }
        return UInt8(value)
    }

    // MARK: - Brackets

    private mutating func bracket() throws(RegularExpressionError) -> ByteSet {
        let opening = position - 1
        let isInverted = take("^")
        var set = ByteSet()
        var isFirst = true
        while let byte = peek, isFirst || byte != UInt8(ascii: "]") {
            isFirst = false
            try addMember(to: &set)
        }
        guard take("]") else {
            position = opening
            throw fault("the [ has no ]; write \\[ for the sign itself")
        }
        let result = folded(set)
        return isInverted ? result.inverted : result
    }

    private mutating func addMember(to set: inout ByteSet) throws(RegularExpressionError) {
        if take("[:") { return set.formUnion(try namedClass()) }
        guard let first = try member(orAddTo: &set) else { return }
        guard peek == UInt8(ascii: "-"), position + 1 < pattern.count, pattern[position + 1] != UInt8(ascii: "]") else {
            return set.insert(first)
        }
        position += 1
        let start = position
        var none = ByteSet()
        guard let last = try member(orAddTo: &none) else { throw fault("a range must end with a single character") }
        guard last >= first else {
            position = start
            throw fault("the range in [] is upside down")
        }
        set.insert(first...last)
    }

    /// One byte, or `nil` after a class like `\d` was added.
    private mutating func member(orAddTo set: inout ByteSet) throws(RegularExpressionError) -> UInt8? {
        guard let byte = peek else { throw fault("the [ has no ]") }
        guard byte < 0x80 else { throw fault("[] holds only ASCII; write (ä|ö) for others") }
        guard byte == UInt8(ascii: "\\") else {
            position += 1
            return byte
        }
        let members = try escapedSet()
        let single = (0...127).filter { members.contains(UInt8($0)) }
        if single.count == 1, !members.contains(0x80) { return UInt8(single[0]) }
        set.formUnion(members)
        return nil
    }

    private mutating func namedClass() throws(RegularExpressionError) -> ByteSet {
        let start = position
        while let byte = peek, ByteSet.wordBytes.contains(byte) { position += 1 }
        let name = String(decoding: pattern[start..<position], as: UTF8.self)
        guard take(":]"), let set = ByteSet.named[name] else {
            position = start
            throw fault(
                "there is no class [:\(name):]; known are \(ByteSet.named.keys.sorted().joined(separator: ", "))"
            )
        }
        return set
    }

    // MARK: - Reading

    private var peek: UInt8? { position < pattern.count ? pattern[position] : nil }

    private mutating func take(_ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard pattern.count - position >= count else { return false }
        for index in 0..<count where pattern[position + index] != text.utf8Start[index] { return false }
        position += count
        return true
    }

    private func fault(_ message: String) -> RegularExpressionError {
        let before = String(decoding: pattern[..<min(position, pattern.count)], as: UTF8.self)
        return RegularExpressionError("\(message) (character \(before.count + 1))")
    }
}
