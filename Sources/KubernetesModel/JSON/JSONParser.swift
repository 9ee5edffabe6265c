/// Says what is wrong with a JSON text and where.
package struct JSONSyntaxError: Error, Equatable, CustomStringConvertible {
    /// The offset of the first byte that cannot be part of a JSON text.
    package let offset: Int
    package let message: String

    package init(offset: Int, message: String) {
        self.offset = offset
        self.message = message
    }

    package var description: String { "invalid JSON at byte \(offset): \(message)" }
}

extension JSON {
    /// The deepest nesting that is read; deeper texts are refused, so that hostile input cannot exhaust the stack.
    package static let maximumDepth = 512

    /// Reads one JSON text (RFC 8259). Strict: UTF-8 is checked, nothing may follow the value, and of fields that repeat the last one
    /// counts.
    package init(parsing bytes: some Collection<UInt8>) throws(JSONSyntaxError) {
        var result: Result<JSON, JSONSyntaxError>?
        bytes.withContiguousStorageIfAvailable { buffer in
            result = Result { () throws(JSONSyntaxError) in try JSON.parse(buffer) }
        }
        if let result {
            self = try result.get()
            return
        }
        let copy = Array(bytes)
        let copied = copy.withUnsafeBufferPointer { buffer in
            Result { () throws(JSONSyntaxError) in try JSON.parse(buffer) }
        }
        self = try copied.get()
    }

    package init(parsing text: String) throws(JSONSyntaxError) {
        try self.init(parsing: Array(text.utf8))
    }

    private static func parse(_ buffer: UnsafeBufferPointer<UInt8>) throws(JSONSyntaxError) -> JSON {
        var parser = JSONParser(bytes: buffer)
        return try parser.parseDocument()
    }
}

private struct JSONParser {
    let bytes: UnsafeBufferPointer<UInt8>
    var position = 0

    mutating func parseDocument() throws(JSONSyntaxError) -> JSON {
        let value = try parseValue(depth: 0)
        skipWhitespace()
        guard position == bytes.count else { throw error("nothing may follow the value") }
        return value
    }

    private mutating func parseValue(depth: Int) throws(JSONSyntaxError) -> JSON {
        guard depth < JSON.maximumDepth else { throw error("nested deeper than \(JSON.maximumDepth) levels") }
        skipWhitespace()
        switch try peek("a value") {
        case UInt8(ascii: "{"): return try parseObject(depth: depth)
        case UInt8(ascii: "["): return try parseArray(depth: depth)
        case UInt8(ascii: "\""): return .string(try parseString())
        case UInt8(ascii: "t"): return try parseWord("true", .bool(true))
        case UInt8(ascii: "f"): return try parseWord("false", .bool(false))
        case UInt8(ascii: "n"): return try parseWord("null", .null)
        default: return try parseNumber()
        }
    }

    private mutating func parseObject(depth: Int) throws(JSONSyntaxError) -> JSON {
        position += 1
        var object: JSONObject = [:]
        skipWhitespace()
        if try peek("a field name or '}'") == UInt8(ascii: "}") {
            position += 1
            return .object(object)
        }
        object.reserveCapacity(4)
        while true {
            skipWhitespace()
            guard try peek("a field name") == UInt8(ascii: "\"") else { throw error("expected a field name in quotes") }
            let key = try parseString()
            skipWhitespace()
            guard try peek("':'") == UInt8(ascii: ":") else { throw error("expected ':' after the field name") }
            position += 1
            object[key] = try parseValue(depth: depth + 1)
            skipWhitespace()
            switch try peek("',' or '}'") {
            case UInt8(ascii: ","): position += 1
            case UInt8(ascii: "}"):
                position += 1
                return .object(object)
            default: throw error("expected ',' or '}'")
            }
        }
    }

    private mutating func parseArray(depth: Int) throws(JSONSyntaxError) -> JSON {
        position += 1
        var elements: [JSON] = []
        skipWhitespace()
        if try peek("a value or ']'") == UInt8(ascii: "]") {
            position += 1
            return .array(elements)
        }
        while true {
            elements.append(try parseValue(depth: depth + 1))
            skipWhitespace()
            switch try peek("',' or ']'") {
            case UInt8(ascii: ","): position += 1
            case UInt8(ascii: "]"):
                position += 1
                return .array(elements)
            default: throw error("expected ',' or ']'")
            }
        }
    }

    private mutating func parseWord(_ word: StaticString, _ value: JSON) throws(JSONSyntaxError) -> JSON {
        let length = word.utf8CodeUnitCount
        guard position + length <= bytes.count else { throw error("expected '\(word)'") }
        for index in 0..<length where bytes[position + index] != word.utf8Start[index] {
            throw error("expected '\(word)'")
        }
        position += length
        return value
    }

    // MARK: - Strings

