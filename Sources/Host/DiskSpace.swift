import Foundation
package import SystemPackage

/// The disk that a home lies on.
package struct DiskSpace: Hashable, Sendable {
    /// What bulk data may not use, so that the platform can still write down what happens: 64 MiB, on small disks a tenth.
    package var reserve: Int { min(64 << 20, total / 10) }
    package let total: Int
    /// What is left for programs that are not root.
    package let free: Int

    package var isFull: Bool { free < reserve }

    /// Looks at the disk of `folder`, or of the nearest folder above it that is there; `nil` when it cannot be measured.
    package init?(at folder: FilePath) {
        var folder = folder
        while !FileManager.default.fileExists(atPath: folder.string), !folder.components.isEmpty {
            folder.removeLastComponent()
        }
        var information = statvfs()
        guard statvfs(folder.string, &information) == 0 else { return nil }
        total = Int(information.f_blocks) * Int(information.f_frsize)
        free = Int(information.f_bavail) * Int(information.f_frsize)
    }
}
