package import Crypto
import HTTPTypes

/// The identity of content: `sha256:` and 64 lower-case hexadecimal digits.
///
/// The only algorithm that the OCI image specification obliges everybody to support is also the only one accepted here.
package struct ContentDigest: Hashable, Sendable, CustomStringConvertible {
    /// The digits after `sha256:`; safe as a file name.
    package let hex: String

    package init?(_ text: some StringProtocol) {
        let prefix = "sha256:"
        guard text.hasPrefix(prefix) else { return nil }
        self.init(hex: text.dropFirst(prefix.count))
    }

    init?(hex: some StringProtocol) {
        guard hex.utf8.count == 64, hex.utf8.allSatisfy(Self.isDigit) else { return nil }
        self.hex = String(hex)
    }

    package init(_ digest: SHA256.Digest) {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in digest {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 0xF)])
        }
        hex = String(decoding: text, as: UTF8.self)
    }

    package init(of bytes: [UInt8]) {
        self.init(SHA256.hash(data: bytes))
    }

    package var description: String { "sha256:\(hex)" }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
    }

    static func parse(_ text: String) throws(RegistryError) -> ContentDigest {
        guard let digest = ContentDigest(text) else {
            throw RegistryError(
                .badRequest,
                .digestInvalid,
                "\"\(text.prefix(200))\" is no digest; expected sha256: followed by 64 lower-case hexadecimal digits"
            )
        }
        return digest
    }
}
