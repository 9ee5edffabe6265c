import Crypto
import Foundation
import KubernetesModel

/// Issues and verifies the tokens of ServiceAccounts: JSON Web Tokens signed by ES256 (RFC 7518, section 3.4).
struct ServiceAccountTokens: Sendable {
    static let issuer = "https://kubernetes.default.svc.cluster.local"
    /// Shorter lifetimes are refused, longer ones than a year are cut (TokenRequest).
    static let lifetimes: ClosedRange<Int64> = 600...31_536_000

    /// What a verified token says.
    struct Claims: Equatable, Sendable {
        var namespace: String
        var serviceAccount: String
        var serviceAccountUID: String
        var pod: String?
        var podUID: String?
    }

    private let key: P256.Signing.PrivateKey
    private let keyID: String

    init(key: P256.Signing.PrivateKey) {
        self.key = key
        let digest = SHA256.hash(data: key.publicKey.derRepresentation)
        keyID = Base64URL.encode(Array(digest))
    }

    // MARK: - Issuing

    /// Answers a TokenRequest.
    func answer(_ request: JSON, account: StoredObject, bound pod: StoredObject?, at now: Timestamp) throws -> JSON {
        let lifetime = request["spec", "expirationSeconds"]?.int.map(Int64.init) ?? 3600
        guard lifetime >= Self.lifetimes.lowerBound else {
            throw StatusError.badRequest("spec.expirationSeconds: may not specify a duration less than 10 minutes")
        }
        let audiences = (request["spec", "audiences"]?.array ?? []).compactMap(\.string)
        let expiry = Timestamp(seconds: now.seconds + min(lifetime, Self.lifetimes.upperBound))
        var answer = request
        answer["apiVersion"] = "authentication.k8s.io/v1"
        answer["kind"] = "TokenRequest"
        answer["metadata"] = ["name": .string(account.key.name), "namespace": .string(account.key.namespace)]
        answer["spec", "expirationSeconds"] = .integer(expiry.seconds - now.seconds)
        answer["spec", "audiences"] = JSON(audiences.isEmpty ? [Self.issuer] : audiences)
        let token = try token(account, pod, audiences: audiences.isEmpty ? [Self.issuer] : audiences, now, expiry)
        answer["status"] = ["token": .string(token), "expirationTimestamp": .string(expiry.description)]
        return answer
    }

    private func token(
        _ account: StoredObject,
        _ pod: StoredObject?,
        audiences: [String],
        _ now: Timestamp,
        _ expiry: Timestamp
    ) throws -> String {
        var binding: JSON = [
            "namespace": .string(account.key.namespace),
            "serviceaccount": ["name": .string(account.key.name), "uid": .string(account.uid)],
        ]
        if let pod { binding["pod"] = ["name": .string(pod.key.name), "uid": .string(pod.uid)] }
        let claims: JSON = [
            "aud": JSON(audiences), "exp": .integer(expiry.seconds), "iat": .integer(now.seconds),
            "iss": .string(Self.issuer), "jti": .string(UUID().uuidString.lowercased()), "kubernetes.io": binding,
            "nbf": .integer(now.seconds),
            "sub": .string("system:serviceaccount:\(account.key.namespace):\(account.key.name)"),
        ]
        let header: JSON = ["alg": "ES256", "kid": .string(keyID), "typ": "JWT"]
        let signed = Base64URL.encode(header.encoded()) + "." + Base64URL.encode(claims.encoded())
        let signature = try key.signature(for: Data(signed.utf8))
        return signed + "." + Base64URL.encode(Array(signature.rawRepresentation))
    }

    // MARK: - Verifying

    /// What `token` says, if it was issued here for this API and is valid now.
    ///
    /// Whether the account and the pod still exist is for the caller to check.
    func verify(_ token: String, at now: Timestamp) -> Claims? {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let header = Self.json(parts[0]), header["alg"]?.string == "ES256",
            let signature = Base64URL.decode(parts[2]),
            let parsed = try? P256.Signing.ECDSASignature(rawRepresentation: signature),
            key.publicKey.isValidSignature(parsed, for: Data("\(parts[0]).\(parts[1])".utf8)),
            let claims = Self.json(parts[1]), isCurrent(claims, at: now)
        else { return nil }
        return Claims(claims)
    }

    private func isCurrent(_ claims: JSON, at now: Timestamp) -> Bool {
        guard claims["iss"]?.string == Self.issuer, let expiry = claims["exp"]?.int, let start = claims["nbf"]?.int
        else {
            return false
        }
        let audiences = claims["aud"]?.array?.compactMap(\.string) ?? []
        return audiences.contains(Self.issuer) && now.seconds < expiry && now.seconds >= start - 60
    }

    private static func json(_ part: Substring) -> JSON? {
        Base64URL.decode(part).flatMap { try? JSON(parsing: Array($0)) }
    }
}

extension ServiceAccountTokens.Claims {
    fileprivate init?(_ claims: JSON) {
        guard let binding = claims["kubernetes.io"], let namespace = binding["namespace"]?.string,
            let account = binding["serviceaccount", "name"]?.string,
            let uid = binding["serviceaccount", "uid"]?.string
        else { return nil }
        self.init(
            namespace: namespace,
            serviceAccount: account,
            serviceAccountUID: uid,
            pod: binding["pod", "name"]?.string,
            podUID: binding["pod", "uid"]?.string
        )
    }
}

/// RFC 4648, section 5, without padding.
enum Base64URL {
    static func encode(_ bytes: [UInt8]) -> String {
        let text = Data(bytes).base64EncodedString()
        return String(
            text.compactMap { character -> Character? in
                switch character {
                case "+": "-"
                case "/": "_"
                case "=": nil
                default: character
                }
            }
        )
    }

    static func decode(_ text: some StringProtocol) -> Data? {
        var base64 = text.map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 }
        base64 += Array(repeating: "=", count: (4 - base64.count % 4) % 4)
        return Data(base64Encoded: String(base64))
    }
}
