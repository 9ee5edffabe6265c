import CLinux
import COpenSSL
import Glibc

/// One worker's side of OpenSSL: the one `BIO` that all its sessions read and write through, and where sealed bytes are gathered.
///
/// OpenSSL reads straight from the socket of the connection that is being worked on, as far as the worker knows it to be readable. What it
/// writes is gathered and sent in one call afterwards, so that a session never waits for its socket while it writes.
struct TLSDesk {
    /// Whose session is being worked on.
    fileprivate(set) var connection: ConnectionPointer?
    /// What handshakes choose their listener from.
    fileprivate(set) var listeners: ListenerView
    private let metrics: WorkerMetrics.Writer
    private let keys: Unmanaged<TicketKeys>
    private let entry: OpaquePointer
    private let bio: OpaquePointer
    private var base: UnsafeMutablePointer<UInt8>
    private var capacity = 32 * 1024
    private var count = 0
    private var isAtEnd = false

    /// The desk stays where it is until ``dispose(_:)``: OpenSSL refers to it.
    static func make(
        entry: TLSEntry,
        listeners: ListenerView,
        metrics: WorkerMetrics.Writer
    ) -> UnsafeMutablePointer<TLSDesk> {
        guard let bio = BIO_new(entry.method) else { preconditionFailure("A BIO must fit into memory.") }
        let desk = UnsafeMutablePointer<TLSDesk>.allocate(capacity: 1)
        desk.initialize(
            to: TLSDesk(
                listeners: listeners,
                metrics: metrics,
                keys: Unmanaged.passRetained(entry.keys),
                entry: entry.context,
                bio: bio,
                base: .allocate(capacity: 32 * 1024)
            )
        )
        SSL_CTX_up_ref(entry.context)
        BIO_set_data(bio, desk)
        BIO_set_init(bio, 1)
        return desk
    }

    static func dispose(_ desk: UnsafeMutablePointer<TLSDesk>) {
        BIO_free(desk.pointee.bio)
        SSL_CTX_free(desk.pointee.entry)
        desk.pointee.keys.release()
        desk.pointee.base.deallocate()
        desk.deallocate()
    }

    // MARK: - Sessions

    /// A server's session whose handshake has yet to come; `nil` when there is no memory.
    static func open(_ desk: UnsafeMutablePointer<TLSDesk>) -> OpaquePointer? {
        guard let session = SSL_new(desk.pointee.entry) else { return nil }
        // The session takes this reference over and makes another one itself, for its other direction.
        BIO_up_ref(desk.pointee.bio)
        SSL_set_bio(session, desk.pointee.bio, desk.pointee.bio)
        SSL_set_ex_data(session, 0, desk)
        SSL_set_accept_state(session)
        return session
    }

    /// To be called before any call for a connection's session.
    @inline(__always)
    mutating func attend(to connection: ConnectionPointer) {
        self.connection = connection
        count = 0
    }

    @inline(__always)
    mutating func attend(to connection: ConnectionPointer, listeners: ListenerView) {
        attend(to: connection)
        self.listeners = listeners
    }

    /// What was written since the last ``attend(to:)``; valid until the next.
    var sealed: ByteSpan { ByteSpan(base, count) }

    // MARK: - What OpenSSL calls

    fileprivate static func of(_ bio: OpaquePointer?) -> UnsafeMutablePointer<TLSDesk> {
        BIO_get_data(bio).assumingMemoryBound(to: TLSDesk.self)
    }

    static func of(session: OpaquePointer?) -> UnsafeMutablePointer<TLSDesk> {
        SSL_get_ex_data(session, 0).assumingMemoryBound(to: TLSDesk.self)
    }

    fileprivate mutating func receive(_ target: UnsafeMutablePointer<CChar>, _ size: Int32) -> Int32 {
        copenssl_bio_clear_retry(bio)
        guard let connection, connection.pointee.isReadable else {
            copenssl_bio_set_retry_read(bio)
            return -1
        }
        metrics.add(.receiveCalls)
        let received = clinux_receive(connection.pointee.descriptor, target, Int(size))
        // A short count means that the socket is empty.
        if received < Int(size), !connection.pointee.peerEnded, !connection.pointee.hasFailed {
            connection.pointee.isReadable = false
        }
        if received == -Int64(EAGAIN) {
            connection.pointee.isReadable = false
            copenssl_bio_set_retry_read(bio)
        }
        isAtEnd = received == 0
        return received < 0 ? -1 : Int32(received)
    }

    fileprivate mutating func gather(_ bytes: UnsafePointer<CChar>, _ size: Int32) -> Int32 {
        while count + Int(size) > capacity { grow() }
        memcpy(base + count, bytes, Int(size))
        count += Int(size)
        return size
    }

    fileprivate var endWasRead: Bool { isAtEnd }

