import FlowControl
import Foundation
import Testing

@testable import Gateway

@Suite(.serialized) struct AccessLogTests {
    private static func withFolder(_ body: (String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.path + "/log-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await body(folder)
    }

    private static func lines(_ path: String) -> [String] {
        let text = FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return text.split(separator: "\n").map(String.init)
    }

    /// The lines that have been written to their end.
    private static func lineEnds(_ path: String) -> Int {
        FileManager.default.contents(atPath: path)?.count { $0 == UInt8(ascii: "\n") } ?? 0
    }

    private static func objects(_ path: String) throws -> [[String: Any]] {
        try lines(path).map {
            try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any] ?? [:]
        }
    }

    @Test func notesWhatARequestWas() async throws {
        let server = try RawServer.echo()
        try await Self.withFolder { folder in
            let path = "\(folder)/access.log"
            try await withDataPlane(.single([server.port]), accessLog: .init(path: path)) { plane in
                let extra = "User-Agent: a \"b\" \\ c\r\nReferer: http://r/é\r\nX-Request-Id: id-1\r\n"
                _ = try await onThread {
                    let client = try RawConnection(port: plane.port)
                    _ = try client.exchange(get("/p?q=1", extra: extra))
                    try client.send("GET / HTTP/9.9\r\nHost: a\r\n\r\n")
                    return try client.readResponse().status
                }
                try await eventually { Self.lines(path).count == 2 }
                let (first, second) = (try Self.objects(path)[0], try Self.objects(path)[1])
                #expect(first["client"] as? String == "127.0.0.1")
                #expect(first["method"] as? String == "GET")
                #expect(first["host"] as? String == "example.test")
                #expect(first["target"] as? String == "/p?q=1")
                #expect(first["protocol"] as? String == "HTTP/1.1")
                #expect(first["status"] as? Int == 200)
                #expect(first["requestBytes"] as? Int == 0)
                #expect((first["responseBytes"] as? Int ?? 0) > 50)
                #expect((first["duration"] as? Double ?? -1) >= 0)
                #expect(first["route"] as? String == "default/all")
                #expect(first["backend"] as? String == "default/app:80")
                #expect(first["endpoint"] as? String == "127.0.0.1:\(server.port)")
                #expect(first["attempts"] as? Int == 1)
                #expect(first["requestId"] as? String == "id-1")
                #expect(first["error"] == nil)
                #expect(first["referer"] as? String == "http://r/Ã©")
                let time = first["time"] as? String ?? ""
                let date = try Date.ISO8601FormatStyle(includingFractionalSeconds: true).parse(time)
                #expect(abs(date.timeIntervalSinceNow) < 60)
                #expect(second["status"] as? Int == 505)
                #expect(second["error"] as? String == "http_request_error")
                #expect(second["method"] == nil)
            }
        }
    }

    @Test func notesWhichPolicyRefused() async throws {
        let server = try RawServer.echo()
        var table = RouteTable.single([server.port])
        table.rules[0].policies = [
            TrafficPolicy(name: "rate", .rateLimit(RateLimit(requests: 1, per: 60_000, burst: 0)))
        ]
        try await Self.withFolder { folder in
            let path = "\(folder)/access.log"
            try await withDataPlane(table, accessLog: .init(path: path)) { plane in
                let refused = try await onThread {
                    let client = try RawConnection(port: plane.port)
                    _ = try client.exchange(get())
                    return try client.exchange(get()).body.count
                }
                try await eventually { Self.lines(path).count == 2 }
                let objects = try Self.objects(path)
                #expect(objects[0]["error"] == nil)
                #expect(objects[1]["status"] as? Int == 429)
                #expect(objects[1]["error"] as? String == "http_request_denied")
                #expect(objects[1]["responseBytes"] as? Int == refused)
            }
        }
    }

