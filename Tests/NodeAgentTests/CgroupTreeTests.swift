import Foundation
import Testing

@testable import NodeAgent

/// The paths of control groups in both versions, on folders that stand for the kernel's.
struct CgroupTreeTests {
    private func withMount(unified: Bool, _ body: (String, CgroupTree) throws -> Void) throws {
        let mount = FileManager.default.temporaryDirectory.path + "/cgroup-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: mount) }
        let hierarchies = unified ? [mount] : ["\(mount)/memory", "\(mount)/cpu"]
        for hierarchy in hierarchies {
            for group in ["sampan-1/podA/container", "sampan-1/podB", "sampan-2/podA"] {
                try FileManager.default.createDirectory(
                    atPath: "\(hierarchy)/\(group)",
                    withIntermediateDirectories: true
                )
            }
        }
        if unified { try Data("cpu memory\n".utf8).write(to: URL(fileURLWithPath: "\(mount)/cgroup.controllers")) }
        try body(mount, CgroupTree(identifier: "1", mount: mount))
    }

    private func groups(below folder: String) -> [String] {
        (FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []).sorted()
    }

    @Test func namesGroupsAsTheRuntimeDoes() {
        let tree = CgroupTree(identifier: "0123abcd")
        #expect(tree.parent == "/sampan-0123abcd")
        #expect(tree.pod("u-1") == "/sampan-0123abcd/podu-1")
    }

    @Test func knowsTheVersionByTheRoot() throws {
        try withMount(unified: true) { #expect($1.isUnified) }
        try withMount(unified: false) { #expect(!$1.isUnified) }
    }

    @Test func removesOnePodFromTheOneHierarchy() throws {
        try withMount(unified: true) { mount, tree in
            tree.removePod("A")
            let left = groups(below: mount)
            #expect(left == ["cgroup.controllers", "sampan-1", "sampan-1/podB", "sampan-2", "sampan-2/podA"])
        }
    }

    @Test func removesEverythingOfAHomeFromEveryHierarchy() throws {
        try withMount(unified: false) { mount, tree in
            tree.remove()
            for hierarchy in ["memory", "cpu"] {
                #expect(groups(below: "\(mount)/\(hierarchy)") == ["sampan-2", "sampan-2/podA"])
            }
        }
    }
}
