import Glibc

/// Blocking Unix sockets, for the few words that two gateways exchange.
enum UnixSocket {
    /// A connection on which nothing waits longer than `timeout` seconds; `nil` when nobody listens at `path`.
    static func connect(_ path: String, timeout: Double) -> Int32? {
        guard let descriptor = make(timeout) else { return nil }
        let result = withAddress(path) { Glibc.connect(descriptor, $0, $1) }
        guard result == 0 else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    /// A listening socket that only the own user can reach. Accepting waits at most `timeout` seconds.
    static func listen(_ path: String, timeout: Double) throws -> Int32 {
        guard let descriptor = make(timeout) else { throw GatewayError("cannot make a Unix socket", errno: errno) }
        let mask = umask(0o177)
        defer { umask(mask) }
        guard withAddress(path, { bind(descriptor, $0, $1) }) == 0, Glibc.listen(descriptor, 4) == 0 else {
            let code = errno
            close(descriptor)
            throw GatewayError("cannot listen on \(path)", errno: code)
        }
        return descriptor
    }

    /// Lets nothing on the socket wait longer than that many seconds.
    static func setPatience(_ descriptor: Int32, _ seconds: Double) {
        let micros = Int((seconds - seconds.rounded(.down)) * 1_000_000)
        var limit = timeval(tv_sec: Int(seconds), tv_usec: micros)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    static func sendAll(_ descriptor: Int32, _ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw GatewayError("cannot send to the other gateway", errno: errno) }
            sent += count
        }
    }

    static func receiveExactly(_ descriptor: Int32, _ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: min(count, 65536))
        while bytes.count < count {
            let received = recv(descriptor, &piece, min(piece.count, count - bytes.count), 0)
            guard received > 0 else {
                throw received == 0
                    ? GatewayError("the other gateway ended before it had said everything")
                    : GatewayError("cannot receive from the other gateway", errno: errno)
            }
            bytes += piece.prefix(received)
        }
        return bytes
    }

    // MARK: - Private

    private static func make(_ timeout: Double) -> Int32? {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        setPatience(descriptor, timeout)
        return descriptor
    }

    /// Fails with `ENAMETOOLONG` for paths that do not fit.
    private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let isFitting = withUnsafeMutableBytes(of: &address.sun_path) { field in
            guard path.utf8.count < field.count else { return false }
            field.copyBytes(from: path.utf8)
            return true
        }
        guard isFitting else {
            errno = ENAMETOOLONG
            return -1
        }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
