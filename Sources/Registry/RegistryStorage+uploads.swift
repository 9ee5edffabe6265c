import Crypto
import Foundation
import Glibc
import HTTPTypes
import NIOCore
import Synchronization
import SystemPackage

/// The running hashes of uploads, and which of them a request works on.
struct UploadLedger {
    struct Progress: Sendable {
        var offset = 0
        var hash = SHA256()
    }

    private var idle: [String: Progress] = [:]
    private var claimed: Set<String> = []
    var lastSweep = 0

    /// Hands out the upload's hash if no other request has it; the hash is `nil` for uploads of an earlier process.
    mutating func claim(_ identifier: String) -> (isFree: Bool, progress: Progress?) {
        guard claimed.insert(identifier).inserted else { return (false, nil) }
        return (true, idle.removeValue(forKey: identifier))
    }

    mutating func release(_ identifier: String, _ progress: Progress?) {
        claimed.remove(identifier)
        idle[identifier] = progress
    }
}

extension RegistryStorage {
    static let uploadLifetime = 24 * 3600
    /// One blob may have this many bytes.
    static let blobSizeLimit = 64 << 30
    /// How much of a body is gathered before it goes to the disk.
    static let writeSize = 256 << 10

    func startUpload(into repository: RepositoryName) async throws -> String {
        let identifier = UUID().uuidString.lowercased()
        let now = Int(Date().timeIntervalSince1970)
        try await DurableFile.onDisk { [self] in
            try removeExpiredUploads(now: now)
            let folder = folder(ofUpload: identifier)
            try DurableFile.makeFolder(folder)
            try FileDescriptor.open(
                folder.appending("data"),
                .writeOnly,
                options: .create,
                permissions: [.ownerReadWrite]
            )
            .close()
            let name = Array(repository.description.utf8)
            try DurableFile.write(name, to: folder.appending("repository"), temporaries: temporaries)
        }
        return identifier
    }

    /// How many bytes of the upload have arrived.
    func uploadedSize(_ identifier: String, in repository: RepositoryName) async throws -> Int {
        try await DurableFile.onDisk { [self] in try size(ofUpload: identifier, in: repository) }
    }

    /// Appends `body` and answers with the upload's new size. `range` is the part that the client says it sends; it must start where
    /// the upload ends. After a connection that broke, what arrived stays and can be continued.
    func append(
        _ body: some AsyncSequence<ByteBuffer, any Error>,
        toUpload identifier: String,
        in repository: RepositoryName,
        range: ClosedRange<Int>?
    ) async throws -> Int {
        try await withUpload(identifier, in: repository) { progress in
            if let range, range.lowerBound != progress.offset {
                throw RegistryError(
                    .rangeNotSatisfiable,
                    .blobUploadInvalid,
                    "the chunk starts at byte \(range.lowerBound), but \(progress.offset) bytes have arrived: continue there"
                )
            }
            let start = progress.offset
            try await write(body, toUpload: identifier, &progress)
            if let range, progress.offset - start != range.count {
                throw RegistryError(
                    .badRequest,
                    .sizeInvalid,
                    "Content-Range announces \(range.count) bytes, but \(progress.offset - start) arrived"
                )
            }
            return progress.offset
        }
    }

    /// Appends `body`, checks the whole against `digest` and makes it a blob of `repository`. A wrong digest ends the upload.
    func finishUpload(
        _ identifier: String,
        in repository: RepositoryName,
        digest: ContentDigest,
        body: some AsyncSequence<ByteBuffer, any Error>
    ) async throws {
        try await withUpload(identifier, in: repository) { progress in
            try await write(body, toUpload: identifier, &progress)
            let found = ContentDigest(progress.hash.finalize())
            guard found == digest else {
                try await DurableFile.onDisk { [self] in try removeUpload(identifier) }
                throw RegistryError(
                    .badRequest,
                    .digestInvalid,
                    "the \(progress.offset) bytes that arrived have the digest \(found), not \(digest)"
                )
            }
            try await DurableFile.onDisk { [self] in try commitUpload(identifier, as: digest, to: repository) }
        }
    }

    func cancelUpload(_ identifier: String, in repository: RepositoryName) async throws {
        try await withUpload(identifier, in: repository) { _ in
            try await DurableFile.onDisk { [self] in try removeUpload(identifier) }
        }
    }

    /// Removes uploads whose last byte is older than a day. Looks at most once an hour.
    func removeExpiredUploads(now: Int) throws {
        let isDue = uploads.withLock { ledger in
            guard now - ledger.lastSweep >= 3600 else { return false }
            ledger.lastSweep = now
            return true
        }
        guard isDue else { return }
        for identifier in try DurableFile.names(in: root.appending("uploads")) {
            let folder = folder(ofUpload: identifier)
            // An upload that is just being started has a folder, but no data yet.
            guard
                let newest = DurableFile.status(folder.appending("data")) ?? DurableFile.status(folder),
                now - newest.modified > Self.uploadLifetime
            else { continue }
            guard uploads.withLock({ $0.claim(identifier).isFree }) else { continue }
            defer { uploads.withLock { $0.release(identifier, nil) } }
            try removeUpload(identifier)
        }
    }

