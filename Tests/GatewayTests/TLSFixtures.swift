import COpenSSL
import Foundation
import TestKit

@testable import Gateway

/// Certificates that the real `openssl` makes.
enum TestCertificates {
    enum Kind: String { case ecdsa, rsa }

    /// A certificate that signs itself, for `names`.
    static func make(_ names: [String], kind: Kind = .ecdsa, days: Int = 30) async throws -> RouteTable.Certificate {
        let folder = FileManager.default.temporaryDirectory.path + "/certificate-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let key = kind == .rsa ? ["-newkey", "rsa:2048"] : ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        try await Shell.run(
            "openssl",
            ["req", "-x509", "-nodes"] + key + [
                "-days", "\(days)", "-subj", "/CN=\(names[0])",
                "-addext", "subjectAltName=" + names.map { "DNS:\($0)" }.joined(separator: ","),
                "-keyout", "\(folder)/key", "-out", "\(folder)/chain",
            ]
        )
        return RouteTable.Certificate(
            name: names[0],
            chain: [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(folder)/chain"))),
            key: [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(folder)/key")))
        )
    }

    /// One for `example.test`, made once.
    static func usual() async throws -> RouteTable.Certificate { try await cache.value }

    private static let cache = Task { try await make(["example.test"]) }
}

extension RouteTable {
    /// ``single(_:timeouts:filters:)`` behind one TLS listener for every host.
    static func secured(_ ports: [Int], _ certificates: [Certificate], filters: Filters = Filters()) -> RouteTable {
        var table = RouteTable.single(ports, filters: filters)
        table.listeners = [Listener(name: "tls", tls: TLS(certificates: certificates))]
        return table
    }
}

/// Runs `body` with a data path that has a port for TLS and one without.
func withSecurePlane<Value>(
    _ table: RouteTable,
    workers: Int = 1,
    configure: (inout DataPathConfiguration) -> Void = { _ in },
    _ body: (DataPlane, Int) async throws -> Value
) async throws -> Value {
    var configuration = DataPathConfiguration()
    configure(&configuration)
    let plane = try DataPlane(
        ports: .init(host: "127.0.0.1", plain: 0, tls: 0),
        workers: workers,
        configuration: configuration,
        table: table
    )
    defer { plane.stop(within: 0) }
    try plane.listen()
    return try await body(plane, try plane.tlsPort.orThrow(GatewayError("there is no port for TLS")))
}

/// A blocking TLS client that tests drive step by step, from one thread at a time.
final class SecureConnection: @unchecked Sendable {
    let raw: RawConnection
    private let context: OpaquePointer
    private let session: OpaquePointer
    private var pending: [UInt8] = []

    struct Options: @unchecked Sendable {
        var serverName: String? = "example.test"
        var protocols: [String] = []
        var maximumVersion = TLS1_3_VERSION
        /// Session of an earlier connection.
        var resumes: OpaquePointer?
        var receiveBuffer: Int?
    }

    init(port: Int, _ options: Options = Options()) throws {
        raw = try RawConnection(port: port, receiveBuffer: options.receiveBuffer)
        context = SSL_CTX_new(TLS_client_method())
        _ = copenssl_set_version_bounds(context, TLS1_2_VERSION, options.maximumVersion)
        session = SSL_new(context)
        if let name = options.serverName { _ = copenssl_set_host_name(session, name) }
        if !options.protocols.isEmpty {
            let list = options.protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
            SSL_set_alpn_protos(session, list, UInt32(list.count))
        }
        if let earlier = options.resumes { SSL_set_session(session, earlier) }
        SSL_set_fd(session, raw.descriptor)
        let result = SSL_connect(session)
        guard result == 1 else { throw failure("handshake", result) }
    }

    deinit {
        // A session that ends without both sides' farewell would not be resumed again.
        SSL_set_shutdown(session, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
        SSL_free(session)
        SSL_CTX_free(context)
    }

    // MARK: - What was agreed on

    /// The common name of the server's certificate.
    var certificateName: String {
        guard let certificate = SSL_get1_peer_certificate(session) else { return "" }
        defer { X509_free(certificate) }
        var text = [CChar](repeating: 0, count: 256)
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, &text, 256)
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    var isRSA: Bool {
        guard let certificate = SSL_get1_peer_certificate(session) else { return false }
        defer { X509_free(certificate) }
        return EVP_PKEY_get_base_id(X509_get0_pubkey(certificate)) == EVP_PKEY_RSA
    }

    var version: String { String(cString: SSL_get_version(session)) }
    var isResumed: Bool { SSL_session_reused(session) == 1 }

    var chosenProtocol: String {
        var base: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(session, &base, &count)
        return String(decoding: UnsafeBufferPointer(start: base, count: Int(count)), as: UTF8.self)
    }

    /// The session with the newest ticket; the caller frees it.
    var ticket: OpaquePointer? { SSL_get1_session(session) }

    // MARK: - Bytes

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
        guard !bytes.isEmpty else { return }
        let count = SSL_write(session, bytes, Int32(bytes.count))
        guard count == Int32(bytes.count) else { throw failure("write", count) }
    }

    /// Some bytes; empty at the proper end of the stream, which the server must have announced.
    func receive() throws -> [UInt8] {
        if !pending.isEmpty {
            defer { pending = [] }
            return pending
        }
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = SSL_read(session, &buffer, Int32(buffer.count))
        if count > 0 { return Array(buffer.prefix(Int(count))) }
        guard SSL_get_error(session, count) == SSL_ERROR_ZERO_RETURN else { throw failure("read", count) }
        return []
    }

    func changeKeys() throws {
        guard SSL_key_update(session, SSL_KEY_UPDATE_REQUESTED) == 1 else { throw failure("key update", 0) }
    }

    func shutdownSending() { SSL_shutdown(session) }

    /// An answer with a length; its head and body.
    func readResponse() throws -> (head: String, body: [UInt8]) {
        var bytes: [UInt8] = []
        var end: Int?
        while end == nil {
            let more = try receive()
            guard !more.isEmpty else { throw RawConnection.Failure(description: "the stream ended in a head") }
            let from = max(0, bytes.count - 3)
            bytes += more
            end = Self.find([13, 10, 13, 10], in: bytes, from: from)
        }
        let head = String(decoding: bytes[..<end!], as: UTF8.self)
        bytes.removeFirst(end! + 4)
        let length =
            head.lowercased().components(separatedBy: "content-length: ").dropFirst().first
            .flatMap { Int($0.prefix { $0.isNumber }) } ?? 0
        while bytes.count < length {
            let more = try receive()
            guard !more.isEmpty else { throw RawConnection.Failure(description: "the stream ended in a body") }
            bytes += more
        }
        pending = Array(bytes[length...])
        return (head, Array(bytes[..<length]))
    }

    func exchange(_ request: String) throws -> (head: String, body: [UInt8]) {
        try send(request)
        return try readResponse()
    }

    private static func find(_ mark: [UInt8], in bytes: [UInt8], from: Int) -> Int? {
        guard bytes.count >= mark.count else { return nil }
        for index in from...(bytes.count - mark.count) where bytes[index..<index + mark.count].elementsEqual(mark) {
            return index
        }
        return nil
    }

    private func failure(_ action: String, _ result: Int32) -> RawConnection.Failure {
        let reason = SSL_get_error(session, result)
        let error = ERR_peek_error()
        let text = ERR_reason_error_string(error).map { String(cString: $0) } ?? "error \(reason)"
        ERR_clear_error()
        return RawConnection.Failure(description: "TLS \(action) failed: \(text)")
    }
}
