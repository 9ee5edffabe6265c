/// A file inside an archive that was taken in.
package struct ArchiveEntry: Hashable, Sendable, Codable {
    package var path: String
    package var size: Int
    /// Where the file's bytes start in the stored archive.
    package var offset: Int
    package var mode: Int
    package var crc32: UInt32
    /// The target of a symbolic link.
    package var link: String?
}

package struct ArchiveError: Error, Hashable, Sendable, CustomStringConvertible {
    package var description: String
}

/// Takes in a stream of tar archives, checks every entry, and gives out one plain tar archive.
///
/// Refused are absolute paths, `..`, links that lead out of the archive's root, paths through links, devices, and archives larger than the
/// bounds. Several archives in a row count as one.
struct ArchiveFilter {
    static let maximumEntries = 100_000
    static let maximumNameBytes = 4096
    private static let blockSize = 512

    private enum State {
        case header
        case data(entry: Int?, remaining: Int, padding: Int)
        case extension_(kind: UInt8, remaining: Int, padding: Int)
    }

    private(set) var entries: [ArchiveEntry] = []
    private var state = State.header
    private var pending: [UInt8] = []
    private var extensionBytes: [UInt8] = []
    private var longName: String?
    private var longLink: String?
    private var links: Set<String> = []
    private var outputSize = 0
    private let limit: Int

    init(limit: Int) {
        self.limit = limit
    }

    /// The bytes to store for `bytes`.
    mutating func append(_ bytes: some Collection<UInt8>) throws(ArchiveError) -> [UInt8] {
        pending += bytes
        var output: [UInt8] = []
        var position = 0
        while try step(&position, &output) {}
        pending.removeFirst(position)
        return output
    }

    /// The end of the archive.
    mutating func finish() throws(ArchiveError) -> [UInt8] {
        guard case .header = state, pending.isEmpty else { throw ArchiveError(description: "the archive is cut off") }
        return [UInt8](repeating: 0, count: 2 * Self.blockSize)
    }

    // MARK: - Steps

    private mutating func step(_ position: inout Int, _ output: inout [UInt8]) throws(ArchiveError) -> Bool {
        switch state {
        case .header:
            guard pending.count - position >= Self.blockSize else { return false }
            let block = Array(pending[position..<(position + Self.blockSize)])
            position += Self.blockSize
            if block.contains(where: { $0 != 0 }) { try header(block, &output) }
            return true
        case .data(let entry, let remaining, let padding):
            return try data(entry, remaining, padding, &position, &output)
        case .extension_(let kind, let remaining, let padding):
            return try extensionData(kind, remaining, padding, &position, &output)
        }
    }

    private mutating func emit(_ bytes: ArraySlice<UInt8>, _ output: inout [UInt8]) throws(ArchiveError) {
        outputSize += bytes.count
        guard outputSize <= limit else { throw ArchiveError(description: "the archive is larger than \(limit) bytes") }
        output += bytes
    }

    private mutating func data(
        _ entry: Int?,
        _ remaining: Int,
        _ padding: Int,
        _ position: inout Int,
        _ output: inout [UInt8]
    ) throws(ArchiveError) -> Bool {
        let count = min(remaining, pending.count - position)
        if count > 0 {
            let bytes = pending[position..<(position + count)]
            if let entry { entries[entry].crc32 = CRC32.update(entries[entry].crc32, bytes) }
            try emit(bytes, &output)
            position += count
            state = .data(entry: entry, remaining: remaining - count, padding: padding)
            return true
        }
        guard remaining == 0, pending.count - position >= padding else { return false }
        try emit(pending[position..<(position + padding)], &output)
        position += padding
        state = .header
        return true
    }

    private mutating func extensionData(
        _ kind: UInt8,
        _ remaining: Int,
        _ padding: Int,
        _ position: inout Int,
        _ output: inout [UInt8]
    ) throws(ArchiveError) -> Bool {
        guard pending.count - position >= remaining + padding else { return false }
        let bytes = pending[position..<(position + remaining)]
        extensionBytes = Array(bytes)
        switch kind {
        case UInt8(ascii: "L"): longName = Self.text(extensionBytes[...])
        case UInt8(ascii: "K"): longLink = Self.text(extensionBytes[...])
        default: readPax(extensionBytes)
        }
        try emit(pending[position..<(position + remaining + padding)], &output)
        position += remaining + padding
        state = .header
        return true
    }

    // MARK: - Headers

    private mutating func header(_ block: [UInt8], _ output: inout [UInt8]) throws(ArchiveError) {
        try checkSum(block)
        let size = try Self.number(block[124..<136])
        let kind = block[156]
        let padding = (Self.blockSize - size % Self.blockSize) % Self.blockSize
        switch kind {
        case UInt8(ascii: "L"), UInt8(ascii: "K"), UInt8(ascii: "x"), UInt8(ascii: "g"):
            guard size <= 64 * 1024 else { throw ArchiveError(description: "a name in the archive is too long") }
            try emit(block[...], &output)
            state = .extension_(kind: kind, remaining: size, padding: padding)
        default:
            let entry = try admit(block, kind, size)
            try emit(block[...], &output)
            if let entry { entries[entry].offset = outputSize }
            state = .data(entry: entry, remaining: entry == nil ? 0 : size, padding: entry == nil ? 0 : padding)
        }
    }

