import Foundation
package import SystemPackage

/// How much of the disk the files below a folder take. Blocks, and looks at every file.
package enum DiskUse {
    /// In bytes, hard links counted once for each name; what is mounted below is left out. Zero when there is no such folder.
    package static func bytes(below folder: FilePath) -> Int {
        guard let root = status(folder.string), let walk = FileManager.default.enumerator(atPath: folder.string) else {
            return 0
        }
        var blocks = Int(root.st_blocks)
        while let name = walk.nextObject() as? String {
            guard let status = status("\(folder)/\(name)") else { continue }
            guard status.st_dev == root.st_dev else {
                walk.skipDescendants()
                continue
            }
            blocks += Int(status.st_blocks)
        }
        return blocks * 512
    }

    private static func status(_ path: String) -> stat? {
        var status = stat()
        return lstat(path, &status) == 0 ? status : nil
    }
}
