import Foundation
import NIOCore
import SystemPackage

/// The archives that jobs leave: artifacts and caches, as plain tar files below one folder.
package struct ArchiveStorage: Sendable {
    /// Bytes of one archive.
    package static let defaultLimit = 1 << 30

    private let root: String
    package let limit: Int

    package init(root: String, limit: Int = ArchiveStorage.defaultLimit) throws {
        self.root = root
        self.limit = limit
        for folder in ["artifacts", "caches", "incoming"] {
            try FileManager.default.createDirectory(atPath: "\(root)/\(folder)", withIntermediateDirectories: true)
        }
        for file in try FileManager.default.contentsOfDirectory(atPath: "\(root)/incoming") {
            try FileManager.default.removeItem(atPath: "\(root)/incoming/\(file)")
        }
    }

    func artifacts(ofJob jobID: Int) -> String { "\(root)/artifacts/\(jobID).tar" }
    func cache(ofProject projectID: Int, key: String) -> String {
        "\(root)/caches/\(projectID)-\(JobFiles.cacheKey(key)).tar"
    }

    /// Takes in an archive, checked while it streams, and puts it at `path` when it is whole and on disk.
    ///
    /// - Throws: ``ArchiveError`` for an archive that is refused; nothing of it is kept then.
    @concurrent
    func store(
        _ body: some AsyncSequence<ByteBuffer, any Error>,
        at path: String
    ) async throws -> (entries: [ArchiveEntry], size: Int) {
        let temporary = "\(root)/incoming/\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: temporary) }
        let file = try SystemPackage.FileDescriptor.open(
            FilePath(temporary),
            .writeOnly,
            options: [.create, .exclusiveCreate, .closeOnExec],
            permissions: [.ownerReadWrite]
        )
        defer { try? file.close() }
        var filter = ArchiveFilter(limit: limit)
        var size = 0
        for try await chunk in body { size += try file.writeAll(try filter.append(chunk.readableBytesView)) }
        size += try file.writeAll(try filter.finish())
        guard fsync(file.rawValue) == 0, rename(temporary, path) == 0 else { throw Errno(rawValue: errno) }
        try Self.synchronizeFolder(of: path)
        return (filter.entries, size)
    }

    func remove(_ path: String) {
        try? FileManager.default.removeItem(atPath: path)
    }

    private static func synchronizeFolder(of path: String) throws {
        let folder = try SystemPackage.FileDescriptor.open(FilePath(path).removingLastComponent(), .readOnly)
        try folder.closeAfter {
            guard fsync(folder.rawValue) == 0 else { throw Errno(rawValue: errno) }
        }
    }
}

/// An open archive, to be streamed whole or in parts.
final class StoredArchive: Sendable {
    let size: Int
    private let file: SystemPackage.FileDescriptor

    /// `nil` when there is none at `path`.
    init?(path: String) {
        guard let file = try? SystemPackage.FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec) else {
            return nil
        }
        self.file = file
        size = Int((try? file.seek(offset: 0, from: .end)) ?? 0)
    }

    deinit { try? file.close() }

    @concurrent
    func read(at offset: Int, length: Int) async throws -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: length)
        let file = file
        _ = try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: length) { space in
            try file.read(
                fromAbsoluteOffset: Int64(offset),
                into: UnsafeMutableRawBufferPointer(rebasing: space[..<length])
            )
        }
        return buffer
    }
}
