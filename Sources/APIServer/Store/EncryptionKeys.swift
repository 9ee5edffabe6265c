import Crypto
import Foundation
import Glibc
import KubernetesModel

/// The keys of what is encrypted at rest, in a file that only this program may read: the first encrypts, all decrypt.
///
/// A value carries the name of its key in front, in the notation of the Kubernetes API server (`k8s:enc:aesgcm:v1:key1:`), followed by
/// nonce, ciphertext and tag of AES-256-GCM. So a new first key takes over while values of the others can still be read.
struct EncryptionKeys: Sendable {
    private struct Key {
        let name: String
        let secret: SymmetricKey
    }

    /// What a value was before it was encrypted.
    struct Opened {
        let value: [UInt8]
        /// By the key that encrypts now.
        let isCurrent: Bool
    }

    private static let notation = Array("k8s:enc:aesgcm:v1:".utf8)
    private static let colon = UInt8(ascii: ":")
    /// Values of any version of the notation start with it; objects in clear start with a brace.
    private static let mark = Array("k8s:enc:".utf8)

    let path: String
    /// Never empty.
    private let keys: [Key]

    /// Makes the file with one new key, durably.
    static func make(at path: String) throws -> EncryptionKeys {
        let secret = SymmetricKey(size: .bits256)
        let text = secret.withUnsafeBytes { Data($0).base64EncodedString() }
        let file: JSON = ["keys": [["name": "key1", "secret": .string(text)]]]
        try PrivateFile.write(file.prettyString + "\n", to: path)
        return EncryptionKeys(path: path, keys: [Key(name: "key1", secret: secret)])
    }

    /// Reads the file; `nil` when there is none.
    ///
    /// - Throws: ``EncryptionFailure`` when others may read the file or a key in it is unusable.
    static func read(_ path: String) throws -> EncryptionKeys? {
        guard let text = try PrivateFile.read(path) else { return nil }
        guard try PrivateFile.isPrivate(path) else {
            throw EncryptionFailure("\(path) can be read by others; run: chmod 600 \(path)")
        }
        let entries = (try? JSON(parsing: text))?["keys"]?.array ?? []
        let keys = try entries.enumerated().map { try key($0.element, "\(path): keys[\($0.offset)]") }
        guard !keys.isEmpty, Set(keys.map(\.name)).count == keys.count else {
            throw EncryptionFailure(
                "\(path) must be {\"keys\": [{\"name\": …, \"secret\": …}]} with at least one key and no name twice; "
                    + "restore it from a backup"
            )
        }
        return EncryptionKeys(path: path, keys: keys)
    }

    static func isEncrypted(_ value: [UInt8]) -> Bool { value.starts(with: mark) }

    /// Encrypts `value` for the place `context`; nowhere else will it open.
    func encrypt(_ value: [UInt8], context: String) throws -> [UInt8] {
        let box = try AES.GCM.seal(value, using: keys[0].secret, authenticating: Array(context.utf8))
        guard let combined = box.combined else {
            preconditionFailure("A box with a nonce of the default size has a combined form.")
        }
        return Self.notation + Array(keys[0].name.utf8) + [Self.colon] + combined
    }

    /// Decrypts a value that ``isEncrypted(_:)``.
    ///
    /// - Throws: ``EncryptionFailure`` when the value's key is missing or is not the one that encrypted it.
    func decrypt(_ value: [UInt8], context: String) throws -> Opened {
        guard value.starts(with: Self.notation),
            let end = value[Self.notation.count...].firstIndex(of: Self.colon)
        else {
            throw EncryptionFailure("\(context) is encrypted in a way that this version of the program does not know")
        }
        let name = String(decoding: value[Self.notation.count..<end], as: UTF8.self)
        guard let index = keys.firstIndex(where: { $0.name == name }) else {
            throw EncryptionFailure(
                "\(context) is encrypted by the key \"\(name)\", which \(path) does not have; restore that file from a backup"
            )
        }
        do {
            let box = try AES.GCM.SealedBox(combined: value[(end + 1)...])
            let clear = try AES.GCM.open(box, using: keys[index].secret, authenticating: Array(context.utf8))
            return Opened(value: Array(clear), isCurrent: index == 0)
        } catch {
            throw EncryptionFailure(
                "\(context) cannot be decrypted by the key \"\(name)\" of \(path); restore the file that belongs to this store "
                    + "from a backup"
            )
        }
    }

    // MARK: - Private

    private static func key(_ entry: JSON, _ place: String) throws -> Key {
        guard let name = entry["name"]?.string, !name.isEmpty, !name.contains(":") else {
            throw EncryptionFailure("\(place).name must be a name without colons")
        }
        let secret = entry["secret"]?.string.flatMap { Data(base64Encoded: $0) } ?? Data()
        guard secret.count == 32 else {
            throw EncryptionFailure("\(place).secret has \(secret.count) bytes instead of the base64 of 32")
        }
        return Key(name: name, secret: SymmetricKey(data: secret))
    }
}

/// Why what is encrypted at rest cannot be read; says which file is wrong.
struct EncryptionFailure: Error, CustomStringConvertible, Equatable {
    let description: String

    init(_ description: String) { self.description = description }
}
