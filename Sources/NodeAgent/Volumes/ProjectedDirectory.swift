import Foundation
import Glibc

/// A folder whose files change together: readers see all old files or all new ones.
///
/// The files are in a hidden folder named by a counter; `..data` links to it, and every visible name links through `..data`.
/// An update makes a new hidden folder and renames the link, as programs that watch such volumes expect.
struct ProjectedDirectory {
    let path: String
    /// The group that may read the files, if not root's.
    var group: gid_t?

    /// Makes the folder hold exactly `content`; answers whether anything changed.
    @discardableResult
    func update(_ content: VolumeFiles) throws -> Bool {
        var written = content
        written.files = written.files.mapValues { .init(bytes: $0.bytes, mode: groupBits($0.mode)) }
        if current() == written { return false }
        let generation = "..\(UInt64(Date().timeIntervalSince1970 * 1e6)).\(UInt32.random(in: 0 ..< .max))"
        let former = try? FileManager.default.destinationOfSymbolicLink(atPath: "\(path)/..data")
        try writeFiles(written, below: "\(path)/\(generation)")
        try replaceLink("\(path)/..data", to: generation)
        try linkNames(content)
        if let former { try? FileManager.default.removeItem(atPath: "\(path)/\(former)") }
        return true
    }

    /// What the folder holds now.
    private func current() -> VolumeFiles? {
        guard let generation = try? FileManager.default.destinationOfSymbolicLink(atPath: "\(path)/..data"),
            let names = FileManager.default.enumerator(atPath: "\(path)/\(generation)")
        else { return nil }
        let root = "\(path)/\(generation)"
        var content = VolumeFiles()
        for case let name as String in names {
            guard let status = FileStatus("\(root)/\(name)", followsLinks: false), status.kind == .file,
                let bytes = FileManager.default.contents(atPath: "\(root)/\(name)")
            else { continue }
            content.files[name] = .init(bytes: Array(bytes), mode: status.permissions & 0o777)
        }
        return content
    }

    /// Members of the group may read.
    private func groupBits(_ mode: UInt32) -> UInt32 { group == nil ? mode : mode | 0o040 }

    private func writeFiles(_ content: VolumeFiles, below root: String) throws {
        try makeFolder(root)
        for (name, file) in content.files {
            let target = "\(root)/\(name)"
            try makeFolder((target as NSString).deletingLastPathComponent)
            // No need to reach the disk: after a crash the files are made anew.
            try Data(file.bytes).write(to: URL(fileURLWithPath: target))
            guard chmod(target, file.mode) == 0 else { throw FileError(target) }
            if let group { chown(target, 0, group) }
        }
    }

    private func makeFolder(_ path: String) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        chmod(path, 0o755)
        if let group { chown(path, 0, group) }
    }

    private func replaceLink(_ link: String, to target: String) throws {
        let temporary = "\(link)_tmp"
        unlink(temporary)
        guard symlink(target, temporary) == 0, rename(temporary, link) == 0 else { throw FileError(link) }
    }

    private func linkNames(_ content: VolumeFiles) throws {
        let wanted = Set(content.files.keys.map { String($0.prefix { $0 != "/" }) })
        let present = try FileManager.default.contentsOfDirectory(atPath: path).filter { !$0.hasPrefix("..") }
        for name in Set(present).subtracting(wanted) { try FileManager.default.removeItem(atPath: "\(path)/\(name)") }
        for name in wanted.subtracting(present) {
            guard symlink("..data/\(name)", "\(path)/\(name)") == 0 else { throw FileError("\(path)/\(name)") }
        }
    }
}
