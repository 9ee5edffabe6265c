import CLinux
import COpenSSL
import Glibc

/// The client's side of TLS: what all connections of a test have in common.
///
/// Sessions are not resumed: each new connection is a new visitor, who makes a full handshake.
final class TLSClient: @unchecked Sendable {
    // Safe to share: after the initializer the context is only read, which OpenSSL allows from any thread.
    private let context: OpaquePointer
    private let host: String
    private let isAddress: Bool
    private let verifies: Bool

    /// - Throws: ``LoadError`` when the authorities cannot be read.
    init(host: String, trust: LoadTrust) throws {
        guard let context = SSL_CTX_new(TLS_client_method()) else { throw LoadError("cannot prepare TLS") }
        self.context = context
        self.host = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        verifies = trust != .anyone
        var address = clinux_address()
        isAddress = clinux_parse_address(self.host, 0, &address) == 0
        _ = copenssl_set_mode(context, Int(COPENSSL_SMALL_IDLE_MODE))
        // SSL_OP_IGNORE_UNEXPECTED_EOF, a macro that Swift does not see.
        _ = SSL_CTX_set_options(context, UInt64(1) << 7)
        copenssl_set_read_ahead(context)
        _ = copenssl_set_session_cache_mode(context, Int(SSL_SESS_CACHE_OFF))
        switch trust {
        case .anyone: SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nil)
        case .system:
            SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
            _ = SSL_CTX_set_default_verify_paths(context)
        case .authorities(let file):
            SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
            guard SSL_CTX_load_verify_locations(context, file, nil) == 1 else {
                throw LoadError("cannot read certificates of authorities from \(file)")
            }
        }
    }

    deinit { SSL_CTX_free(context) }

    /// A session on a connected socket, or `nil` when memory is short. To be freed by ``TLSSession/free(_:)``.
    func makeSession(descriptor: Int32) -> OpaquePointer? {
        guard let session = SSL_new(context) else { return nil }
        _ = SSL_set_fd(session, descriptor)
        if isAddress {
            // An address is looked for in the certificate but never asked for by name (RFC 6066 §3).
            if verifies { _ = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host) }
        } else {
            _ = copenssl_set_host_name(session, host)
            if verifies { _ = SSL_set1_host(session, host) }
        }
        return session
    }
}

/// Whose certificates a test believes.
package enum LoadTrust: Sendable, Hashable {
    /// Signed by an authority of the system, made out to the target's name.
    case system
    /// As ``system``, with the authorities of a PEM file instead.
    case authorities(file: String)
    case anyone
}

/// Socket calls of a TLS session in the manner of the plain ones: a count, or an error number below zero.
enum TLSSession {
    enum Handshake { case done, underway, failed }

    @inline(__always)
    static func send(_ session: OpaquePointer, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int64 {
        ERR_clear_error()
        let written = SSL_write(session, bytes, Int32(clamping: count))
        return written > 0 ? Int64(written) : error(session, written)
    }

    @inline(__always)
    static func receive(_ session: OpaquePointer, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int64 {
        ERR_clear_error()
        let read = SSL_read(session, bytes, Int32(clamping: count))
        return read > 0 ? Int64(read) : error(session, read)
    }

    static func handshake(_ session: OpaquePointer) -> Handshake {
        ERR_clear_error()
        let result = SSL_connect(session)
        if result == 1 { return .done }
        return error(session, result) == -Int64(EAGAIN) ? .underway : .failed
    }

    /// Why the last handshake failed.
    static func problem(_ session: OpaquePointer) -> String {
        let verification = SSL_get_verify_result(session)
        if verification != Int(X509_V_OK), let reason = X509_verify_cert_error_string(verification) {
            return "the certificate is not trusted: \(String(cString: reason))"
        }
        guard let reason = ERR_reason_error_string(ERR_peek_last_error()) else { return "the peer ended the handshake" }
        return "TLS failed: \(String(cString: reason))"
    }

    static func free(_ session: OpaquePointer) { SSL_free(session) }

    private static func error(_ session: OpaquePointer, _ result: Int32) -> Int64 {
        switch SSL_get_error(session, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: -Int64(EAGAIN)
        case SSL_ERROR_ZERO_RETURN: 0
        default: -Int64(ECONNRESET)
        }
    }
}