    private mutating func parseString() throws(JSONSyntaxError) -> String {
        position += 1
        let start = position
        position += StringBytes.plainPrefix(of: UnsafeBufferPointer(rebasing: bytes[start...]))
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "\""):
                let text = try string(from: UnsafeBufferPointer(rebasing: bytes[start..<position]), at: start)
                position += 1
                return text
            case UInt8(ascii: "\\"): return try parseEscapedString(from: start)
            case 0..<0x20: throw error("control characters in strings must be escaped")
            default: position += 1
            }
        }
        throw error("a string does not end")
    }

    private mutating func parseEscapedString(from start: Int) throws(JSONSyntaxError) -> String {
        var text = Array(bytes[start..<position])
        while position < bytes.count {
            let byte = bytes[position]
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                return try text.withUnsafeBufferPointerTyped { buffer throws(JSONSyntaxError) in
                    try string(from: buffer, at: start)
                }
            case UInt8(ascii: "\\"): try parseEscape(into: &text)
            case 0..<0x20: throw error("control characters in strings must be escaped")
            default:
                text.append(byte)
                position += 1
            }
        }
        throw error("a string does not end")
    }

    private mutating func parseEscape(into text: inout [UInt8]) throws(JSONSyntaxError) {
        position += 1
        let escape = try peek("an escape")
        position += 1
        switch escape {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(escape)
        case UInt8(ascii: "b"): text.append(8)
        case UInt8(ascii: "f"): text.append(12)
        case UInt8(ascii: "n"): text.append(10)
        case UInt8(ascii: "r"): text.append(13)
        case UInt8(ascii: "t"): text.append(9)
        case UInt8(ascii: "u"): text.append(contentsOf: String(Character(try parseUnicodeEscape())).utf8)
        default: throw error("unknown escape")
        }
    }

    /// A lone surrogate becomes U+FFFD, as in Go's decoder, which wrote most of the objects that arrive here.
    private mutating func parseUnicodeEscape() throws(JSONSyntaxError) -> Unicode.Scalar {
        let first = try parseHexadecimalDigits()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard (0xD800..<0xDC00).contains(first), position + 6 <= bytes.count, bytes[position] == UInt8(ascii: "\\"),
            bytes[position + 1] == UInt8(ascii: "u")
        else { return "\u{FFFD}" }
        let mark = position
        position += 2
        let second = try parseHexadecimalDigits()
        guard (0xDC00..<0xE000).contains(second) else {
            position = mark
            return "\u{FFFD}"
        }
        return Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00)) ?? "\u{FFFD}"
    }

    private mutating func parseHexadecimalDigits() throws(JSONSyntaxError) -> UInt32 {
        guard position + 4 <= bytes.count else { throw error("expected four hexadecimal digits") }
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue else {
                throw error("expected four hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }

    private func string(from buffer: UnsafeBufferPointer<UInt8>, at offset: Int) throws(JSONSyntaxError) -> String {
        // Decoding is specialized for UTF-8, validating is generic and several times slower.
        if StringBytes.isASCII(buffer) { return String(decoding: buffer, as: UTF8.self) }
        guard let text = String(validating: buffer, as: UTF8.self) else {
            throw JSONSyntaxError(offset: offset, message: "a string is not valid UTF-8")
        }
        return text
    }

    // MARK: - Numbers

    private mutating func parseNumber() throws(JSONSyntaxError) -> JSON {
        let start = position
        if bytes[position] == UInt8(ascii: "-") { position += 1 }
        if position < bytes.count, bytes[position] == UInt8(ascii: "0") {
            position += 1
        } else {
            try skipDigits("a value")
        }
        var isWhole = true
        if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
            isWhole = false
            position += 1
            try skipDigits("a digit after the decimal point")
        }
        if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") {
            isWhole = false
            position += 1
            if position < bytes.count, [UInt8(ascii: "+"), UInt8(ascii: "-")].contains(bytes[position]) {
                position += 1
            }
            try skipDigits("a digit in the exponent")
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isWhole, let value = Int64(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else {
            throw JSONSyntaxError(offset: start, message: "the number \(text) is out of range")
        }
        return .number(value)
    }

    private mutating func skipDigits(_ expected: String) throws(JSONSyntaxError) {
        let start = position
        while position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) {
            position += 1
        }
        guard position > start else { throw error("expected \(expected)") }
    }

    // MARK: - Bytes

    private mutating func skipWhitespace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }

    private func peek(_ expected: @autoclosure () -> String) throws(JSONSyntaxError) -> UInt8 {
        guard position < bytes.count else { throw error("the text ends where \(expected()) should stand") }
        return bytes[position]
    }

    private func error(_ message: String) -> JSONSyntaxError {
        JSONSyntaxError(offset: position, message: message)
    }
}

extension [UInt8] {
    fileprivate func withUnsafeBufferPointerTyped<Value>(
        _ body: (UnsafeBufferPointer<UInt8>) throws(JSONSyntaxError) -> Value
    ) throws(JSONSyntaxError) -> Value {
        let result = withUnsafeBufferPointer { buffer in Result { () throws(JSONSyntaxError) in try body(buffer) } }
        return try result.get()
    }
}
