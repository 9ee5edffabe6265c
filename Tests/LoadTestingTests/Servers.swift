import CLinux
import Foundation
import Glibc
import TestKit
import Testing

/// A server that reads a request and answers with set bytes, whole or in pieces, on every connection; it keeps connections open.
final class ScriptedServer: Sendable {
    let port: Int
    private let listener: Int32

    init(answer: String, pieces: Int = 1) throws {
        let listener = try Self.listen()
        self.listener = listener
        var address = clinux_address()
        _ = clinux_local_address(listener, &address)
        port = Int(address.port)
        let bytes = Array(answer.utf8)
        Thread.detachNewThread {
            while true {
                let client = accept(listener, nil, nil)
                guard client >= 0 else { return }
                Thread.detachNewThread { Self.serve(client, bytes, pieces) }
            }
        }
    }

    /// A blocking listener on a free port of 127.0.0.1.
    private static func listen() throws -> Int32 {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var place = sockaddr_in()
        place.sin_family = sa_family_t(AF_INET)
        place.sin_addr.s_addr = inet_addr("127.0.0.1")
        let bound = withUnsafePointer(to: &place) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(bound == 0 && Glibc.listen(listener, 128) == 0)
        return listener
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    private static func serve(_ client: Int32, _ answer: [UInt8], _ pieces: Int) {
        defer { close(client) }
        var one: Int32 = 1
        setsockopt(client, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while recv(client, &buffer, buffer.count, 0) > 0 {
            let size = (answer.count + pieces - 1) / pieces
            for start in stride(from: 0, to: answer.count, by: size) {
                let piece = Array(answer[start..<min(start + size, answer.count)])
                guard send(client, piece, piece.count, Int32(MSG_NOSIGNAL)) == piece.count else { return }
                if pieces > 1 { usleep(500) }
            }
        }
    }
}

/// Runs nginx with `/small` of 6 bytes and `/large` of 3 MB on a port of its own.
/// - Parameter body: gets the port and the folder, where `certificate.pem` is the server's own with TLS.
func withNginx(
    requestsPerConnection: Int,
    hasTLS: Bool = false,
    _ body: (Int, String) async throws -> Void
) async throws {
    let folder = FileManager.default.temporaryDirectory.path + "/nginx-\(UInt32.random(in: 0 ... .max))"
    try FileManager.default.createDirectory(atPath: "\(folder)/www", withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let port = try ScriptedServer(answer: "").port  // was free a moment ago
    try Data("small\n".utf8).write(to: URL(fileURLWithPath: "\(folder)/www/small"))
    try Data(repeating: 88, count: 3_000_000).write(to: URL(fileURLWithPath: "\(folder)/www/large"))
    if hasTLS {
        try await Shell.run(
            "openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                "-keyout", "\(folder)/key.pem", "-out", "\(folder)/certificate.pem",
            ]
        )
    }
    let listening = hasTLS ? "\(port) ssl; ssl_certificate certificate.pem; ssl_certificate_key key.pem" : "\(port)"
    let configuration = """
        daemon off; master_process off; pid \(folder)/pid; error_log \(folder)/error.log;
        events { worker_connections 512; }
        http {
          access_log off; keepalive_requests \(requestsPerConnection); client_body_temp_path \(folder)/body;
          server { listen 127.0.0.1:\(listening); root \(folder)/www; }
        }
        """
    try Data(configuration.utf8).write(to: URL(fileURLWithPath: "\(folder)/nginx.conf"))
    let nginx = Process()
    nginx.executableURL = URL(fileURLWithPath: "/usr/sbin/nginx")
    nginx.arguments = ["-p", folder, "-c", "\(folder)/nginx.conf"]
    nginx.standardError = FileHandle.nullDevice
    try nginx.run()
    defer {
        // It inherits a signal mask that blocks the gentler ones.
        kill(nginx.processIdentifier, SIGKILL)
        nginx.waitUntilExit()
    }
    try await waitUntil("nginx to listen") {
        let url = "\(hasTLS ? "https" : "http")://127.0.0.1:\(port)/small"
        return (try? await Shell.run("curl", ["-sfk", url])) != nil
    }
    try await body(port, folder)
}
