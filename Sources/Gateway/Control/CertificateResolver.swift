import Foundation
import KubernetesModel
import Synchronization

/// Finds the certificates that listeners refer to.
struct CertificateResolver {
    private let secrets: [ObjectKey: AnyObjectView]
    private let grants: ReferenceGrants
    private let checks: CertificateChecks

    init(secrets: [JSON], grants: ReferenceGrants, checks: CertificateChecks) {
        self.secrets = Dictionary(
            secrets.map { (AnyObjectView($0).key, AnyObjectView($0)) },
            uniquingKeysWith: { first, _ in first }
        )
        self.grants = grants
        self.checks = checks
    }

    /// What is wrong with a reference, as the reason of `ResolvedRefs`.
    struct Refusal: Error {
        var reason: String
        var message: String

        static func invalid(_ message: String) -> Refusal {
            Refusal(reason: "InvalidCertificateRef", message: message)
        }
    }

    /// - Parameter namespace: of the Gateway.
    func resolve(_ reference: JSON, from namespace: String) throws(Refusal) -> RouteTable.Certificate {
        let kind = reference["kind"]?.string ?? "Secret"
        let group = reference["group"]?.string ?? ""
        let name = reference["name"]?.string ?? ""
        guard kind == "Secret", group.isEmpty else {
            throw .invalid("The certificate \(name) is a \(kind); only Secrets of type kubernetes.io/tls are read.")
        }
        let key = ObjectKey(namespace: reference["namespace"]?.string ?? namespace, name: name)
        let gateway = ReferenceGrants.Source(group: "gateway.networking.k8s.io", kind: "Gateway", namespace: namespace)
        guard grants.allow(gateway, .init(group: "", kind: "Secret", namespace: key.namespace, name: name)) else {
            throw Refusal(
                reason: "RefNotPermitted",
                message: "No ReferenceGrant in \(key.namespace) lets Gateways of \(namespace) use the Secret \(name)."
            )
        }
        guard let secret = secrets[key] else {
            throw .invalid("There is no Secret \(key) of type kubernetes.io/tls.")
        }
        return try certificate(secret, key)
    }

    private func certificate(_ secret: AnyObjectView, _ key: ObjectKey) throws(Refusal) -> RouteTable.Certificate {
        let certificate = RouteTable.Certificate(
            name: "\(key)",
            chain: try Self.bytes("tls.crt", of: secret, key),
            key: try Self.bytes("tls.key", of: secret, key)
        )
        if let problem = checks.problem(with: certificate) { throw .invalid(problem) }
        return certificate
    }

    private static func bytes(_ field: String, of secret: AnyObjectView, _ key: ObjectKey) throws(Refusal) -> [UInt8] {
        guard let text = secret.json["data", field]?.string, let data = Data(base64Encoded: text), !data.isEmpty else {
            throw .invalid("The Secret \(key) has no \(field).")
        }
        return [UInt8](data)
    }
}

/// Remembers which certificates are good, since all are looked at again with every change in the cluster.
final class CertificateChecks: Sendable {
    private static let remembered = 1024
    private let known = Mutex<[RouteTable.Certificate: String?]>([:])

    /// `nil` for a certificate that can be used.
    func problem(with certificate: RouteTable.Certificate) -> String? {
        known.withLock { known in
            if let result = known[certificate] { return result }
            if known.count >= Self.remembered { known = [:] }
            var problem: String?
            do { try TLSContext.check(certificate) } catch { problem = "\(error)" }
            known[certificate] = .some(problem)
            return problem
        }
    }
}
