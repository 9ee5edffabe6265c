import Foundation
import Testing

@testable import Gateway

/// Servers from Debian that answer every request they understand with 200 and tell in `X-Seen` what they read: method and target.
enum RealServer: String, CaseIterable, Sendable {
    case nginx, apache, haproxy, node

    /// The field that tells the gateway's own requests from others in the server's log.
    static let markerName = "X-Gateway"

    /// Runs `body` with the server.
    func run(_ body: (Running) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.path + "/\(rawValue)-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: "\(folder)/www", withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        // A port that was free a moment ago.
        let port = try RawServer { _ in }.port
        try Data("seen\n".utf8).write(to: URL(fileURLWithPath: "\(folder)/www/index.txt"))
        try Data(configuration(folder, port).utf8).write(to: URL(fileURLWithPath: "\(folder)/configuration"))
        try Data().write(to: URL(fileURLWithPath: "\(folder)/seen"))
        let process = Process()
        let command = command(folder)
        process.executableURL = URL(fileURLWithPath: command[0])
        process.arguments = Array(command[1...])
        process.standardInput = FileHandle.nullDevice
        // HAProxy writes its log here.
        process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: "\(folder)/seen"))
        process.standardError = FileHandle.nullDevice
        try process.run()
        defer {
            // It inherits a signal mask that blocks the gentler ones.
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
        try await eventually { (try? RawConnection(port: port)) != nil }
        try await body(Running(server: self, port: port, log: "\(folder)/seen"))
    }

    struct Running: Sendable {
        let server: RealServer
        let port: Int
        fileprivate let log: String

        /// One line for each request that the server read: the gateway's mark or `-`, method and target.
        func seen() throws -> [String] {
            try String(decoding: Data(contentsOf: URL(fileURLWithPath: log)), as: UTF8.self)
                .split(separator: "\n").map(String.init)
        }
    }

    // MARK: - Private

    private func command(_ folder: String) -> [String] {
        switch self {
        case .nginx: ["/usr/sbin/nginx", "-p", folder, "-c", "\(folder)/configuration"]
        case .apache: ["/usr/sbin/apache2", "-X", "-d", folder, "-f", "\(folder)/configuration"]
        case .haproxy: ["/usr/sbin/haproxy", "-db", "-f", "\(folder)/configuration"]
        case .node: ["/usr/bin/node", "\(folder)/configuration"]
        }
    }

    private func configuration(_ folder: String, _ port: Int) -> String {
        switch self {
        case .nginx:
            """
            daemon off; master_process off; pid \(folder)/pid; error_log \(folder)/error.log;
            events { worker_connections 512; }
            http {
              log_format seen '$http_x_gateway $request_method $request_uri';
              access_log \(folder)/seen seen; client_body_temp_path \(folder)/body; keepalive_requests 100000;
              server {
                listen 127.0.0.1:\(port);
                add_header X-Seen "$request_method $request_uri" always;
                location / { return 200 "seen\\n"; }
              }
            }
            """
        case .apache:
            """
            \(["mpm_event", "authz_core", "headers", "rewrite"].map {
                "LoadModule \($0)_module /usr/lib/apache2/modules/mod_\($0).so"
            }.joined(separator: "\n"))
            Listen 127.0.0.1:\(port)
            ServerName localhost
            User www-data
            PidFile \(folder)/pid
            ErrorLog \(folder)/error.log
            Mutex fcntl:\(folder)
            DocumentRoot \(folder)/www
            KeepAlive On
            MaxKeepAliveRequests 0
            TraceEnable on
            Header always set X-Seen "expr=%{THE_REQUEST}"
            RewriteEngine on
            RewriteRule ^ /index.txt [L]
            LogFormat "%{X-Gateway}i %r" seen
            CustomLog \(folder)/seen seen
            """
        case .haproxy:
            """
            global
              log stdout format raw local0
              nbthread 1
            defaults
              mode http
              timeout client 30s
              timeout http-request 30s
              option dontlognull
            frontend all
              bind 127.0.0.1:\(port)
              log global
              log-format "%[capture.req.hdr(0)] %HM %HU"
              http-request capture req.hdr(X-Gateway) len 64
              http-request wait-for-body time 10s at-least 100000
              http-request return status 200 content-type text/plain string "seen" hdr X-Seen "%[method] %[url]"

            """
        case .node:
            """
            const log = require('fs').openSync('\(folder)/seen', 'a');
            const note = (line) => require('fs').writeSync(log, line + '\\n');
            const answer = (request, response) => {
              note(`${request.headers['x-gateway'] || '-'} ${request.method} ${request.url}`);
              response.setHeader('X-Seen', `${request.method} ${request.url}`);
              request.resume().on('end', () => response.end('seen\\n'));
            };
            const server = require('http').createServer(answer);
            server.on('checkExpectation', answer);
            server.on('clientError', (error, socket) => {
              // A gateway that gives a request up in the middle is no harm; bytes that make no sense are.
              if (String(error.code).startsWith('HPE_') && error.code !== 'HPE_INVALID_EOF_STATE') note(`- ${error.code}`);
              if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\\r\\nConnection: close\\r\\n\\r\\n');
            });
            server.keepAliveTimeout = 60000;
            server.listen(\(port), '127.0.0.1');
            """
        }
    }
}
