/// The parts of a zip archive around the bytes of its files, which are stored as they are.
enum ZipDirectory {
    /// What precedes a file's bytes.
    static func localHeader(_ entry: ArchiveEntry) -> [UInt8] {
        let name = Array(entry.path.utf8)
        return integer(0x0403_4b50, 4) + [20, 0, 0, 0x08] + common(entry) + integer(name.count, 2) + [0, 0] + name
    }

    /// The length of the whole archive.
    static func size(_ entries: [ArchiveEntry]) -> Int {
        entries.reduce(22) { $0 + 30 + 46 + 2 * $1.path.utf8.count + length($1) }
    }

    /// What follows the last file's bytes.
    static func directory(_ entries: [ArchiveEntry]) -> [UInt8] {
        var result: [UInt8] = []
        var offset = 0
        for entry in entries {
            let name = Array(entry.path.utf8)
            let attributes = ((entry.link == nil ? 0o100_000 : 0o120_000) | entry.mode) << 16
            result += integer(0x0201_4b50, 4) + [20, 3, 20, 0, 0, 0x08] + common(entry) + integer(name.count, 2)
            result += [UInt8](repeating: 0, count: 8) + integer(attributes, 4) + integer(offset, 4) + name
            offset += 30 + name.count + length(entry)
        }
        let end = integer(0x0605_4b50, 4) + [0, 0, 0, 0] + integer(entries.count, 2) + integer(entries.count, 2)
        return result + end + integer(result.count, 4) + integer(offset, 4) + [0, 0]
    }

    /// A link's content is its target.
    static func content(ofLink target: String) -> [UInt8] { Array(target.utf8) }

    private static func length(_ entry: ArchiveEntry) -> Int { entry.link.map { $0.utf8.count } ?? entry.size }

    /// Method, time, check sum and both sizes: alike in both headers.
    private static func common(_ entry: ArchiveEntry) -> [UInt8] {
        let crc = entry.link.map { CRC32.update(0, content(ofLink: $0)) } ?? entry.crc32
        let size = length(entry)
        return [0, 0, 0, 0, 0x21, 0] + integer(Int(crc), 4) + integer(size, 4) + integer(size, 4)
    }

    private static func integer(_ value: Int, _ bytes: Int) -> [UInt8] {
        (0..<bytes).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
}
