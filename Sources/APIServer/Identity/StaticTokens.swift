import Crypto
import Foundation
import KubernetesModel

/// The identities that have a random bearer token of their own: the administrator, and parts of the platform in other processes.
///
/// Tokens are made once and kept in a file, so that kubeconfigs stay valid over restarts.
struct StaticTokens: Sendable {
    private var usersByDigest: [SHA256Digest: UserInfo] = [:]
    private var tokensByName: [String: String] = [:]

    /// Reads the tokens of `identities` from `path`, and makes those that are missing.
    init(path: String, identities: [APIServer.Identity]) throws {
        let stored = try PrivateFile.read(path).map { try JSON(parsing: $0).stringMap } ?? [:]
        for identity in identities {
            let token = stored[identity.name] ?? Self.newToken()
            let groups = identity.groups + [UserInfo.authenticatedGroup]
            tokensByName[identity.name] = token
            usersByDigest[Self.digest(token)] = UserInfo(name: identity.user, groups: groups)
        }
        if tokensByName != stored { try PrivateFile.write(JSON(tokensByName).encodedString, to: path) }
    }

    func token(of name: String) -> String? { tokensByName[name] }

    /// Looks tokens up by their digest, so that the time it takes says nothing about them.
    func user(_ token: String) -> UserInfo? { usersByDigest[Self.digest(token)] }

    private static func digest(_ token: String) -> SHA256Digest { SHA256.hash(data: Data(token.utf8)) }

    private static func newToken() -> String {
        Base64URL.encode(SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) })
    }
}
