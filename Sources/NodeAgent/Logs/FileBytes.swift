import Foundation
import Glibc

/// Reads files by descriptor, so that a file that is renamed meanwhile is read to its end.
final class FileBytes {
    private let descriptor: Int32
    let inode: UInt64

    init(_ path: String) throws {
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError(path) }
        inode = FileStatus(descriptor: descriptor)?.inode ?? 0
    }

    deinit { close(descriptor) }

    func seek(to offset: Int) { lseek(descriptor, off_t(offset), SEEK_SET) }

    /// What comes next, at most `count` bytes; empty at the end.
    func next(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            initialized = max(0, Glibc.read(descriptor, buffer.baseAddress, count))
        }
    }

    static func read(_ path: String) throws -> [UInt8] {
        let file = try FileBytes(path)
        var bytes: [UInt8] = []
        while true {
            let chunk = file.next(1 << 20)
            if chunk.isEmpty { return bytes }
            bytes += chunk
        }
    }

    static func inode(of path: String) -> UInt64? {
        FileStatus(path)?.inode
    }
}