    @Test func refusesControlCharactersButLogsTheRest() async throws {
        let server = try RawServer.echo()
        try await Self.withFolder { folder in
            let path = "\(folder)/access.log"
            let settings = AccessLogSettings(path: path, format: .combined)
            try await withDataPlane(.single([server.port]), accessLog: settings) { plane in
                _ = try await onThread {
                    try RawConnection(port: plane.port).exchange(get("/x\"y?z", extra: "User-Agent: wget \"1\"\r\n"))
                }
                try await eventually { Self.lines(path).count == 1 }
                let line = Self.lines(path)[0]
                let pattern =
                    /127\.0\.0\.1 - - \[\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET \/x\\u0022y\?z HTTP\/1.1" 200 \d+ "-" "wget \\u00221\\u0022" "example.test" "[0-9a-f]{32}" \d+\.\d{6} "default\/all" "default\/app:80" "127.0.0.1:\d+" 1 ""/
                #expect(line.wholeMatch(of: pattern) != nil, "\(line)")
            }
        }
    }

    @Test func losesNoLineUnderLoadAndRotation() async throws {
        let server = try RawServer.echo()
        try await Self.withFolder { folder in
            let path = "\(folder)/access.log"
            try await withDataPlane(.single([server.port]), workers: 2, accessLog: .init(path: path)) { plane in
                let load = Load(port: plane.port, path: "/load", clients: 4)
                for number in 0..<3 {
                    let wanted = load.answers + 200
                    try await eventually(within: 20) { load.answers > wanted }
                    try FileManager.default.moveItem(atPath: path, toPath: "\(path).\(number)")
                    plane.accessLog?.reopen()
                    try await eventually { FileManager.default.fileExists(atPath: path) }
                }
                let result = await load.stop()
                #expect(result.failures == [])
                let files = [path, "\(path).0", "\(path).1", "\(path).2"]
                try await eventually { files.reduce(0) { $0 + Self.lineEnds($1) } == result.answers }
                #expect(plane.accessLog?.dropped == 0)
                let objects = try files.flatMap { try Self.objects($0) }
                for object in objects {
                    #expect(object["target"] as? String == "/load")
                    #expect((object["requestId"] as? String)?.count == 32)
                }
                let ids = Set(objects.compactMap { $0["requestId"] as? String })
                #expect(ids.count == result.answers)
            }
        }
    }

    @Test func writesWhatWaitsWhenItEnds() async throws {
        let server = try RawServer.echo()
        try await Self.withFolder { folder in
            let path = "\(folder)/access.log"
            try await withDataPlane(.single([server.port]), accessLog: .init(path: path)) { plane in
                _ = try await onThread {
                    let client = try RawConnection(port: plane.port)
                    for _ in 0..<50 { _ = try client.exchange(get()) }
                }
            }
            #expect(Self.lines(path).count == 50)
        }
    }

    @Test func countsWhatItCannotWrite() async throws {
        let server = try RawServer.echo()
        try await withDataPlane(.single([server.port]), accessLog: .init(path: "/dev/full")) { plane in
            try await onThread {
                let client = try RawConnection(port: plane.port)
                for _ in 0..<20 { _ = try client.exchange(get()) }
            }
            try await eventually { plane.accessLog?.dropped == 20 }
            #expect(MetricsText.write(plane).contains("sampan_gateway_access_log_dropped_total 20\n"))
        }
    }

    @Test func dropsLinesThatFindNoRoom() {
        let ring = AccessLogRing(capacity: 1, wakeup: -1)
        let line = Array(repeating: UInt8(65), count: 1000)
        line.withUnsafeBufferPointer { bytes in
            for _ in 0..<100 { ring.words.append(ByteSpan(bytes.baseAddress!, bytes.count)) }
        }
        #expect(ring.words.dropped == 35)
        #expect(ring.readable?.count == 65_000)
        ring.consume(65_000)
        // A line that goes round the end comes out in two pieces, whole.
        line.withUnsafeBufferPointer { ring.words.append(ByteSpan($0.baseAddress!, $0.count)) }
        #expect(ring.readable?.count == 536)
        ring.consume(536)
        #expect(ring.readable?.count == 464)
    }

    @Test func refusesAPathThatCannotBeOpened() {
        #expect(throws: GatewayError.self) { try AccessLog(.init(path: "/nonexistent/access.log"), workers: 1) }
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00", "01/Jan/1970:00:00:00 +0000"),
        (951_782_399, "2000-02-28T23:59:59", "28/Feb/2000:23:59:59 +0000"),
        (951_782_400, "2000-02-29T00:00:00", "29/Feb/2000:00:00:00 +0000"),
        (1_767_225_599, "2025-12-31T23:59:59", "31/Dec/2025:23:59:59 +0000"),
        (4_107_542_400, "2100-03-01T00:00:00", "01/Mar/2100:00:00:00 +0000"),
    ])
    func knowsTheCalendar(_ row: (second: UInt64, iso: String, common: String)) {
        let date = LogDate()
        defer { date.free() }
        date.layOut(second: row.second)
        #expect(date.iso.string == row.iso)
        #expect(date.common.string == row.common)
    }
}
