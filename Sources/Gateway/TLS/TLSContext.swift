import COpenSSL

/// What OpenSSL needs to terminate TLS with one certificate, or with several for the same names. Immutable; sessions keep it alive on
/// their own, so that a certificate can be replaced while connections that were opened with the old one go on.
final class TLSContext: @unchecked Sendable {
    // Safe to share: a context is reference counted with atomics and not changed after `init`.

    let context: OpaquePointer
    /// Of the first certificate; lives as long as the context.
    let leaf: OpaquePointer

    /// - Throws: ``GatewayError`` that names the certificate and what is wrong with it.
    init(_ certificates: [RouteTable.Certificate], minimumVersion: RouteTable.TLS.Version) throws {
        guard let first = certificates.first else { throw GatewayError("a TLS listener needs a certificate") }
        context = Self.make(minimumVersion)
        do {
            for certificate in certificates { try Self.add(certificate, to: context) }
            leaf = try Self.leaf(of: first)
        } catch {
            SSL_CTX_free(context)
            throw error
        }
    }

    deinit {
        X509_free(leaf)
        SSL_CTX_free(context)
    }

    /// Says what is wrong with a certificate: it does not parse, or the key belongs to another one.
    static func check(_ certificate: RouteTable.Certificate) throws {
        _ = try TLSContext([certificate], minimumVersion: .v12)
    }

    /// A context with what all of ours share and no certificate.
    static func make(_ minimumVersion: RouteTable.TLS.Version) -> OpaquePointer {
        RecordMemory.prepare()
        guard let context = SSL_CTX_new(TLS_server_method()) else { preconditionFailure("OpenSSL must be usable.") }
        copenssl_set_server_options(context)
        _ = copenssl_set_mode(context, Int(SSL_MODE_RELEASE_BUFFERS))
        _ = copenssl_set_version_bounds(
            context,
            minimumVersion == .v13 ? TLS1_3_VERSION : TLS1_2_VERSION,
            TLS1_3_VERSION
        )
        _ = copenssl_set_session_cache_mode(context, Int(SSL_SESS_CACHE_OFF))
        copenssl_set_read_ahead(context)
        // RFC 9325 §4.2: forward secrecy and authenticated encryption only.
        let ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20"
        precondition(SSL_CTX_set_cipher_list(context, ciphers) == 1, "The list of ciphers must be one OpenSSL knows.")
        _ = copenssl_set_groups(context, "X25519:P-256:P-384")
        ApplicationProtocol.install(in: context)
        return context
    }

    /// Whether two certificates stand for the same names with keys of different kinds.
    static func complement(_ left: RouteTable.Certificate, _ right: RouteTable.Certificate) -> Bool {
        guard let l = try? leaf(of: left) else { return false }
        defer { X509_free(l) }
        guard let r = try? leaf(of: right) else { return false }
        defer { X509_free(r) }
        return copenssl_has_same_names(l, r) == 1
            && EVP_PKEY_get_base_id(X509_get0_pubkey(l)) != EVP_PKEY_get_base_id(X509_get0_pubkey(r))
    }

    // MARK: - Private

    private static func add(_ certificate: RouteTable.Certificate, to context: OpaquePointer) throws {
        let chain = try readChain(certificate)
        defer { for issuer in chain { X509_free(issuer) } }
        guard SSL_CTX_use_certificate(context, chain[0]) == 1 else {
            throw refusal(certificate, "its certificate cannot be used for TLS")
        }
        for issuer in chain.dropFirst() {
            X509_up_ref(issuer)
            guard copenssl_add_chain_certificate(context, issuer) == 1 else {
                X509_free(issuer)
                throw refusal(certificate, "its chain of issuers cannot be used")
            }
        }
        try addKey(of: certificate, to: context)
    }

    private static func addKey(of certificate: RouteTable.Certificate, to context: OpaquePointer) throws {
        let key = try withPEM(certificate.key) { pem in
            guard let key = copenssl_read_private_key(pem) else {
                throw refusal(certificate, "its private key is not PEM, or is encrypted")
            }
            return key
        }
        defer { EVP_PKEY_free(key) }
        guard SSL_CTX_use_PrivateKey(context, key) == 1, SSL_CTX_check_private_key(context) == 1 else {
            throw refusal(certificate, "its private key belongs to another certificate")
        }
    }

    private static func leaf(of certificate: RouteTable.Certificate) throws -> OpaquePointer {
        let chain = try readChain(certificate)
        for issuer in chain.dropFirst() { X509_free(issuer) }
        return chain[0]
    }

    /// At least one certificate; the caller frees them.
    private static func readChain(_ certificate: RouteTable.Certificate) throws -> [OpaquePointer] {
        try withPEM(certificate.chain) { pem in
            var chain: [OpaquePointer] = []
            while let next = copenssl_read_certificate(pem) { chain.append(next) }
            let isEnd = copenssl_is_end_of_pem(ERR_peek_last_error()) == 1
            ERR_clear_error()
            guard !chain.isEmpty, isEnd else {
                for issuer in chain { X509_free(issuer) }
                throw refusal(certificate, "its chain is not a list of certificates in PEM")
            }
            return chain
        }
    }

    private static func withPEM<Value>(_ bytes: [UInt8], _ body: (OpaquePointer) throws -> Value) throws -> Value {
        try bytes.withUnsafeBytes { bytes in
            guard let pem = BIO_new_mem_buf(bytes.baseAddress, Int32(clamping: bytes.count)) else {
                throw GatewayError("there is no memory to read a certificate")
            }
            defer { BIO_free(pem) }
            return try body(pem)
        }
    }

    private static func refusal(_ certificate: RouteTable.Certificate, _ problem: String) -> GatewayError {
        ERR_clear_error()
        return GatewayError("the certificate \(certificate.name) cannot be used: \(problem)")
    }
}

/// The protocols that clients may choose within TLS (RFC 7301). The one place that decides.
enum ApplicationProtocol {
    /// In the order of our preference, each with its length before it.
    private static let offered: StaticString = "\u{8}http/1.1"

    static func install(in context: OpaquePointer) {
        SSL_CTX_set_alpn_select_cb(
            context,
            { _, chosen, length, wanted, wantedLength, _ in
                let offered = ApplicationProtocol.offered
                let result = offered.withUTF8Buffer { bytes in
                    var match: UnsafeMutablePointer<UInt8>?
                    let result = SSL_select_next_proto(
                        &match,
                        length,
                        bytes.baseAddress,
                        UInt32(bytes.count),
                        wanted,
                        wantedLength
                    )
                    chosen?.pointee = UnsafePointer(match)
                    return result
                }
                // A client that insists on other protocols learns so at once (RFC 7301 §3.2).
                return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL
            },
            nil
        )
    }
}
