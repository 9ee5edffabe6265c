import Foundation

func removeFolder(_ path: String) { try? FileManager.default.removeItem(atPath: path) }

func permissions(of path: String) -> Int? {
    try? FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
}

/// Names of the files below `path` at any depth.
func files(below path: String) -> [String] {
    let found = FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
    return found.filter {
        (try? FileManager.default.attributesOfItem(atPath: "\(path)/\($0)")[.type] as? FileAttributeType)
            == .typeRegular
    }
}
