import CLinux
import Foundation
import Glibc

/// What a gateway gives to its successor beside the sockets.
struct HandOverLetter: Hashable, Sendable, Codable {
    /// Of these words; a gateway that does not know them starts on its own instead.
    static let currentVersion = 1

    struct Sockets: Hashable, Sendable, Codable {
        var address: ListenAddress
        var count: Int
    }

    struct Withdrawal: Hashable, Sendable, Codable {
        var address: String
        var uid: String
    }

    var version = currentVersion
    /// In the order in which the descriptors follow.
    var sockets: [Sockets]
    var ticketKeys: [TicketKeys.Key]
    /// Pods that are about to stop and that news of the cluster may still call ready.
    var withdrawals: [Withdrawal]
}

/// A letter and the sockets that it speaks of.
struct Inheritance: Sendable {
    var letter: HandOverLetter
    var sockets: [ListenAddress: [Int32]]
}

/// The predecessor's part: gives copies of its listening sockets away and waits until they are in use.
///
/// Both processes then accept from the same queues, so no connection is lost whichever of them ends. A successor that fails before it
/// confirms changes nothing.
struct HandOverGiver: Sendable {
    static let patience = 10.0

    let letter: HandOverLetter
    /// In the letter's order.
    let descriptors: [Int32]

    /// Blocks until the successor serves.
    func give(to path: String) throws {
        guard let descriptor = UnixSocket.connect(path, timeout: Self.patience) else {
            throw GatewayError("the successor does not listen on \(path)")
        }
        defer { close(descriptor) }
        let text = try [UInt8](JSONEncoder().encode(letter))
        let size = UInt32(text.count)
        try UnixSocket.sendAll(descriptor, (0..<4).map { UInt8(truncatingIfNeeded: size >> (8 * $0)) } + text)
        var rest = descriptors[...]
        while !rest.isEmpty {
            let some = Array(rest.prefix(CLINUX_DESCRIPTORS_AT_ONCE))
            let result = clinux_send_descriptors(descriptor, some, Int32(some.count))
            guard result == 0 else { throw GatewayError("cannot hand sockets over", errno: -result) }
            rest = rest.dropFirst(some.count)
        }
        _ = try UnixSocket.receiveExactly(descriptor, 1)
    }
}

/// The successor's part.
final class HandOverTaker: Sendable {
    private static let maximumLetter = 1 << 20
    private static let maximumSockets = 4096

    private let connection: Int32
    let inheritance: Inheritance

    /// Asks the gateway behind an admin socket for what it has. Blocks.
    static func ask(_ adminSocket: String) throws -> HandOverTaker {
        guard let admin = UnixSocket.connect(adminSocket, timeout: HandOverGiver.patience) else {
            throw GatewayError("the running gateway ended before it handed its sockets over")
        }
        defer { close(admin) }
        let path = "\(adminSocket)-\(UInt16.random(in: 0 ... .max))"
        let listener = try UnixSocket.listen(path, timeout: HandOverGiver.patience)
        defer {
            close(listener)
            unlink(path)
        }
        let target = path.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? path
        let request = "POST /hand-over?socket=\(target) HTTP/1.1\r\nHost: gateway\r\nContent-Length: 0\r\n\r\n"
        try UnixSocket.sendAll(admin, Array(request.utf8))
        let connection = try accept(listener, unlessAnswered: admin)
        do {
            return HandOverTaker(connection: connection, inheritance: try receive(connection))
        } catch {
            close(connection)
            throw error
        }
    }

    private init(connection: Int32, inheritance: Inheritance) {
        self.connection = connection
        self.inheritance = inheritance
    }

    deinit { close(connection) }

    /// Tells the predecessor that the sockets are served; it accepts no more from then on.
    func confirm() throws { try UnixSocket.sendAll(connection, [1]) }

    // MARK: - Private

    /// An answer before the connection is a refusal.
    private static func accept(_ listener: Int32, unlessAnswered admin: Int32) throws -> Int32 {
        var waiting = [
            pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
            pollfd(fd: admin, events: Int16(POLLIN), revents: 0),
        ]
        let count = poll(&waiting, 2, Int32(HandOverGiver.patience * 1000))
        guard count > 0, waiting[0].revents != 0 else {
            throw GatewayError("the running gateway did not hand its sockets over; it may be too old to know how")
        }
        let connection = Glibc.accept(listener, nil, nil)
        guard connection >= 0 else { throw GatewayError("cannot accept the running gateway's sockets", errno: errno) }
        _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
        UnixSocket.setPatience(connection, HandOverGiver.patience)
        return connection
    }

    private static func receive(_ connection: Int32) throws -> Inheritance {
        let head = try UnixSocket.receiveExactly(connection, 4)
        let size = head.enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
        guard size <= maximumLetter else { throw GatewayError("the running gateway's letter is too long") }
        let text = Data(try UnixSocket.receiveExactly(connection, size))
        let letter = try JSONDecoder().decode(HandOverLetter.self, from: text)
        let total = letter.sockets.reduce(0) { $0 + $1.count }
        guard letter.version == HandOverLetter.currentVersion, total <= maximumSockets else {
            throw GatewayError("the running gateway speaks another version of the hand-over")
        }
        var descriptors = try receiveDescriptors(connection, total)[...]
        var sockets: [ListenAddress: [Int32]] = [:]
        for group in letter.sockets {
            sockets[group.address, default: []] += descriptors.prefix(group.count)
            descriptors = descriptors.dropFirst(group.count)
        }
        return Inheritance(letter: letter, sockets: sockets)
    }

    private static func receiveDescriptors(_ connection: Int32, _ total: Int) throws -> [Int32] {
        var descriptors: [Int32] = []
        var some = [Int32](repeating: -1, count: CLINUX_DESCRIPTORS_AT_ONCE)
        while descriptors.count < total {
            let count = clinux_receive_descriptors(connection, &some, Int32(some.count))
            guard count > 0 else {
                for descriptor in descriptors { close(descriptor) }
                throw GatewayError("the running gateway's sockets did not arrive", errno: count == 0 ? EPIPE : -count)
            }
            descriptors += some.prefix(Int(count))
        }
        return descriptors
    }
}
