import CLinux
import COpenSSL
import Glibc

/// TLS on clients' connections: the handshake, and bytes sealed and opened between the socket and everything else.
///
/// Whatever waits in a client's `output` is sealed already, so that sending goes on alike with and without TLS.
extension Worker {
    // MARK: - Handshake

    mutating func continueHandshake(_ client: ConnectionPointer) {
        guard client.pointee.isReadable else { return }
        // Through `self`, the compiler makes an invalid module of it when it adds the thread sanitizer.
        let desk = desk
        // Connections that never say anything cost no session.
        guard let session = client.pointee.session ?? TLSDesk.open(desk) else { return closeClient(client) }
        client.pointee.session = session
        desk.pointee.attend(to: client, listeners: topology.view.listeners)
        let result = SSL_do_handshake(session)
        let outcome = result == 1 ? SSL_ERROR_NONE : SSL_get_error(session, result)
        let reason = outcome == SSL_ERROR_SSL ? copenssl_reason(ERR_peek_error()) : 0
        if outcome != SSL_ERROR_NONE { ERR_clear_error() }
        if reason == SSL_R_HTTP_REQUEST { return refusePlain(client) }
        guard sendSealed(client) else { return closeClient(client) }
        switch outcome {
        case SSL_ERROR_NONE: handshakeDone(client, session)
        case SSL_ERROR_WANT_READ: break
        default:
            metrics.add(.handshakeFailures)
            closeClient(client)
        }
    }

    private mutating func handshakeDone(_ client: ConnectionPointer, _ session: OpaquePointer) {
        metrics.add(.handshakes)
        if SSL_session_reused(session) == 1 { metrics.add(.resumptions) }
        client.pointee.phase = .head
        timers.set(client, deadline: now + configuration.idleTimeout, in: slab)
        // The first request often comes together with the end of the handshake.
        if SSL_has_pending(session) == 1 { client.pointee.isReadable = true }
        if client.pointee.isReadable { readClient(client) }
    }

    /// Plain HTTP came to a port with TLS: it is told so in its own language.
    private mutating func refusePlain(_ client: ConnectionPointer) {
        metrics.add(.handshakeFailures)
        endSession(client)
        client.pointee.phase = .head
        refuse(client, .plainHTTP)
    }

    // MARK: - Bytes

    /// Receives and opens bytes, as ``receive(_:into:size:)`` does without TLS: zero is the end of the stream, negative an error.
    /// Bytes may be left in the session although the socket is empty; then the connection stays readable.
    mutating func open(
        _ connection: ConnectionPointer,
        _ session: OpaquePointer,
        into target: UnsafeMutablePointer<UInt8>,
        size: Int
    ) -> Int {
        let desk = desk  // As in continueHandshake.
        desk.pointee.attend(to: connection)
        var filled = 0
        var outcome = SSL_ERROR_NONE
        repeat {
            let count = SSL_read(session, target + filled, Int32(size - filled))
            guard count > 0 else {
                outcome = SSL_get_error(session, count)
                if outcome == SSL_ERROR_SSL || outcome == SSL_ERROR_SYSCALL { ERR_clear_error() }
                break
            }
            filled += Int(count)
        } while filled < size && SSL_has_pending(session) == 1
        // Answers to the protocol's own messages, such as a change of keys.
        if desk.pointee.sealed.count > 0, !sendSealed(connection) { return -Int(EPIPE) }
        if filled > 0 {
            // An end or an error behind these bytes is met again by the next call.
            if outcome != SSL_ERROR_WANT_READ, outcome != SSL_ERROR_NONE || SSL_has_pending(session) == 1 {
                connection.pointee.isReadable = true
            }
            return filled
        }
        switch outcome {
        case SSL_ERROR_WANT_READ: return -Int(EAGAIN)
        case SSL_ERROR_ZERO_RETURN: return 0
        default: return -Int(EPROTO)
        }
    }

    /// Seals bytes for a connection; valid until the next call for any session.
    /// - Returns: `nil` when the session is broken.
    func seal(_ bytes: ByteSpan, _ connection: ConnectionPointer, _ session: OpaquePointer) -> ByteSpan? {
        desk.pointee.attend(to: connection)
        guard bytes.count > 0 else { return desk.pointee.sealed }
        // What is written is gathered in memory, so it is always taken whole.
        guard SSL_write(session, bytes.base, Int32(bytes.count)) == Int32(bytes.count) else {
            ERR_clear_error()
            return nil
        }
        return desk.pointee.sealed
    }

    /// Sends what a session has written of its own accord.
    /// - Returns: `false` when the socket is broken.
    private mutating func sendSealed(_ client: ConnectionPointer) -> Bool {
        var rest = desk.pointee.sealed
        guard rest.count > 0 else { return true }
        if client.pointee.output.isEmpty, client.pointee.isWritable {
            metrics.add(.sendCalls)
            let count = Int(clinux_send(client.pointee.descriptor, rest.base, rest.count))
            guard count > 0 || count == -Int(EAGAIN) else { return false }
            rest = rest.dropFirst(max(0, count))
            if rest.count == 0 { return true }
            client.pointee.isWritable = false
        }
        return buffers.append(rest, to: &client.pointee.output)
    }

    // MARK: - The end

    /// Tells a client that the stream ends here on purpose (RFC 8446 §6.1). Left out where bytes before it are stuck, and after failures:
    /// there the missing word is what tells the client that something was cut off.
    func sayGoodbye(_ connection: ConnectionPointer) {
        guard let session = connection.pointee.session, connection.pointee.output.isEmpty else { return }
        desk.pointee.attend(to: connection)
        if SSL_shutdown(session) < 0 { ERR_clear_error() }
        let bytes = desk.pointee.sealed
        guard bytes.count > 0 else { return }
        metrics.add(.sendCalls)
        _ = clinux_send(connection.pointee.descriptor, bytes.base, bytes.count)
    }

    func endSession(_ connection: ConnectionPointer) {
        guard let session = connection.pointee.session else { return }
        SSL_free(session)
        connection.pointee.session = nil
    }
}
