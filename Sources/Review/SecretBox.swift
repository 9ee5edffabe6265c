import Crypto
package import Foundation
import SystemPackage

/// Encrypts values at rest with AES-256-GCM under a key that lives in a file with mode 0600.
package struct SecretBox: Sendable {
    package struct Unreadable: Error, CustomStringConvertible {
        package let description: String
    }

    private let key: SymmetricKey

    /// Reads the key file, or makes it durably when it does not exist.
    /// - Throws: `Unreadable` when the file is not a key or others may read it.
    package init(keyFile: String) throws {
        if let bytes = FileManager.default.contents(atPath: keyFile) {
            try Self.check(bytes, at: keyFile)
            key = SymmetricKey(data: bytes)
        } else {
            let bytes = Secrets.bytes(32)
            try Self.write(bytes, to: keyFile)
            key = SymmetricKey(data: bytes)
        }
    }

    /// Encrypts a value. `context` is bound to it: the same must be given to open it, so that a value cannot be moved to
    /// another row.
    package func seal(_ value: String, context: String = "") throws -> Data {
        let sealed = try AES.GCM.seal(Array(value.utf8), using: key, authenticating: Array(context.utf8))
        guard let combined = sealed.combined else { throw Unreadable(description: "the value could not be sealed") }
        return combined
    }

    /// - Throws: `Unreadable` when the bytes were not sealed by this key and context.
    package func open(_ sealed: Data, context: String = "") throws -> String {
        do {
            let box = try AES.GCM.SealedBox(combined: sealed)
            return String(
                decoding: try AES.GCM.open(box, using: key, authenticating: Array(context.utf8)),
                as: UTF8.self
            )
        } catch {
            throw Unreadable(description: "the value was not sealed with this key")
        }
    }

    // MARK: - Private

    private static func check(_ bytes: Data, at path: String) throws {
        guard bytes.count == 32 else {
            throw Unreadable(description: "\(path) is not a key: it has \(bytes.count) bytes instead of 32")
        }
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        let mode = (attributes[.posixPermissions] as? NSNumber)?.intValue ?? 0
        guard mode & 0o077 == 0 else {
            throw Unreadable(description: "\(path) can be read by others; run: chmod 600 \(path)")
        }
    }

    private static func write(_ bytes: [UInt8], to path: String) throws {
        let temporary = "\(path).new"
        let file = try FileDescriptor.open(
            FilePath(temporary),
            .writeOnly,
            options: [.create, .truncate, .closeOnExec],
            permissions: [.ownerReadWrite]
        )
        try file.closeAfter {
            _ = try file.writeAll(bytes)
            guard fsync(file.rawValue) == 0 else { throw Errno(rawValue: errno) }
        }
        guard rename(temporary, path) == 0 else { throw Errno(rawValue: errno) }
        let folder = try FileDescriptor.open(FilePath(path).removingLastComponent(), .readOnly)
        try folder.closeAfter {
            guard fsync(folder.rawValue) == 0 else { throw Errno(rawValue: errno) }
        }
    }
}
