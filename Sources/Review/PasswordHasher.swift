import Crypto
import CryptoExtras
import Dispatch
import Foundation

/// Hashes passwords with scrypt, off the cooperative threads.
///
/// A hash carries its own parameters (`scrypt$N$r$p$salt$key`, base64), so they can be raised without losing old hashes.
/// All hashing of a hasher takes turns on one thread: a flood of sign-ins cannot take more than one core.
final class PasswordHasher: Sendable {
    private let rounds: Int
    private let queue = DispatchQueue(label: "sampan.password-hasher")

    /// - Parameter rounds: scrypt's N, a power of two. 16384 takes 16 MiB and about 50 ms.
    init(rounds: Int = 16384) {
        self.rounds = rounds
    }

    func hash(_ password: String) async throws -> String {
        let salt = Secrets.bytes(16)
        let rounds = rounds
        let key = try await derive(password, salt: salt, rounds: rounds, blockSize: 8, parallelism: 1)
        return "scrypt$\(rounds)$8$1$\(Data(salt).base64EncodedString())$\(Data(key).base64EncodedString())"
    }

    /// Whether a password is the one that was hashed. A hash that cannot be read matches nothing.
    func matches(_ password: String, hash: String) async throws -> Bool {
        let parts = hash.split(separator: "$").map(String.init)
        guard parts.count == 6, parts[0] == "scrypt", let rounds = Int(parts[1]), let blockSize = Int(parts[2]),
            let parallelism = Int(parts[3]), let salt = Data(base64Encoded: parts[4]),
            let expected = Data(base64Encoded: parts[5])
        else { return false }
        let key = try await derive(
            password,
            salt: Array(salt),
            rounds: rounds,
            blockSize: blockSize,
            parallelism: parallelism
        )
        return Secrets.areEqual(key, Array(expected))
    }

    // MARK: - Private

    private func derive(
        _ password: String,
        salt: [UInt8],
        rounds: Int,
        blockSize: Int,
        parallelism: Int
    ) async throws -> [UInt8] {
        try await withCheckedThrowingContinuation { continuation in
            queue.async {
                continuation.resume(
                    with: Result {
                        try KDF.Scrypt.deriveKey(
                            from: Array(password.utf8),
                            salt: salt,
                            outputByteCount: 32,
                            rounds: rounds,
                            blockSize: blockSize,
                            parallelism: parallelism
                        ).withUnsafeBytes { Array($0) }
                    }
                )
            }
        }
    }
}

/// Random bytes, and comparing what must not be guessed.
package enum Secrets {
    package static func bytes(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }

    /// A random text of letters and digits; 20 of them carry 119 bits.
    package static func text(_ count: Int) -> String {
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
        return String((0..<count).map { _ in alphabet.randomElement(using: &generator)! })
    }

    /// SHA-256 of a secret that has enough entropy of its own (a token, never a password).
    package static func digest(_ secret: String) -> [UInt8] { Array(SHA256.hash(data: Array(secret.utf8))) }

    /// Compares in a time that tells nothing about where the difference is.
    package static func areEqual(_ one: [UInt8], _ other: [UInt8]) -> Bool {
        guard one.count == other.count else { return false }
        return zip(one, other).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
