import Foundation
import KubernetesModel
import Logging
import Testing

@testable import APIServer

/// What the disk holds of Secrets, and what happens to their keys.
struct EncryptionTests {
    private static let marker = "the-marker-nobody-may-find"

    private struct Folder {
        let path = FileManager.default.temporaryDirectory.path + "/sampan-encryption-\(UUID().uuidString)"
        var keys: String { "\(path)/encryption.json" }
        var store: String { "\(path)/store.sqlite" }

        init() throws { try PrivateFile.makeDirectory(path) }

        func encryptedLog() throws -> EncryptedLog {
            try EncryptedLog(SQLiteLog(path: store), keyPath: keys, collections: ["secrets"])
        }

        /// Whether any file, database or journal, holds the bytes of `text`.
        func holds(_ text: String) throws -> Bool {
            try FileManager.default.contentsOfDirectory(atPath: path).contains { name in
                let content = try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)"))
                return content.range(of: Data(text.utf8)) != nil
            }
        }
    }

    private func withFolder(_ body: (Folder) async throws -> Void) async throws {
        let folder = try Folder()
        defer { try? FileManager.default.removeItem(atPath: folder.path) }
        try await body(folder)
    }

    private func open(_ log: any RevisionLog) throws -> ObjectStore {
        try ObjectStore(log: log, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func key(_ collection: String, _ name: String = "a") -> StoreKey {
        StoreKey(collection: collection, namespace: "default", name: name)
    }

    private func value(_ name: String = "a", padding: Int = 0) -> JSON {
        [
            "metadata": ["name": .string(name), "uid": .string("uid-\(name)")],
            "data": ["v": .string(Self.marker + String(repeating: "x", count: padding))],
        ]
    }

    private func failure(_ body: () throws -> Void) -> String {
        do {
            try body()
            return ""
        } catch {
            return (error as? EncryptionFailure)?.description ?? "another error: \(error)"
        }
    }

    @Test func keepsSecretsOffTheDiskAndFindsThemAgain() async throws {
        try await withFolder { folder in
            let store = try open(folder.encryptedLog())
            _ = try await store.commit(.create(key("secrets"), value()))
            #expect(try !folder.holds(Self.marker))
            #expect(try folder.holds("k8s:enc:aesgcm:v1:key1:"))
            // Not closed: this is how a process that was killed leaves its log.
            let again = try open(folder.encryptedLog())
            #expect(try again.object(key("secrets"))?.json()["data", "v"]?.string == Self.marker)
            _ = try await again.commit(.create(key("configmaps"), value()))
            #expect(try folder.holds(Self.marker), "the search finds what is in clear")
            try await store.close()
            try await again.close()
        }
    }

    @Test(arguments: [0, 20_000]) func encryptsWhatWasStoredInClear(_ padding: Int) async throws {
        try await withFolder { folder in
            let before = try open(SQLiteLog(path: folder.store))
            for name in ["a", "b"] {
                _ = try await before.commit(.create(key("secrets", name), value(name, padding: padding)))
            }
            let last = try #require(before.object(key("secrets", "b")))
            _ = try await before.commit(.delete(last, last: last.json()))
            #expect(try folder.holds(Self.marker))
            let after = try open(folder.encryptedLog())
            #expect(try !folder.holds(Self.marker))
            #expect(try after.object(key("secrets"))?.json()["data", "v"]?.string?.hasPrefix(Self.marker) == true)
            #expect(after.revision == 3)
            try await after.close()
            try await before.close()
        }
    }

    @Test func takesANewFirstKey() async throws {
        try await withFolder { folder in
            let before = try open(folder.encryptedLog())
            _ = try await before.commit(.create(key("secrets"), value()))
            try await before.close()
            var file = try JSON(parsing: #require(try PrivateFile.read(folder.keys)))
            let old = try #require(file["keys"]?.array)
            let secret = Data((0..<32).map { UInt8($0) }).base64EncodedString()
            file["keys"] = .array([["name": "key2", "secret": .string(secret)]] + old)
            try PrivateFile.write(file.encodedString, to: folder.keys)

            try await open(folder.encryptedLog()).close()
            #expect(try !folder.holds("aesgcm:v1:key1:"))
            #expect(try folder.holds("aesgcm:v1:key2:"))
            file["keys"] = .array([["name": "key2", "secret": .string(secret)]])
            try PrivateFile.write(file.encodedString, to: folder.keys)
            let after = try open(folder.encryptedLog())
            #expect(try after.object(key("secrets"))?.json()["data", "v"]?.string == Self.marker)
            try await after.close()
        }
    }

    @Test func saysWhichFileToRestore() async throws {
        try await withFolder { folder in
            let store = try open(folder.encryptedLog())
            _ = try await store.commit(.create(key("secrets"), value()))
            try await store.close()
            let keys = try #require(try PrivateFile.read(folder.keys))

            try FileManager.default.removeItem(atPath: folder.keys)
            let missing = failure { _ = try open(folder.encryptedLog()) }
            #expect(missing.hasPrefix("\(folder.keys) is missing, and secrets/default/a"))
            #expect(missing.hasSuffix("restore the file from a backup"))
            #expect(!FileManager.default.fileExists(atPath: folder.keys), "no new key may take the place of a lost one")

            _ = try EncryptionKeys.make(at: folder.keys)
            let wrong = failure { _ = try open(folder.encryptedLog()) }
            #expect(wrong.contains("cannot be decrypted by the key \"key1\" of \(folder.keys)"))

            try PrivateFile.write(keys.replacing("key1", with: "key7"), to: folder.keys)
            let renamed = failure { _ = try open(folder.encryptedLog()) }
            #expect(renamed.contains("by the key \"key1\", which \(folder.keys) does not have"))

            try PrivateFile.write(keys, to: folder.keys)
            #expect(chmod(folder.keys, 0o644) == 0)
            #expect(failure { _ = try open(folder.encryptedLog()) }.contains("run: chmod 600 \(folder.keys)"))

            #expect(chmod(folder.keys, 0o600) == 0)
            let restored = try open(folder.encryptedLog())
            #expect(restored.object(key("secrets")) != nil)
            try await restored.close()
        }
    }

    @Test(arguments: [
        ("", "at least one key"), ("{\"keys\": []}", "at least one key"),
        ("{\"keys\": [{\"name\": \"a:b\", \"secret\": \"\"}]}", "keys[0].name"),
        ("{\"keys\": [{\"name\": \"a\", \"secret\": \"AAAA\"}]}", "keys[0].secret has 3 bytes"),
    ])
    func refusesAKeyFileThatIsNone(_ text: String, _ reason: String) async throws {
        try await withFolder { folder in
            try PrivateFile.write(text, to: folder.keys)
            #expect(failure { _ = try folder.encryptedLog() }.contains(reason))
        }
    }

    @Test func bindsAValueToItsPlace() throws {
        let path = FileManager.default.temporaryDirectory.path + "/sampan-keys-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let keys = try EncryptionKeys.make(at: path)
        let sealed = try keys.encrypt([1, 2, 3], context: "secrets/default/a at revision 1")
        #expect(try keys.decrypt(sealed, context: "secrets/default/a at revision 1").value == [1, 2, 3])
        #expect(throws: EncryptionFailure.self) {
            try keys.decrypt(sealed, context: "secrets/default/b at revision 1")
        }
    }
}
