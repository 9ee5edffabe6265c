import Foundation
package import NIOCore
import Synchronization
import SystemPackage

/// An open archive. It stays readable while it is held, even when the cache forgets it.
package final class SourceArchive: Sendable {
    /// The archive's length in bytes.
    package let size: Int
    private let descriptor: SystemPackage.FileDescriptor

    init(path: String) throws {
        descriptor = try SystemPackage.FileDescriptor.open(path, .readOnly, options: .closeOnExec)
        size = Int(try descriptor.seek(offset: 0, from: .end))
    }

    deinit {
        try? descriptor.close()
    }

    /// The bytes from `offset`, at most `length`; empty at the end.
    @concurrent
    package func read(at offset: Int, length: Int = 256 << 10) async throws -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: length)
        let descriptor = descriptor
        _ = try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: length) { space in
            try descriptor.read(
                fromAbsoluteOffset: Int64(offset),
                into: UnsafeMutableRawBufferPointer(rebasing: space[..<length])
            )
        }
        return buffer
    }
}

/// Archives on disk, at most `bound` bytes in all: the ones made longest ago go first.
final class SourceCache: Sendable {
    private let directory: String
    private let temporary: String
    private let bound: Int
    private let lock = Mutex(())

    init(directory: String, temporary: String, bound: Int = 2 << 30) throws {
        self.directory = directory
        self.temporary = temporary
        self.bound = bound
    }

    /// A file name that stands for all of the parts.
    static func key(_ parts: [String]) -> String {
        // FNV-1a over 128 bits' worth of two seeds: names only need to differ, nobody chooses them to collide with reach
        // beyond a project, whose number leads the name.
        func hash(_ seed: UInt64) -> String {
            let value = parts.joined(separator: "\0").utf8.reduce(seed) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
            return String(value, radix: 16)
        }
        return "\(parts[0])-\(parts[1])-\(hash(0xcbf2_9ce4_8422_2325))\(hash(0x8422_2325_cbf2_9ce4))"
    }

    func temporaryPath() -> String { "\(temporary)/\(UUID().uuidString)" }

    func open(_ key: String) -> SourceArchive? {
        lock.withLock { _ in try? SourceArchive(path: "\(directory)/\(key).tar") }
    }

    /// Moves a finished archive into the cache and makes room for it.
    func adopt(_ file: String, as key: String) throws -> SourceArchive {
        try lock.withLock { _ in
            let archive = try SourceArchive(path: file)
            makeRoom(for: archive.size)
            guard rename(file, "\(directory)/\(key).tar") == 0 else { throw Errno(rawValue: errno) }
            return archive
        }
    }

    // MARK: - Private

    private func makeRoom(for size: Int) {
        var entries = contents().sorted { $0.date < $1.date }
        var used = entries.reduce(0) { $0 + $1.size }
        while used + size > bound, !entries.isEmpty {
            let oldest = entries.removeFirst()
            try? FileManager.default.removeItem(atPath: oldest.path)
            used -= oldest.size
        }
    }

    private func contents() -> [(path: String, size: Int, date: Date)] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.compactMap { name in
            let path = "\(directory)/\(name)"
            guard let attributes = try? FileManager.default.attributesOfItem(atPath: path) else { return nil }
            let date = attributes[.modificationDate] as? Date ?? .distantPast
            return (path, (attributes[.size] as? NSNumber)?.intValue ?? 0, date)
        }
    }
}
