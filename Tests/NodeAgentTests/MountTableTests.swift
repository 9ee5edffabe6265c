import Foundation
import Testing

@testable import NodeAgent

/// Against the kernel: the table of a busy machine is longer than what one read of it returns.
struct MountTableTests {
    @Test func findsAndRemovesEveryMountOfALongTable() throws {
        let folder = "/tmp/sampan-mounts-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let points = (0..<80).map { "\(folder)/\($0)" }
        defer { MountTable.unmountAll(below: folder) }
        for point in points {
            try FileManager.default.createDirectory(atPath: point, withIntermediateDirectories: true)
            try MountTable.mountMemory(at: point, size: 4096)
        }
        #expect(Set(MountTable.mounts(below: folder)) == Set(points))

        let last = try #require(points.last)
        try MountTable.mountMemory(at: last, size: 4096)
        #expect(MountTable.mounts(below: last) == [last], "mounted once, however often it is asked for")

        MountTable.unmountAll(below: folder)
        #expect(MountTable.mounts(below: folder).isEmpty)
    }
}
