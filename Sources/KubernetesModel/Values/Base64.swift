/// Base64 with padding (RFC 4648 §4), the form of `byte` fields.
package enum Base64 {
    package static func encoded(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        var start = 0
        while start < bytes.count {
            let group = bytes[start..<Swift.min(start + 3, bytes.count)]
            let word = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - group.count))
            for place in 0..<4 {
                text.append(place <= group.count ? alphabet[Int(word >> UInt32(18 - 6 * place) & 63)] : padding)
            }
            start += 3
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// `nil` for what is not base64; line breaks are allowed, as in Go's decoder.
    package static func decoded(_ text: String) -> [UInt8]? {
        let letters = text.utf8.filter { $0 != 0x0A && $0 != 0x0D }
        guard letters.count % 4 == 0 else { return nil }
        let content = letters.prefix { $0 != padding }
        let paddingCount = letters.count - content.count
        guard paddingCount <= 2, letters.suffix(paddingCount).allSatisfy({ $0 == padding }) else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(letters.count / 4 * 3)
        var word: UInt32 = 0
        var bits = 0
        for letter in content {
            let value = values[Int(letter)]
            guard value < 64 else { return nil }
            word = word << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: word >> UInt32(bits)))
            }
        }
        return bytes
    }

    private static let padding = UInt8(ascii: "=")
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 256)
        for (value, letter) in alphabet.enumerated() { values[Int(letter)] = UInt8(value) }
        return values
    }()
}