    /// Checks an entry and notes it; `nil` for folders.
    private mutating func admit(_ block: [UInt8], _ kind: UInt8, _ size: Int) throws(ArchiveError) -> Int? {
        let prefix =
            block[257..<262].elementsEqual("ustar".utf8) && block[263] == UInt8(ascii: "0")
            ? Self.text(block[345..<500]) : ""
        let short = Self.text(block[0..<100])
        let name = longName ?? (prefix.isEmpty ? short : "\(prefix)/\(short)")
        let target = longLink ?? Self.text(block[157..<257])
        longName = nil
        longLink = nil
        let path = try safePath(name)
        switch kind {
        case UInt8(ascii: "5"): return nil
        case 0, UInt8(ascii: "0"), UInt8(ascii: "7"): return try add(path, size, block, link: nil)
        case UInt8(ascii: "2"):
            try checkLink(path, target)
            links.insert(path)
            return try add(path, 0, block, link: target)
        case UInt8(ascii: "1"):
            _ = try safePath(target)
            return nil
        default: throw ArchiveError(description: "\(name): only files, folders and links are allowed in archives")
        }
    }

    private mutating func add(_ path: String, _ size: Int, _ block: [UInt8], link: String?) throws(ArchiveError) -> Int
    {
        guard entries.count < Self.maximumEntries else {
            throw ArchiveError(description: "the archive has more than \(Self.maximumEntries) files")
        }
        let mode = (try? Self.number(block[100..<108])) ?? 0o644
        entries.append(ArchiveEntry(path: path, size: size, offset: 0, mode: mode & 0o777, crc32: 0, link: link))
        return entries.count - 1
    }

    private func safePath(_ name: String) throws(ArchiveError) -> String {
        let parts = name.split(separator: "/").filter { $0 != "." }
        guard !name.hasPrefix("/"), !parts.contains(".."), name.utf8.count <= Self.maximumNameBytes else {
            throw ArchiveError(description: "the path \"\(name)\" leads out of the project's folder")
        }
        for count in parts.indices.dropFirst() where links.contains(parts[..<count].joined(separator: "/")) {
            throw ArchiveError(description: "the path \"\(name)\" leads through a symbolic link")
        }
        return parts.joined(separator: "/")
    }

    /// A link may climb only to the archive's root, and only before it descends: what follows a folder may be a link itself.
    private func checkLink(_ path: String, _ target: String) throws(ArchiveError) {
        let parts = target.split(separator: "/").filter { $0 != "." }
        let climbs = parts.prefix { $0 == ".." }.count
        let depth = path.split(separator: "/").count - 1
        guard !target.hasPrefix("/"), climbs <= depth, !parts.dropFirst(climbs).contains("..") else {
            throw ArchiveError(description: "the link \"\(path)\" to \"\(target)\" leads out of the project's folder")
        }
    }

    private mutating func readPax(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while let space = rest.firstIndex(of: UInt8(ascii: " ")),
            let length = Int(String(decoding: rest[..<space], as: UTF8.self)), length > 0, length <= rest.count
        {
            let record = String(decoding: rest[(space + 1)..<(rest.startIndex + length)], as: UTF8.self)
            rest = rest.dropFirst(length)
            let parts = record.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { continue }
            let value = String(parts[1].dropLast())
            if parts[0] == "path" { longName = value }
            if parts[0] == "linkpath" { longLink = value }
        }
    }

    private func checkSum(_ block: [UInt8]) throws(ArchiveError) {
        let expected = try Self.number(block[148..<156])
        let sum = block.indices.reduce(0) { $0 + ((148..<156).contains($1) ? 32 : Int(block[$1])) }
        guard sum == expected else { throw ArchiveError(description: "this is not a tar archive") }
    }

    private static func number(_ field: ArraySlice<UInt8>) throws(ArchiveError) -> Int {
        if let first = field.first, first & 0x80 != 0 {
            let value = field.dropFirst().reduce(0) { ($0 & 0xff_ffff_ffff_ffff) << 8 | Int($1) }
            guard value >= 0, value < 1 << 50 else {
                throw ArchiveError(description: "a size in the archive is out of range")
            }
            return value
        }
        let digits = text(field).filter { $0 != " " }
        guard let value = digits.isEmpty ? 0 : Int(digits, radix: 8), value >= 0 else {
            throw ArchiveError(description: "this is not a tar archive")
        }
        return value
    }

    private static func text(_ field: ArraySlice<UInt8>) -> String {
        String(decoding: field.prefix { $0 != 0 }, as: UTF8.self)
    }
}

/// The check sum of zip archives.
enum CRC32 {
    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? 0xedb8_8320 ^ (value >> 1) : value >> 1 }
    }

    /// The sum of what `sum` stands for followed by `bytes`; start with zero.
    static func update(_ sum: UInt32, _ bytes: some Sequence<UInt8>) -> UInt32 {
        ~bytes.reduce(~sum) { table[Int(($0 ^ UInt32($1)) & 0xff)] ^ ($0 >> 8) }
    }
}
