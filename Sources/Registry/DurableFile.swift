import Glibc
import NIOPosix
import SystemPackage

/// Files that are either whole and on the disk, or not there.
///
/// Everything here blocks; ``onDisk(_:)`` moves it to the threads that may.
enum DurableFile {
    /// Runs blocking work on the thread pool that is kept for it.
    @concurrent static func onDisk<Value: Sendable>(
        _ work: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        try await NIOThreadPool.singleton.runIfActive {
            do {
                return try work()
            } catch let error as Errno where error == .noSpace || error == Errno(rawValue: EDQUOT) {
                throw RegistryError.diskFull
            }
        }
    }

    /// Puts `bytes` at `path` in one step, over whatever was there. `temporaries` must be on the same file system.
    static func write(
        _ bytes: [UInt8],
        to path: FilePath,
        temporaries: FilePath,
        permissions: FilePermissions = [.ownerReadWrite, .groupRead]
    ) throws {
        let temporary = temporaries.appending("file-\(UInt64.random(in: .min ... .max))")
        do {
            let file = try FileDescriptor.open(
                temporary,
                .writeOnly,
                options: [.create, .exclusiveCreate],
                permissions: permissions
            )
            try file.closeAfter {
                try file.writeAll(bytes)
                try sync(file)
            }
            try move(temporary, to: path)
        } catch {
            unlink(temporary.string)
            throw error
        }
    }

    /// Renames a synced file and makes the rename itself durable.
    static func move(_ source: FilePath, to target: FilePath) throws {
        try makeFolder(target.removingLastComponent())
        try check(rename(source.string, target.string))
        try syncFolder(target.removingLastComponent())
    }

    /// Makes a folder and those on the way to it; the new entries are durable when this returns.
    static func makeFolder(_ path: FilePath) throws {
        guard !exists(path), !path.isEmpty else { return }
        let parent = path.removingLastComponent()
        try makeFolder(parent)
        guard mkdir(path.string, 0o750) == 0 else {
            if errno == EEXIST { return }
            throw Errno(rawValue: errno)
        }
        try syncFolder(parent)
    }

    static func sync(_ file: FileDescriptor) throws {
        try check(fsync(file.rawValue))
    }

    static func syncFolder(_ path: FilePath) throws {
        let folder = try FileDescriptor.open(path, .readOnly, options: [.directory])
        try folder.closeAfter { try sync(folder) }
    }

    /// Removes a file; `false` when there was none.
    @discardableResult static func remove(_ path: FilePath) throws -> Bool {
        guard unlink(path.string) == 0 else {
            if errno == ENOENT || errno == ENOTDIR { return false }
            throw Errno(rawValue: errno)
        }
        try syncFolder(path.removingLastComponent())
        return true
    }

    static func exists(_ path: FilePath) -> Bool { access(path.string, F_OK) == 0 }

    /// The size in bytes and the modification time in seconds of the epoch; `nil` when there is no such file.
    static func status(_ path: FilePath) -> (size: Int, modified: Int)? {
        var status = stat()
        guard stat(path.string, &status) == 0 else { return nil }
        return (Int(status.st_size), Int(status.st_mtim.tv_sec))
    }

    /// The whole file; `nil` when there is none. Files longer than `limit` bytes are refused.
    static func read(_ path: FilePath, limit: Int = 8 << 20) throws -> [UInt8]? {
        guard let status = status(path) else { return nil }
        guard status.size <= limit else { throw Errno.fileTooLarge }
        let file = try FileDescriptor.open(path, .readOnly)
        return try file.closeAfter {
            try [UInt8](unsafeUninitializedCapacity: status.size) { buffer, count in
                while count < status.size {
                    let read = try file.read(
                        into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[count...])
                    )
                    guard read > 0 else { break }
                    count += read
                }
            }
        }
    }

    /// The names in a folder in ascending order of their bytes; none when there is no such folder.
    static func names(in path: FilePath) throws -> [String] {
        guard let folder = opendir(path.string) else {
            if errno == ENOENT { return [] }
            throw Errno(rawValue: errno)
        }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    private static func check(_ result: CInt) throws {
        guard result == 0 else { throw Errno(rawValue: errno) }
    }
}
