import CLinux
import Foundation
import Synchronization

/// A blocking TCP connection that tests drive byte by byte. Waits at most ten seconds for anything.
final class RawConnection: Sendable {
    let descriptor: Int32
    private let pending = Mutex<[UInt8]>([])

    struct Failure: Error, Equatable, CustomStringConvertible {
        let description: String
    }

    init(descriptor: Int32) {
        self.descriptor = descriptor
        setTimeout(milliseconds: 10_000)
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
    }

    convenience init(port: Int, receiveBuffer: Int? = nil) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        self.init(descriptor: descriptor)
        if var size = receiveBuffer.map(Int32.init) {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                Glibc.connect(descriptor, address, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw Failure(description: "cannot connect: \(String(cString: strerror(errno)))") }
    }

    /// Connects to a Unix socket.
    convenience init(socket path: String) throws {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        self.init(descriptor: descriptor)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw Failure(description: "cannot connect to \(path)") }
    }

    deinit { Glibc.close(descriptor) }

    func setTimeout(milliseconds: Int) {
        var limit = timeval(tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw Failure(description: "cannot send: \(String(cString: strerror(errno)))") }
            sent += count
        }
    }

    /// Some bytes; empty at the end of the stream.
    func receive(_ size: Int = 65536) throws -> [UInt8] {
        let kept = pending.withLock { pending in
            defer { pending = [] }
            return pending
        }
        if !kept.isEmpty { return kept }
        var buffer = [UInt8](repeating: 0, count: size)
        let count = recv(descriptor, &buffer, size, 0)
        guard count >= 0 else { throw Failure(description: "cannot receive: \(String(cString: strerror(errno)))") }
        return Array(buffer.prefix(count))
    }

    func putBack(_ bytes: [UInt8]) { pending.withLock { $0 = bytes + $0 } }

    func shutdownSending() { Glibc.shutdown(descriptor, Int32(SHUT_WR)) }

    /// Closes with a reset instead of an orderly end.
    func reset() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
        Glibc.shutdown(descriptor, Int32(SHUT_RDWR))
    }

    // MARK: - HTTP

    struct Message {
        var startLine = ""
        var fields: [(name: String, value: String)] = []
        var body: [UInt8] = []
        /// The chunks and trailers as they came.
        var rawBody: [UInt8] = []

        var status: Int { Int(startLine.split(separator: " ").dropFirst().first ?? "") ?? 0 }
        var text: String { String(decoding: body, as: UTF8.self) }

        func values(_ name: String) -> [String] {
            fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
        }

        subscript(name: String) -> String? { values(name).first }
    }

    /// Reads up to and including `mark`; `nil` when the stream ends before any byte.
    func read(until mark: String) throws -> [UInt8]? {
        let mark = Array(mark.utf8)
        var bytes: [UInt8] = []
        while true {
            let more = try receive()
            if more.isEmpty {
                if bytes.isEmpty { return nil }
                throw Failure(description: "the stream ended after \(String(decoding: bytes, as: UTF8.self))")
            }
            let from = max(0, bytes.count - mark.count)
            bytes += more
            if let end = Self.find(mark, in: bytes, from: from) {
                putBack(Array(bytes[end...]))
                return Array(bytes[..<end])
            }
        }
    }

    private static func find(_ mark: [UInt8], in bytes: [UInt8], from: Int) -> Int? {
        guard bytes.count >= mark.count else { return nil }
        for index in from...(bytes.count - mark.count) where bytes[index..<index + mark.count].elementsEqual(mark) {
            return index + mark.count
        }
        return nil
    }

    func readExactly(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let more = try receive()
            guard !more.isEmpty else { throw Failure(description: "the stream ended after \(bytes.count) of \(count)") }
            bytes += more
        }
        putBack(Array(bytes[count...]))
        return Array(bytes[..<count])
    }

    func readToEnd() throws -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let more = try receive()
            if more.isEmpty { return bytes }
            bytes += more
        }
    }

    func readHead() throws -> Message? {
        guard let bytes = try read(until: "\r\n\r\n") else { return nil }
        var message = Message()
        let lines = String(decoding: bytes, as: UTF8.self).components(separatedBy: "\r\n")
        message.startLine = lines[0]
        for line in lines.dropFirst() where !line.isEmpty {
            let colon = try line.firstIndex(of: ":").orThrow(Failure(description: "no colon in \(line)"))
            let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            message.fields.append((String(line[..<colon]), value))
        }
        return message
    }

    /// A request, or an answer that `toHead` says has no body.
    func readMessage(isResponse: Bool, toHead: Bool = false) throws -> Message? {
        guard var message = try readHead() else { return nil }
        if isResponse, toHead || message.status < 200 || message.status == 204 || message.status == 304 {
            return message
        }
        if message["Transfer-Encoding"]?.lowercased() == "chunked" {
            try readChunks(&message)
        } else if let length = message["Content-Length"].flatMap(Int.init) {
            message.body = try readExactly(length)
        } else if isResponse {
            message.body = try readToEnd()
        }
        return message
    }

    private func readChunks(_ message: inout Message) throws {
        while true {
            guard let line = try read(until: "\r\n") else { throw Failure(description: "a chunk is missing") }
            message.rawBody += line
            let size = String(decoding: line, as: UTF8.self).prefix { $0.isHexDigit }
            let count = try Int(size, radix: 16).orThrow(Failure(description: "no chunk size in \(line)"))
            if count == 0 { break }
            message.body += try readExactly(count)
            guard try readExactly(2) == [13, 10] else { throw Failure(description: "a chunk does not end") }
        }
        while let line = try read(until: "\r\n") {
            message.rawBody += line
            if line.count == 2 { return }
        }
    }

    func readResponse(toHead: Bool = false) throws -> Message {
        try readMessage(isResponse: true, toHead: toHead).orThrow(Failure(description: "no answer"))
    }

    func exchange(_ request: String, toHead: Bool = false) throws -> Message {
        try send(request)
        return try readResponse(toHead: toHead)
    }
}