    /// As large as the largest piece that is sent at once; see ``Worker/scratchSize``.
    private mutating func grow() {
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity * 2)
        memcpy(larger, base, count)
        base.deallocate()
        base = larger
        capacity *= 2
    }

    // MARK: - Choosing a certificate

    /// Finds the listener that the client's server name means and hands the session its certificate.
    /// - Returns: `nil` when it goes on, else the alert that ends the handshake.
    mutating func greet(_ session: OpaquePointer) -> Int32? {
        guard let connection else { return SSL_AD_INTERNAL_ERROR }
        var name = ByteSpan(base, 0)
        if !ServerName.read(session, &name) { return SSL_AD_DECODE_ERROR }
        guard let row = listeners.find(name, at: connection.pointee.door) else { return SSL_AD_UNRECOGNIZED_NAME }
        guard let certificate = certificate(of: row, for: name) else { return SSL_AD_INTERNAL_ERROR }
        connection.pointee.listener = row.number
        _ = SSL_set_SSL_CTX(session, certificate.context)
        _ = copenssl_take_version_bounds(session, certificate.context)
        return nil
    }

    private func certificate(of row: ListenerView.Row, for name: ByteSpan) -> ListenerView.CertificateRow? {
        guard row.certificates.count > 0 else { return nil }
        let first = listeners.certificates[Int(row.certificates.start)]
        guard row.certificates.count > 1, name.count > 0 else { return first }
        for index in row.certificates.indices {
            let candidate = listeners.certificates[index]
            let isMatch = name.base.withMemoryRebound(to: CChar.self, capacity: name.count) {
                X509_check_host(candidate.leaf, $0, name.count, 0, nil) == 1
            }
            if isMatch { return candidate }
        }
        return first
    }

    mutating func ticket(
        _ name: UnsafeMutablePointer<UInt8>,
        _ vector: UnsafeMutablePointer<UInt8>,
        _ cipher: OpaquePointer,
        _ mac: OpaquePointer,
        seals: Bool
    ) -> TicketKeys.Outcome {
        keys._withUnsafeGuaranteedRef {
            seals ? $0.seal(name, vector, cipher, mac) : $0.open(name, vector, cipher, mac)
        }
    }
}

/// What all workers' sessions begin with: a context without a certificate, which finds one by the client's greeting.
final class TLSEntry: @unchecked Sendable {
    // Safe to share: not changed after `init`; OpenSSL counts references with atomics.

    let context: OpaquePointer
    let method: OpaquePointer
    let keys: TicketKeys

    init(keys: TicketKeys) {
        self.keys = keys
        context = TLSContext.make(.v12)
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "gateway")
        BIO_meth_set_read(method) { bio, target, size in TLSDesk.of(bio).pointee.receive(target!, size) }
        BIO_meth_set_write(method) { bio, bytes, size in TLSDesk.of(bio).pointee.gather(bytes!, size) }
        BIO_meth_set_ctrl(method) { bio, command, _, _ in
            switch command {
            case BIO_CTRL_FLUSH: 1
            case BIO_CTRL_EOF: TLSDesk.of(bio).pointee.endWasRead ? 1 : 0
            default: 0
            }
        }
        let name: [UInt8] = Array("sampan".utf8)
        SSL_CTX_set_session_id_context(context, name, UInt32(name.count))
        SSL_CTX_set_timeout(context, TicketKeys.period)
        SSL_CTX_set_client_hello_cb(
            context,
            { session, alert, _ in
                guard let session, let refusal = TLSDesk.of(session: session).pointee.greet(session) else {
                    return SSL_CLIENT_HELLO_SUCCESS
                }
                alert?.pointee = refusal
                return SSL_CLIENT_HELLO_ERROR
            },
            nil
        )
        copenssl_set_ticket_key_callback(context) { session, name, vector, cipher, mac, seals in
            guard let name, let vector, let cipher, let mac else { return TicketKeys.Outcome.failed.rawValue }
            return TLSDesk.of(session: session).pointee.ticket(name, vector, cipher, mac, seals: seals != 0).rawValue
        }
    }

    deinit {
        SSL_CTX_free(context)
        BIO_meth_free(method)
    }
}

/// The server name of a client's greeting (RFC 6066 §3).
enum ServerName {
    /// Leaves `name` empty when the client gives none.
    /// - Returns: `false` when the extension is malformed.
    static func read(_ session: OpaquePointer, _ name: inout ByteSpan) -> Bool {
        var base: UnsafePointer<UInt8>?
        var count = 0
        guard SSL_client_hello_get0_ext(session, UInt32(TLSEXT_TYPE_server_name), &base, &count) == 1, let base else {
            return true
        }
        return parse(ByteSpan(base, count), &name)
    }

    /// A list with its length before it; of each entry a type and a name with its length. Only host names are defined.
    static func parse(_ bytes: ByteSpan, _ name: inout ByteSpan) -> Bool {
        guard bytes.count >= 5, length(bytes, at: 0) == bytes.count - 2, bytes[2] == TLSEXT_NAMETYPE_host_name else {
            return false
        }
        let size = length(bytes, at: 3)
        guard size > 0, size <= 255, 5 + size <= bytes.count else { return false }
        name = ByteSpan(bytes.base + 5, size)
        for index in 0..<size where name[index] == 0 { return false }
        return true
    }

    private static func length(_ bytes: ByteSpan, at index: Int) -> Int {
        Int(bytes[index]) << 8 | Int(bytes[index + 1])
    }
}
