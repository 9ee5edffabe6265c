import Foundation
import Synchronization

/// An open-loop client: starts requests at a fixed rate whether or not earlier ones were answered, every second one on a fresh
/// connection, the others on connections that are kept. Every request is counted; none is sent twice.
///
/// The latency of a request counts from the time it was due, so that a pause of the server shows in all requests it held up.
final class SteadyLoad: Sendable {
    struct Report: Sendable, CustomStringConvertible {
        var latencies: [Duration] = []
        var failures: [String] = []
        var bodies: Set<String> = []

        var requests: Int { latencies.count + failures.count }

        /// The latency that `share` of the answered requests did not exceed.
        func percentile(_ share: Double) -> Duration {
            guard !latencies.isEmpty else { return .zero }
            return latencies.sorted()[min(latencies.count - 1, Int(Double(latencies.count) * share))]
        }

        var description: String {
            "\(requests) requests, \(failures.count) failed, p50 \(percentile(0.5)), p99 \(percentile(0.99)), max \(percentile(1))"
                + failures.prefix(5).map { "\n  \($0)" }.joined()
        }
    }

    private struct State {
        var report = Report()
        var next = 0
        var running: Int
        var isStopped = false
    }

    private let port: Int
    private let hosts: [String]
    private let interval: Duration
    private let accepts: @Sendable (String) -> Bool
    private let start = ContinuousClock.now
    private let state: Mutex<State>

    /// - Parameter accepts: whether a page is whole; a 200 answer with any other page counts as failed.
    init(
        port: Int,
        hosts: [String],
        rate: Int = 200,
        clients: Int = 32,
        accepts: @escaping @Sendable (String) -> Bool = { _ in true }
    ) {
        self.port = port
        self.hosts = hosts
        self.accepts = accepts
        interval = .seconds(1) / rate
        state = Mutex(State(running: clients))
        for _ in 0..<clients { Thread.detachNewThread { self.sendUntilStopped() } }
    }

    var requests: Int { state.withLock(\.report.requests) }
    /// The different pages that came so far.
    var bodies: Set<String> { state.withLock(\.report.bodies) }

    /// Waits until all requests that were started are answered or failed.
    func stop() async throws -> Report {
        state.withLock { $0.isStopped = true }
        while state.withLock(\.running) > 0 { try await Task.sleep(for: .milliseconds(2)) }
        return state.withLock(\.report)
    }

    // MARK: - Private

    private func sendUntilStopped() {
        var kept: [String: ClientConnection] = [:]
        while let number = nextNumber() {
            let due = start + interval * number
            sleep(until: due)
            let host = hosts[number / 2 % hosts.count]
            let isKept = number % 2 == 0
            do {
                if kept[host]?.isEnded == true { kept[host] = nil }
                let connection = try isKept ? kept[host] ?? ClientConnection(port: port) : ClientConnection(port: port)
                kept[host] = isKept ? connection : kept[host]
                let body = try connection.get("/", host: host, closes: !isKept)
                guard accepts(body) else { throw PageFault(description: "answered 200 with \(body)") }
                state.withLock { state in
                    state.report.latencies.append(.now - due)
                    state.report.bodies.insert(body)
                }
            } catch {
                if isKept { kept[host] = nil }
                let time = ContinuousClock.now - start
                let kind = isKept ? "kept" : "fresh"
                state.withLock { $0.report.failures.append("at \(time): \(host), \(kind) connection: \(error)") }
            }
        }
        state.withLock { $0.running -= 1 }
    }

    private func nextNumber() -> Int? {
        state.withLock { state in
            guard !state.isStopped else { return nil }
            state.next += 1
            return state.next
        }
    }

    private func sleep(until due: ContinuousClock.Instant) {
        let seconds = (due - .now) / .seconds(1)
        if seconds > 0 { Thread.sleep(forTimeInterval: seconds) }
    }
}

private struct PageFault: Error, CustomStringConvertible {
    let description: String
}

/// A blocking HTTP/1.1 connection to a port of this machine. Waits at most ten seconds for anything.
private final class ClientConnection {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private let descriptor: Int32

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) }
        }
        guard result == 0 else { throw failure("cannot connect") }
    }

    deinit { close(descriptor) }

    /// The other side ended the connection while no request was on it, as it may after a while (RFC 9112, section 9.5).
    var isEnded: Bool {
        var byte: UInt8 = 0
        return recv(descriptor, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) >= 0 || errno != EAGAIN
    }

    /// The body of a 200 answer, with a length or in chunks; anything else is a failure.
    func get(_ path: String, host: String, closes: Bool) throws -> String {
        let request = Array(
            "GET \(path) HTTP/1.1\r\nHost: \(host)\r\n\(closes ? "Connection: close\r\n" : "")\r\n".utf8
        )
        guard send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else {
            throw failure("cannot send")
        }
        var text = ""
        while true {
            text += try receive(after: text)
            guard let end = text.range(of: "\r\n\r\n") else { continue }
            let head = text[..<end.lowerBound].components(separatedBy: "\r\n")
            guard head[0].hasPrefix("HTTP/1.1 200") else { throw Failure(description: "answered \(text)") }
            let body = text[end.upperBound...]
            if head.contains(where: { $0.lowercased() == "transfer-encoding: chunked" }) {
                if let whole = try Self.unchunked(body) { return whole }
            } else {
                guard let length = head.firstNonNil(Self.length) else {
                    throw Failure(description: "no length in \(text)")
                }
                if body.utf8.count == length { return String(body) }
            }
        }
    }

    /// The content of a chunked body (RFC 9112, section 7.1), or `nil` while chunks are missing.
    private static func unchunked(_ body: Substring) throws -> String? {
        var rest = body.utf8
        var content: [UInt8] = []
        while let line = rest.firstIndex(of: UInt8(ascii: "\n")) {
            let digits = String(decoding: rest[..<line], as: UTF8.self).trimmingCharacters(in: .whitespaces)
            guard let size = Int(digits.trimmingCharacters(in: .newlines), radix: 16) else {
                throw Failure(description: "bad chunk '\(digits)'")
            }
            rest = rest[rest.index(after: line)...]
            guard rest.count >= size + 2 else { return nil }
            if size == 0 { return String(decoding: content, as: UTF8.self) }
            content += rest.prefix(size)
            rest = rest.dropFirst(size + 2)
        }
        return nil
    }

    private static func length(_ line: String) -> Int? {
        guard line.lowercased().hasPrefix("content-length:") else { return nil }
        return Int(line.drop { $0 != ":" }.dropFirst().trimmingCharacters(in: .whitespaces))
    }

    private func receive(after text: String) throws -> String {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count >= 0 else { throw failure("cannot receive") }
        guard count > 0 else { throw Failure(description: "the connection was closed after '\(text)'") }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }

    private func failure(_ what: String) -> Failure {
        Failure(description: "\(what): \(String(cString: strerror(errno)))")
    }
}

extension Sequence {
    fileprivate func firstNonNil<Value>(_ transform: (Element) -> Value?) -> Value? {
        for element in self {
            if let value = transform(element) { return value }
        }
        return nil
    }
}
