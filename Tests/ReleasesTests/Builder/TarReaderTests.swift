import Foundation
import SystemPackage
import Testing

@testable import Releases

struct TarReaderTests {
    /// What `tar` made, read in chunks of `chunk` bytes: entries, and the content of all files in one.
    private func read(_ archive: [UInt8], chunk: Int = 1 << 20) throws -> (entries: [TarEntry], content: [UInt8]) {
        var reader = TarReader()
        var entries: [TarEntry] = []
        var content: [UInt8] = []
        for start in stride(from: 0, to: archive.count, by: chunk) {
            try reader.read(archive[start..<min(start + chunk, archive.count)]) { event in
                switch event {
                case .entry(let entry): entries.append(entry)
                case .content(let bytes): content += bytes
                }
            }
        }
        try reader.finish()
        return (entries, content)
    }

    @Test(arguments: ["ustar", "gnu", "pax"], [1, 100, 512, 1 << 20])
    func readsWhatTarWrites(format: String, chunk: Int) async throws {
        try await withFolder { folder in
            let long = "\(folder)/in/" + String(repeating: "folder/", count: 12) + "x"
            try FileManager.default.createDirectory(atPath: long, withIntermediateDirectories: true)
            let name = String(repeating: "n", count: 90)
            try Data("content".utf8).write(to: URL(fileURLWithPath: "\(long)/\(name)"))
            try FileManager.default.createSymbolicLink(atPath: "\(folder)/in/link", withDestinationPath: "folder")
            try await program(
                "tar",
                ["--format", format, "--sort=name", "-cf", "\(folder)/a.tar", "-C", "\(folder)/in", "."]
            )
            let archive = [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(folder)/a.tar")))
            let (entries, content) = try read(archive, chunk: chunk)
            #expect(entries.first == TarEntry(path: "", kind: .folder, mode: 0o755, size: 0))
            #expect(entries.contains { $0.path.hasSuffix("/x/\(name)") && $0.kind == .file && $0.size == 7 })
            #expect(entries.last?.kind == .symbolicLink(to: "folder"))
            #expect(content == Array("content".utf8))
        }
    }

    @Test(arguments: ["../x", "a/../../x", "/etc/passwd", "a/.."])
    func refusesPathsThatLeaveTheFolder(path: String) throws {
        let archive = TarArchiveMaker.archive([(path, "0", "")])
        #expect(throws: TarError.self) { try read(archive) }
    }

    @Test(arguments: ["3", "4", "6"])
    func refusesDevicesAndPipes(type: Character) throws {
        #expect(throws: TarError.self) { try read(TarArchiveMaker.archive([("a", type, "")])) }
    }

    @Test func refusesWhatIsNoArchive() throws {
        #expect(throws: TarError(description: "this is no tar archive, or it was damaged on the way")) {
            try read([UInt8](repeating: 65, count: 512))
        }
        let cut = TarArchiveMaker.archive([("a", "0", "hello")]).prefix(514)
        #expect(throws: TarError.self) { try read(Array(cut)) }
    }
}

/// Archives that `tar` would not make.
enum TarArchiveMaker {
    /// Members of path, type flag and content; the content of links is their target.
    static func archive(_ members: [(path: String, type: Character, content: String)]) -> [UInt8] {
        members.flatMap { member(path: $0.path, type: $0.type, content: $0.content) }
            + [UInt8](repeating: 0, count: 1024)
    }

    private static func member(path: String, type: Character, content: String) -> [UInt8] {
        let isLink = type == "1" || type == "2"
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, _ offset: Int) {
            header.replaceSubrange(offset..<offset + text.utf8.count, with: text.utf8)
        }
        put(path, 0)
        put("0000644", 100)
        let size = String(isLink ? 0 : content.utf8.count, radix: 8)
        put(String(repeating: "0", count: 11 - size.count) + size, 124)
        put("        ", 148)
        put(String(type), 156)
        if isLink { put(content, 157) }
        put("ustar\u{0}00", 257)
        let sum = String(header.reduce(0) { $0 + Int($1) }, radix: 8)
        put(String(repeating: "0", count: 6 - sum.count) + sum + "\u{0} ", 148)
        guard !isLink else { return header }
        return header + content.utf8 + [UInt8](repeating: 0, count: (512 - content.utf8.count % 512) % 512)
    }
}

struct ArchiveFolderTests {
    private func fill(_ folder: String, _ bytes: [UInt8], limits: ArchiveFolder.Limits = .manifests) async throws {
        let workspace = folder + "/\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: workspace, withIntermediateDirectories: true)
        try await ArchiveFolder(workspace: .init(workspace), limits: limits).fill(from: body(bytes))
    }

    @Test func unpacksPlainAndCompressedArchives() async throws {
        try await withFolder { folder in
            let archive = TarArchiveMaker.archive([("a/b.txt", "0", "hello"), ("a/link", "2", "b.txt")])
            try Data(archive).write(to: URL(fileURLWithPath: folder + "/x.tar"))
            try await program("gzip", ["-k", folder + "/x.tar"])
            for name in ["x.tar", "x.tar.gz"] {
                let workspace = "\(folder)/\(name).d"
                try FileManager.default.createDirectory(atPath: workspace, withIntermediateDirectories: true)
                let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)")))
                try await ArchiveFolder(workspace: .init(workspace), limits: .manifests).fill(from: body(bytes))
                #expect(try String(contentsOfFile: workspace + "/files/a/link", encoding: .utf8) == "hello")
            }
        }
    }

    @Test(
        arguments: [
            [("out", "2", "/tmp"), ("out/x", "0", "bad")],
            [("a", "2", ".."), ("a/x", "0", "bad")],
            [("a/l", "2", "/tmp"), ("b", "1", "a/l"), ("b/x", "0", "bad")],
            [("a", "2", "/etc"), ("b", "1", "a/passwd")],
        ] as [[(String, Character, String)]]
    )
    func writesNothingBehindLinks(members: [(String, Character, String)]) async throws {
        try await withFolder { folder in
            await #expect(throws: TarError.self) { try await fill(folder, TarArchiveMaker.archive(members)) }
        }
    }

    @Test func replacesALinkByTheFileOfTheSameName() async throws {
        try await withFolder { folder in
            try Data("kept".utf8).write(to: URL(fileURLWithPath: folder + "/victim"))
            try await fill(folder, TarArchiveMaker.archive([("a", "2", folder + "/victim"), ("a", "0", "new")]))
            #expect(try String(contentsOfFile: folder + "/victim", encoding: .utf8) == "kept")
        }
    }

    @Test func boundsWhatIsReceivedAndWhatItUnpacksTo() async throws {
        try await withFolder { folder in
            let zeros = TarArchiveMaker.archive([("z", "0", String(repeating: "0", count: 2 << 20))])
            try Data(zeros).write(to: URL(fileURLWithPath: folder + "/z.tar"))
            try await program("gzip", [folder + "/z.tar"])
            let packed = [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder + "/z.tar.gz")))
            let limits = ArchiveFolder.Limits(received: 1 << 20, unpacked: 1 << 20)
            let bomb = await #expect(throws: ReleaseError.self) { try await fill(folder, packed, limits: limits) }
            #expect(bomb?.description == "the archive unpacks to more than 1 MiB")
            let long = await #expect(throws: ReleaseError.self) { try await fill(folder, zeros, limits: limits) }
            #expect(long?.description.contains("more than 1 MiB") == true)
            let cut = await #expect(throws: ReleaseError.self) { try await fill(folder, Array(packed.dropLast(9))) }
            #expect(cut?.description.contains("not whole") == true)
        }
    }
}