extension Optional {
    func orThrow(_ error: any Error) throws -> Wrapped {
        guard let self else { throw error }
        return self
    }
}

/// A server on a free port; each connection has a thread of its own.
final class RawServer: Sendable {
    let port: Int
    private let listener: Listener

    /// Owns the listening socket, so that it is closed only when no thread uses its number any more.
    private final class Listener: Sendable {
        let descriptor: Int32
        private let state = Mutex(State())

        private struct State {
            var isStopped = false
            var accepted = 0
            var connections: [RawConnection] = []
        }

        init(descriptor: Int32) { self.descriptor = descriptor }
        deinit { Glibc.close(descriptor) }

        var isStopped: Bool { state.withLock(\.isStopped) }
        var accepted: Int { state.withLock(\.accepted) }

        func add(_ connection: RawConnection) {
            state.withLock { state in
                state.accepted += 1
                state.connections.append(connection)
            }
        }

        func remove(_ connection: RawConnection) {
            Glibc.shutdown(connection.descriptor, Int32(SHUT_RDWR))
            state.withLock { $0.connections.removeAll { $0 === connection } }
        }

        func stop() {
            Glibc.shutdown(descriptor, Int32(SHUT_RDWR))
            let connections = state.withLock { state in
                state.isStopped = true
                return state.connections
            }
            for connection in connections { Glibc.shutdown(connection.descriptor, Int32(SHUT_RDWR)) }
        }
    }

    /// Connections that were accepted.
    var accepted: Int { listener.accepted }

    init(handler: @escaping @Sendable (RawConnection) throws -> Void) throws {
        var address = clinux_address()
        _ = clinux_parse_address("0.0.0.0", 0, &address)
        let descriptor = clinux_listen(&address, 1024)
        guard descriptor >= 0 else { throw RawConnection.Failure(description: "cannot listen: \(descriptor)") }
        _ = clinux_local_address(descriptor, &address)
        port = Int(address.port)
        let listener = Listener(descriptor: descriptor)
        self.listener = listener
        Thread.detachNewThread { Self.accept(listener, handler) }
    }

    private static func accept(_ listener: Listener, _ handler: @escaping @Sendable (RawConnection) throws -> Void) {
        while !listener.isStopped {
            var waiting = pollfd(fd: listener.descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, 50) > 0 else { continue }
            let descriptor = Glibc.accept(listener.descriptor, nil, nil)
            guard descriptor >= 0 else { continue }
            let connection = RawConnection(descriptor: descriptor)
            listener.add(connection)
            Thread.detachNewThread {
                try? handler(connection)
                listener.remove(connection)
            }
        }
    }

    /// Stops listening and cuts all connections.
    func stop() { listener.stop() }

    deinit { stop() }

    /// Two different ports that were free a moment ago.
    static func freePorts() throws -> (Int, Int) {
        let servers = (try RawServer { _ in }, try RawServer { _ in })
        return withExtendedLifetime(servers) { (servers.0.port, servers.1.port) }
    }

    /// Answers every request with what it saw: the head as text, then the body.
    static func echo(name: String = "echo") throws -> RawServer {
        try RawServer { connection in
            while let request = try connection.readMessage(isResponse: false) {
                let lines = [request.startLine] + request.fields.map { "\($0.name): \($0.value)" }
                let body = Array((lines.joined(separator: "\n") + "\n\n").utf8) + request.body
                let isHead = request.startLine.hasPrefix("HEAD ")
                let head = "HTTP/1.1 200 OK\r\nContent-Length: \(body.count)\r\nX-Backend: \(name)\r\n\r\n"
                try connection.send(Array(head.utf8) + (isHead ? [] : body))
            }
        }
    }
}
