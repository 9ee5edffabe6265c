import Crypto
import Foundation
import SwiftASN1
import X509

/// The cluster's own certificate authority, made once and kept in a directory.
struct ClusterAuthority: Sendable {
    /// The certificate for clients to trust, PEM.
    let certificate: String
    private let key: P256.Signing.PrivateKey

    /// A certificate with its key, PEM.
    struct Identity: Sendable {
        let certificate: String
        let key: String
    }

    init(directory: String) throws {
        let (certificatePath, keyPath) = ("\(directory)/ca.crt", "\(directory)/ca.key")
        if let certificate = try PrivateFile.read(certificatePath), let key = try PrivateFile.read(keyPath) {
            self.certificate = certificate
            self.key = try P256.Signing.PrivateKey(pemRepresentation: key)
            return
        }
        key = P256.Signing.PrivateKey()
        certificate = try Self.selfSigned(key).serializeAsPEM().pemString
        // The certificate comes last: without it, an interrupted first start is begun anew.
        try PrivateFile.write(key.pemRepresentation, to: keyPath)
        try PrivateFile.write(certificate, to: certificatePath)
    }

    /// A new server certificate for these DNS names and IPv4 addresses, valid for a year.
    func serverIdentity(names: [String]) throws -> Identity {
        let serverKey = P256.Signing.PrivateKey()
        let issuer = try Certificate(pemEncoded: certificate)
        let subject = try DistinguishedName { CommonName("kube-apiserver") }
        let alternatives = names.map { name in
            IPv4Address(name).map { .ipAddress(ASN1OctetString(contentBytes: $0.bytes[...])) }
                ?? GeneralName.dnsName(name)
        }
        let certificate = try Certificate(
            version: .v3,
            serialNumber: Certificate.SerialNumber(),
            publicKey: .init(serverKey.publicKey),
            notValidBefore: Date(timeIntervalSinceNow: -3600),
            notValidAfter: Date(timeIntervalSinceNow: 365 * 86_400),
            issuer: issuer.subject,
            subject: subject,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage([.serverAuth])
                SubjectAlternativeNames(alternatives)
            },
            issuerPrivateKey: .init(key)
        )
        return Identity(certificate: try certificate.serializeAsPEM().pemString, key: serverKey.pemRepresentation)
    }

    // MARK: - Private

    private static func selfSigned(_ key: P256.Signing.PrivateKey) throws -> Certificate {
        let name = try DistinguishedName { CommonName("sampan-ca") }
        return try Certificate(
            version: .v3,
            serialNumber: Certificate.SerialNumber(),
            publicKey: .init(key.publicKey),
            notValidBefore: Date(timeIntervalSinceNow: -3600),
            notValidAfter: Date(timeIntervalSinceNow: 3650 * 86_400),
            issuer: name,
            subject: name,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
                Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                SubjectKeyIdentifier(hash: .init(key.publicKey))
            },
            issuerPrivateKey: .init(key)
        )
    }
}
