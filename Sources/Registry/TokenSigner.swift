import Crypto
import Foundation
import HTTPTypes
import SystemPackage

/// Issues and checks the registry's bearer tokens: JSON Web Tokens signed with HMAC-SHA256 (RFC 7519, RFC 7518 §3.2).
package struct TokenSigner: Sendable {
    struct Claims: Codable, Equatable {
        struct Access: Codable, Equatable {
            var type = "repository"
            var name: String
            var actions: [String]
        }
        /// The identity's name; absent for anybody.
        var sub: String?
        var aud = TokenSigner.service
        /// Seconds of the epoch.
        var iat: Int
        var exp: Int
        var access: [Access]
    }

    package static let service = "sampan"
    /// Seconds that a token is good for. Pushes that take longer ask for another one.
    static let lifetime = 300

    private let key: SymmetricKey

    /// Uses the key in `keyFile`, and makes it (32 random bytes, mode 0600) when there is none.
    package init(keyFile: String) throws {
        let path = FilePath(keyFile)
        if let bytes = try DurableFile.read(path) {
            guard bytes.count == 32 else {
                throw RegistryError(
                    .internalServerError,
                    .unknown,
                    "the registry's key file has \(bytes.count) bytes, expected 32: remove it to have a new one made"
                )
            }
            key = SymmetricKey(data: bytes)
            return
        }
        key = SymmetricKey(size: .bits256)
        let folder = path.removingLastComponent()
        try DurableFile.makeFolder(folder)
        let bytes = key.withUnsafeBytes { Array($0) }
        try DurableFile.write(bytes, to: path, temporaries: folder, permissions: .ownerReadWrite)
    }

    func token(_ claims: Claims) throws -> String {
        let header = Self.encode(Data(#"{"alg":"HS256","typ":"JWT"}"#.utf8))
        let content = "\(header).\(Self.encode(try JSONEncoder().encode(claims)))"
        let signature = HMAC<SHA256>.authenticationCode(for: Data(content.utf8), using: key)
        return "\(content).\(Self.encode(Data(signature)))"
    }

    /// The claims of a token of ours that is still good at `now`; `nil` for all others.
    func claims(of token: some StringProtocol, now: Int) -> Claims? {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let signature = Self.decode(parts[2]), let body = Self.decode(parts[1]) else {
            return nil
        }
        let content = Data("\(parts[0]).\(parts[1])".utf8)
        guard HMAC<SHA256>.isValidAuthenticationCode(signature, authenticating: content, using: key) else { return nil }
        guard let claims = try? JSONDecoder().decode(Claims.self, from: body) else { return nil }
        return claims.aud == Self.service && now < claims.exp ? claims : nil
    }

    // MARK: - Private

    /// base64url without padding (RFC 4648 §5)
    private static func encode(_ data: Data) -> String {
        data.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    private static func decode(_ text: some StringProtocol) -> Data? {
        let base64 = String(text).replacing("-", with: "+").replacing("_", with: "/")
        return Data(base64Encoded: base64 + String(repeating: "=", count: (4 - base64.utf8.count % 4) % 4))
    }
}