    // MARK: - Private

    /// Gives `work` the upload to itself, and keeps the hash for the next request unless the upload is over.
    private func withUpload<Value>(
        _ identifier: String,
        in repository: RepositoryName,
        _ work: (inout UploadLedger.Progress) async throws -> Value
    ) async throws -> Value {
        let claim = uploads.withLock { $0.claim(identifier) }
        guard claim.isFree else {
            throw RegistryError(
                .conflict,
                .blobUploadInvalid,
                "another request writes to upload \(identifier); wait for it to end"
            )
        }
        var progress = claim.progress
        defer { uploads.withLock { $0.release(identifier, progress) } }
        let size = try await uploadedSize(identifier, in: repository)
        if progress?.offset != size {
            progress = try await DurableFile.onDisk { [self] in try hash(ofUpload: identifier) }
        }
        var current = progress ?? UploadLedger.Progress()
        progress = nil  // an error leaves it to the next request to hash what is on the disk
        let value = try await work(&current)
        if DurableFile.exists(folder(ofUpload: identifier)) { progress = current }
        return value
    }

    private func write(
        _ body: some AsyncSequence<ByteBuffer, any Error>,
        toUpload identifier: String,
        _ progress: inout UploadLedger.Progress
    ) async throws {
        let start = progress.offset
        var gathered = ByteBuffer()
        do {
            for try await var part in body {
                gathered.writeBuffer(&part)
                guard gathered.readableBytes >= Self.writeSize else { continue }
                progress = try await write(gathered, toUpload: identifier, after: progress)
                gathered.clear()
            }
        } catch let error as RegistryError {
            try await DurableFile.onDisk { [self] in try shorten(identifier, to: start) }
            throw error
        } catch {
            // The connection broke: what arrived is kept, so that the client can continue.
            _ = try await write(gathered, toUpload: identifier, after: progress)
            throw error
        }
        do {
            progress = try await write(gathered, toUpload: identifier, after: progress)
        } catch {
            try await DurableFile.onDisk { [self] in try shorten(identifier, to: start) }
            throw error
        }
    }

    private func write(
        _ buffer: ByteBuffer,
        toUpload identifier: String,
        after progress: UploadLedger.Progress
    ) async throws -> UploadLedger.Progress {
        guard buffer.readableBytes > 0 else { return progress }
        guard progress.offset + buffer.readableBytes <= Self.blobSizeLimit else {
            throw RegistryError(.contentTooLarge, .sizeInvalid, "a blob may have at most \(Self.blobSizeLimit) bytes")
        }
        let path = folder(ofUpload: identifier).appending("data")
        return try await DurableFile.onDisk {
            var progress = progress
            let file = try FileDescriptor.open(path, .writeOnly)
            try file.closeAfter {
                try buffer.withUnsafeReadableBytes { bytes in
                    _ = try file.writeAll(toAbsoluteOffset: Int64(progress.offset), bytes)
                    progress.hash.update(bufferPointer: bytes)
                    progress.offset += bytes.count
                }
            }
            return progress
        }
    }

    private func commitUpload(_ identifier: String, as digest: ContentDigest, to repository: RepositoryName) throws {
        let data = folder(ofUpload: identifier).appending("data")
        if !DurableFile.exists(path(of: digest)) {
            let file = try FileDescriptor.open(data, .writeOnly)
            try file.closeAfter { try DurableFile.sync(file) }
            try DurableFile.move(data, to: path(of: digest))
        }
        try DurableFile.write([], to: blobLink(digest, in: repository), temporaries: temporaries)
        try removeUpload(identifier)
    }

    private func removeUpload(_ identifier: String) throws {
        let folder = folder(ofUpload: identifier)
        for name in try DurableFile.names(in: folder) { try DurableFile.remove(folder.appending(name)) }
        rmdir(folder.string)
    }

    private func shorten(_ identifier: String, to size: Int) throws {
        guard truncate(folder(ofUpload: identifier).appending("data").string, off_t(size)) == 0 else {
            throw Errno(rawValue: errno)
        }
    }

    private func size(ofUpload identifier: String, in repository: RepositoryName) throws -> Int {
        guard UUID(uuidString: identifier) != nil, identifier == identifier.lowercased() else {
            throw RegistryError.uploadUnknown(String(identifier.prefix(64)))
        }
        let folder = folder(ofUpload: identifier)
        guard let owner = try DurableFile.read(folder.appending("repository")),
            owner == Array(repository.description.utf8),
            let status = DurableFile.status(folder.appending("data"))
        else { throw RegistryError.uploadUnknown(identifier) }
        return status.size
    }

    private func hash(ofUpload identifier: String) throws -> UploadLedger.Progress {
        var progress = UploadLedger.Progress()
        let file = try FileDescriptor.open(folder(ofUpload: identifier).appending("data"), .readOnly)
        try file.closeAfter {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
            defer { buffer.deallocate() }
            while case let count = try file.read(into: buffer), count > 0 {
                progress.hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                progress.offset += count
            }
        }
        return progress
    }

    private func folder(ofUpload identifier: String) -> FilePath {
        root.appending("uploads").appending(identifier)
    }
}
