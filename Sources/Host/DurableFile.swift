import Foundation
package import SystemPackage

/// Writes that are either whole or not there: temporary file, sync, rename, sync of the folder.
package enum DurableFile {
    package static func write(_ bytes: [UInt8], to path: FilePath, mode: CInt = 0o644) throws {
        let folder = path.removingLastComponent()
        try FileManager.default.createDirectory(atPath: folder.string, withIntermediateDirectories: true)
        let temporary = FilePath(path.string + ".\(UInt32.random(in: 0 ... .max)).tmp")
        do {
            let file = try FileDescriptor.open(
                temporary,
                .writeOnly,
                options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: FilePermissions(rawValue: CModeT(mode))
            )
            try file.closeAfter {
                _ = try file.writeAll(bytes)
                try sync(file)
            }
            guard rename(temporary.string, path.string) == 0 else { throw Errno(rawValue: errno) }
        } catch {
            _ = unlink(temporary.string)
            throw HostError("cannot write \(path): \(error)")
        }
        let directory = try FileDescriptor.open(folder, .readOnly, options: [.closeOnExec])
        try directory.closeAfter { try sync(directory) }
    }

    private static func sync(_ file: FileDescriptor) throws {
        guard fsync(file.rawValue) == 0 else { throw Errno(rawValue: errno) }
    }
}
