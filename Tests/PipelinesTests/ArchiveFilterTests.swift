import Foundation
import NIOCore
import Testing

@testable import Pipelines

struct ArchiveFilterTests {
    /// A tar header for one entry, as POSIX describes it.
    private func entry(_ name: String, kind: Character = "0", link: String = "", data: String = "") -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, _ offset: Int) {
            block.replaceSubrange(offset..<(offset + text.utf8.count), with: text.utf8)
        }
        put(name, 0)
        put("0000644\0", 100)
        put(String(data.utf8.count, radix: 8), 124)
        put(String(kind), 156)
        put(link, 157)
        put("ustar\u{0}00", 257)
        put("        ", 148)
        let sum = block.reduce(0) { $0 + Int($1) }
        put(String(sum, radix: 8) + "\0", 148)
        let bytes = Array(data.utf8)
        return block + bytes + [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512)
    }

    private func filter(_ bytes: [UInt8], cut: Int = 100, limit: Int = 1 << 20) throws -> (ArchiveFilter, [UInt8]) {
        var filter = ArchiveFilter(limit: limit)
        var output: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: cut) {
            output += try filter.append(bytes[start..<min(start + cut, bytes.count)])
        }
        output += try filter.finish()
        return (filter, output)
    }

    @Test(arguments: [1, 7, 512, 513, 100_000])
    func keepsFilesAndKnowsWhereTheyAre(_ cut: Int) throws {
        let end = [UInt8](repeating: 0, count: 1024)
        let bytes =
            entry("./a.txt", data: "hello") + end + entry("b/c", data: "123456789")
            + entry("b/l", kind: "2", link: "../a.txt")
        let (filter, output) = try filter(bytes + end, cut: cut)
        #expect(filter.entries.map(\.path) == ["a.txt", "b/c", "b/l"])
        #expect(filter.entries[2].link == "../a.txt")
        #expect(filter.entries[1].crc32 == 0xcbf4_3926)
        let second = filter.entries[1]
        #expect(String(decoding: output[second.offset..<(second.offset + second.size)], as: UTF8.self) == "123456789")
        #expect(output.count == 512 * 5 + 1024)
    }

    @Test(arguments: [
        ("../x", "0", "", "leads out"), ("a/../../x", "0", "", "leads out"), ("/etc/passwd", "0", "", "leads out"),
        ("l", "2", "/etc/passwd", "leads out"), ("l", "2", "../x", "leads out"), ("d/l", "2", "../../x", "leads out"),
        ("d/l", "2", "a/../../x", "leads out"), ("h", "1", "../x", "leads out"), ("dev", "3", "", "only files"),
        ("fifo", "6", "", "only files"),
    ])
    func refusesWhatCouldEscape(_ name: String, _ kind: String, _ link: String, _ message: String) throws {
        let bytes = entry(name, kind: Character(kind), link: link)
        let error = #expect(throws: ArchiveError.self) { try filter(bytes) }
        #expect(error?.description.contains(message) == true)
    }

    @Test func refusesPathsThroughLinks() {
        let bytes = entry("l", kind: "2", link: "d") + entry("l/x", data: "y")
        #expect(throws: ArchiveError.self) { try filter(bytes) }
    }

    @Test func refusesWhatIsTooLargeCutOffOrNoArchive() {
        #expect(throws: ArchiveError.self) {
            try filter(entry("a", data: String(repeating: "x", count: 5000)), limit: 4096)
        }
        #expect(throws: ArchiveError.self) { try filter(Array(entry("a", data: "abc").dropLast(100))) }
        #expect(throws: ArchiveError.self) { try filter(Array(String(repeating: "text ", count: 200).utf8)) }
    }

    @Test func theZipOfItIsWhatOtherProgramsRead() async throws {
        let (filter, output) = try filter(entry("a.txt", data: "hello") + entry("d/b", data: "12345"))
        var zip: [UInt8] = []
        for entry in filter.entries {
            zip += ZipDirectory.localHeader(entry) + output[entry.offset..<(entry.offset + entry.size)]
        }
        zip += ZipDirectory.directory(filter.entries)
        #expect(zip.count == ZipDirectory.size(filter.entries))
        try await withTemporaryFolder { folder in
            try Data(zip).write(to: URL(filePath: "\(folder)/a.zip"))
            let script = "import zipfile; z=zipfile.ZipFile('a.zip'); print(z.testzip(), z.namelist(), z.read('d/b'))"
            let result = try await shell(["/usr/bin/env", "python3", "-c", script], folder: folder)
            #expect(result.output == "None ['a.txt', 'd/b'] b'12345'\n")
        }
    }
}
