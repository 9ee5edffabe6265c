import COpenSSL
import Foundation
import Synchronization

/// The keys of session tickets (RFC 5077 §4), shared by all workers so that a session begun at one is resumed at any other, and given to
/// the successor at a hand-over.
///
/// The newest key seals; it and the two before it open. A key that leaves the ring takes the tickets under it along, so that a key found
/// later opens sessions of at most three periods.
final class TicketKeys: Sendable {
    /// Seconds after which a new key takes over; tickets hold as long.
    static let period: Int = 8 * 3600
    private static let kept = 3

    struct Key: Hashable, Sendable, Codable {
        /// 16 bytes that stand in the ticket.
        var name: [UInt8]
        var cipher: [UInt8]
        var mac: [UInt8]
        /// Seconds since 1970.
        var since: Int

        static func random(since: Int) -> Key {
            Key(name: randomBytes(16), cipher: randomBytes(32), mac: randomBytes(32), since: since)
        }

        private static func randomBytes(_ count: Int) -> [UInt8] {
            RecordMemory.prepare()
            var bytes = [UInt8](repeating: 0, count: count)
            precondition(RAND_bytes(&bytes, Int32(count)) == 1, "The system must be able to give random bytes.")
            return bytes
        }
    }

    private let keys: Mutex<[Key]>

    init(now: Int = Int(Date().timeIntervalSince1970)) { keys = Mutex([.random(since: now)]) }

    /// All keys, the newest first.
    var all: [Key] { keys.withLock(\.self) }

    /// Takes over the keys of a predecessor.
    func adopt(_ inherited: [Key]) {
        guard !inherited.isEmpty else { return }
        keys.withLock { $0 = Array(inherited.prefix(Self.kept)) }
    }

    /// Makes a new key when the newest has served its period.
    func rotate(now: Int) {
        keys.withLock { keys in
            guard let newest = keys.first, now >= newest.since + Self.period else { return }
            keys = Array(([.random(since: now)] + keys).prefix(Self.kept))
        }
    }

    // MARK: - Tickets

    enum Outcome: Int32 {
        case failed = -1
        /// Sealed with no key of ours: the handshake goes on in full.
        case unknown = 0
        case ready = 1
        /// Opened with a key that no longer seals: the client gets a new ticket.
        case readyToRenew = 2
    }

    /// Prepares a new ticket: writes the key's name and a fresh vector, and readies both contexts.
    func seal(
        _ name: UnsafeMutablePointer<UInt8>,
        _ vector: UnsafeMutablePointer<UInt8>,
        _ cipher: OpaquePointer,
        _ mac: OpaquePointer
    ) -> Outcome {
        guard RAND_bytes(vector, 16) == 1 else { return .failed }
        return keys.withLock { keys in
            for index in 0..<16 { name[index] = keys[0].name[index] }
            return Self.start(&keys[0], vector, cipher, mac, encrypts: true)
        }
    }

    func open(
        _ name: UnsafePointer<UInt8>,
        _ vector: UnsafePointer<UInt8>,
        _ cipher: OpaquePointer,
        _ mac: OpaquePointer
    ) -> Outcome {
        keys.withLock { keys in
            for index in keys.indices where (0..<16).allSatisfy({ keys[index].name[$0] == name[$0] }) {
                let outcome = Self.start(&keys[index], vector, cipher, mac, encrypts: false)
                return outcome == .ready && index > 0 ? .readyToRenew : outcome
            }
            return .unknown
        }
    }

    private static func start(
        _ key: inout Key,
        _ vector: UnsafePointer<UInt8>,
        _ cipher: OpaquePointer,
        _ mac: OpaquePointer,
        encrypts: Bool
    ) -> Outcome {
        copenssl_start_ticket(cipher, mac, &key.cipher, &key.mac, vector, encrypts ? 1 : 0) == 1 ? .ready : .failed
    }
}
