import Foundation
import Glibc
import KubernetesModel

/// A `hostPath` volume: checks the path against its type, and makes what the type allows to make.
struct HostPath {
    let path: String
    let type: String

    init(_ json: JSON) {
        path = json["path"]?.string ?? ""
        type = json["type"]?.string ?? ""
    }

    func prepare() throws {
        switch type {
        case "": break
        case "DirectoryOrCreate":
            if access(path, F_OK) != 0 {
                try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            }
            try check(.directory, "directory")
        case "FileOrCreate":
            if access(path, F_OK) != 0, !FileManager.default.createFile(atPath: path, contents: nil) {
                throw ConfigurationError("hostPath type check failed: \(path) cannot be made")
            }
            try check(.file, "file")
        case "Directory": try check(.directory, "directory")
        case "File": try check(.file, "file")
        case "Socket": try check(.socket, "socket file")
        case "CharDevice": try check(.characterDevice, "character device")
        case "BlockDevice": try check(.blockDevice, "block device")
        default: throw ConfigurationError("hostPath type \(type) is unknown")
        }
    }

    private func check(_ kind: FileStatus.Kind, _ name: String) throws {
        guard FileStatus(path)?.kind == kind else {
            throw ConfigurationError("hostPath type check failed: \(path) is not a \(name)")
        }
    }
}
