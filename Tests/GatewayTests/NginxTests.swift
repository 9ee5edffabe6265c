import Foundation
import Testing

@testable import Gateway

/// The data path in front of a real nginx that closes its kept connections often.
@Suite(.serialized) struct NginxTests {
    /// Runs `body` with the port and the folder of a server; files below `www` in the folder are served.
    static func withNginx(
        locations: String = "location /status { return 204; }",
        keepsConnections: Bool = false,
        _ body: (Int, String) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.path + "/nginx-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: "\(folder)/www", withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        // A port that was free a moment ago.
        let port = try RawServer { _ in }.port
        try Data("small\n".utf8).write(to: URL(fileURLWithPath: "\(folder)/www/small"))
        try Data(repeating: 88, count: 3_000_000).write(to: URL(fileURLWithPath: "\(folder)/www/large"))
        let configuration = """
            daemon off; master_process off; pid \(folder)/pid; error_log \(folder)/error.log;
            events { worker_connections 512; }
            http {
              access_log off; keepalive_requests \(keepsConnections ? 1_000_000_000 : 5); client_body_temp_path \(folder)/body;
              server {
                listen 127.0.0.1:\(port); root \(folder)/www;
                \(locations)
              }
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
        try await eventually { (try? RawConnection(port: port)) != nil }
        try await body(port, "\(folder)/www")
    }

    @Test func servesEverythingOverConnectionsThatComeAndGo() async throws {
        try await Self.withNginx { backend, _ in
            try await withDataPlane(.single([backend]), workers: 2) { plane in
                try await onThread {
                    let client = try RawConnection(port: plane.port)
                    for _ in 0..<40 {
                        #expect(try client.exchange(get("/small")).text == "small\n")
                        #expect(try client.exchange(get("/status")).status == 204)
                        let range = try client.exchange(get("/large", extra: "Range: bytes=10-19\r\n"))
                        #expect(range.status == 206)
                        #expect(range.text == "XXXXXXXXXX")
                        let head = try client.exchange("HEAD /large HTTP/1.1\r\nHost: a\r\n\r\n", toHead: true)
                        #expect(head["Content-Length"] == "3000000")
                        #expect(try client.exchange(get("/missing")).status == 404)
                    }
                    #expect(try client.exchange(get("/large")).body.count == 3_000_000)
                    try client.send([get("/small"), get("/status"), get("/small")].joined())
                    #expect(try client.readResponse().status == 200)
                    #expect(try client.readResponse().status == 204)
                    #expect(try client.readResponse().status == 200)
                }
                let load = Load(port: plane.port, path: "/small", clients: 4)
                try await eventually { load.answers > 500 }
                let result = await load.stop()
                #expect(result.failures == [])
            }
        }
    }
}
