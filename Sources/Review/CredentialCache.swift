import Crypto
import Foundation
import Synchronization

/// Remembers for a minute which passwords were found right, so that git and docker, which send one with every request, do
/// not pay for scrypt each time. At most 1024 entries; keys are HMACs under a key of this process.
final class CredentialCache: Sendable {
    private struct Entry {
        let userID: Int
        let deadline: ContinuousClock.Instant
    }

    private static let bound = 1024
    private let key = SymmetricKey(size: .bits256)
    private let lifetime: Duration
    private let entries = Mutex<[Data: Entry]>([:])

    init(lifetime: Duration = .seconds(60)) {
        self.lifetime = lifetime
    }

    func userID(name: String, secret: String, now: ContinuousClock.Instant = .now) -> Int? {
        let tag = tag(name, secret)
        return entries.withLock { entries in
            guard let entry = entries[tag], entry.deadline > now else { return nil }
            return entry.userID
        }
    }

    func remember(userID: Int, name: String, secret: String, now: ContinuousClock.Instant = .now) {
        let tag = tag(name, secret)
        entries.withLock { entries in
            if entries.count >= Self.bound { entries = entries.filter { $0.value.deadline > now } }
            if entries.count >= Self.bound { entries.removeAll() }
            entries[tag] = Entry(userID: userID, deadline: now + lifetime)
        }
    }

    /// Forgets everything: a password or a user's state changed.
    func forget() {
        entries.withLock { $0.removeAll() }
    }

    private func tag(_ name: String, _ secret: String) -> Data {
        Data(HMAC<SHA256>.authenticationCode(for: Array("\(name.utf8.count):\(name)\(secret)".utf8), using: key))
    }
}
