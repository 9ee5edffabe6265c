import Foundation
import Glibc

/// The control groups of one home, in every hierarchy of cgroup v1 or in the one of v2.
struct CgroupTree {
    static let root = "/sys/fs/cgroup"

    /// The home's id.
    let identifier: String
    /// Where the hierarchies, or the one of v2, are mounted.
    var mount = Self.root

    /// The group of all pods, as CRI names it.
    var parent: String { "/sampan-\(identifier)" }

    func pod(_ uid: String) -> String { "\(parent)/pod\(uid)" }

    /// Whether there is the one hierarchy of v2, whose root lists its controllers.
    var isUnified: Bool { access("\(mount)/cgroup.controllers", F_OK) == 0 }

    /// Removes the empty groups of a pod; groups with processes stay.
    func removePod(_ uid: String) { remove(pod(uid)) }

    /// Removes the groups of all pods, and their parent.
    func remove() { remove(parent) }

    private func remove(_ group: String) {
        for hierarchy in hierarchies { removeTree("\(hierarchy)\(group)") }
    }

    private var hierarchies: [String] {
        if isUnified { return [mount] }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: mount)) ?? []
        return names.map { "\(mount)/\($0)" }
    }

    /// Groups are removed by rmdir from the leaves up; the files in them go by themselves.
    private func removeTree(_ path: String) {
        guard let entries = try? FileManager.default.contentsOfDirectory(atPath: path) else { return }
        for entry in entries {
            var isDirectory: ObjCBool = false
            let child = "\(path)/\(entry)"
            if FileManager.default.fileExists(atPath: child, isDirectory: &isDirectory), isDirectory.boolValue {
                removeTree(child)
            }
        }
        rmdir(path)
    }
}
