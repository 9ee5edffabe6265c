/// One member of a tar archive.
struct TarEntry: Equatable {
    enum Kind: Equatable {
        case file
        case folder
        case symbolicLink(to: String)
        case hardLink(to: String)
    }

    /// Relative, without `.` or `..`; empty for the archive's own root.
    var path: String
    var kind: Kind
    /// The permission bits.
    var mode: Int
    /// Bytes of content that follow.
    var size: Int
}

struct TarError: Error, Equatable, CustomStringConvertible {
    var description: String
}

/// Reads a tar archive (POSIX ustar and pax, GNU long names) as its bytes come. Pure: it touches no file.
///
/// Paths that leave the archive's root, and members that are no files, folders or links, are errors.
struct TarReader {
    enum Event: Equatable {
        case entry(TarEntry)
        case content(ArraySlice<UInt8>)
    }

    /// One archive may have this many members.
    static let entryLimit = 200_000
    private static let blockSize = 512
    /// Names and pax records are small; more is an attack.
    private static let metadataLimit = 64 << 10

    private enum State {
        case header
        case content(remaining: Int, padding: Int)
        case metadata(Metadata, remaining: Int, padding: Int)
        case padding(Int)
        case end
    }

    private enum Metadata { case longPath, longLink, pax, ignored }

    private var state = State.header
    private var gathered: [UInt8] = []
    private var path: String?
    private var link: String?
    private var size: Int?
    private var entryCount = 0

    /// Takes the next bytes of the archive and gives what they complete.
    mutating func read(_ bytes: ArraySlice<UInt8>, _ handle: (Event) throws -> Void) throws {
        var rest = bytes
        while !rest.isEmpty {
            switch state {
            case .header: try readHeader(&rest, handle)
            case .content(let remaining, let padding):
                let part = rest.prefix(remaining)
                rest = rest.dropFirst(part.count)
                try handle(.content(part))
                let left = remaining - part.count
                state = left > 0 ? .content(remaining: left, padding: padding) : Self.afterContent(padding)
            case .metadata(let kind, let remaining, let padding):
                try readMetadata(&rest, kind, remaining: remaining, padding: padding)
            case .padding(let count):
                let skipped = min(count, rest.count)
                rest = rest.dropFirst(skipped)
                state = Self.afterContent(count - skipped)
            case .end: return
            }
        }
    }

    /// Throws when the archive stops in the middle of a member.
    func finish() throws(TarError) {
        switch state {
        case .end: return
        case .header where gathered.isEmpty: return
        default: throw TarError(description: "the archive ends in the middle of a file: it did not arrive whole")
        }
    }

    // MARK: - Private

    private static func afterContent(_ padding: Int) -> State { padding > 0 ? .padding(padding) : .header }

    private mutating func readHeader(_ rest: inout ArraySlice<UInt8>, _ handle: (Event) throws -> Void) throws {
        let part = rest.prefix(Self.blockSize - gathered.count)
        gathered += part
        rest = rest.dropFirst(part.count)
        guard gathered.count == Self.blockSize else { return }
        let block = gathered
        gathered = []
        guard block.contains(where: { $0 != 0 }) else {
            state = .end
            return
        }
        let header = try TarHeader(block)
        let size = self.size ?? header.size
        let padding = (Self.blockSize - size % Self.blockSize) % Self.blockSize
        switch header.type {
        case UInt8(ascii: "L"): try begin(.longPath, header.size)
        case UInt8(ascii: "K"): try begin(.longLink, header.size)
        case UInt8(ascii: "x"): try begin(.pax, header.size)
        case UInt8(ascii: "g"): try begin(.ignored, header.size)
        default:
            let entry = try entry(of: header, size: size)
            (path, link, self.size) = (nil, nil, nil)
            try handle(.entry(entry))
            state = entry.size > 0 ? .content(remaining: entry.size, padding: padding) : .header
        }
    }

    private mutating func begin(_ kind: Metadata, _ size: Int) throws(TarError) {
        guard size <= Self.metadataLimit else {
            throw TarError(
                description:
                    "the archive has a name or an extended header of \(size) bytes; at most \(Self.metadataLimit) are read"
            )
        }
        let padding = (Self.blockSize - size % Self.blockSize) % Self.blockSize
        state = size > 0 ? .metadata(kind, remaining: size, padding: padding) : .header
    }

    private mutating func readMetadata(
        _ rest: inout ArraySlice<UInt8>,
        _ kind: Metadata,
        remaining: Int,
        padding: Int
    ) throws(TarError) {
        let part = rest.prefix(remaining)
        gathered += part
        rest = rest.dropFirst(part.count)
        guard part.count == remaining else {
            state = .metadata(kind, remaining: remaining - part.count, padding: padding)
            return
        }
        let bytes = gathered
        gathered = []
        state = Self.afterContent(padding)
        switch kind {
        case .longPath: path = Self.text(bytes[...])
        case .longLink: link = Self.text(bytes[...])
        case .pax: try readRecords(bytes)
        case .ignored: break
        }
    }

    /// Records of the form `<length> <key>=<value>\n` (POSIX pax, "Extended Header").
    private mutating func readRecords(_ bytes: [UInt8]) throws(TarError) {
        var rest = bytes[...]
        while let space = rest.firstIndex(of: UInt8(ascii: " ")) {
            guard let length = Int(String(decoding: rest[..<space], as: UTF8.self)),
                length > space - rest.startIndex + 1,
                length <= rest.count
            else { throw TarError(description: "the archive has a broken extended header") }
            let record = rest.prefix(length)[(space + 1)...].dropLast()
            rest = rest.dropFirst(length)
            let text = String(decoding: record, as: UTF8.self)
            guard let equals = text.firstIndex(of: "=") else { continue }
            let value = String(text[text.index(after: equals)...])
            switch text[..<equals] {
            case "path": path = value
            case "linkpath": link = value
            case "size": size = Int(value)
            default: break
            }
        }
    }

    private mutating func entry(of header: TarHeader, size: Int) throws(TarError) -> TarEntry {
        entryCount += 1
        guard entryCount <= Self.entryLimit else {
            throw TarError(description: "the archive has more than \(Self.entryLimit) files")
        }
        let name = path ?? header.path
        let path = try Self.safePath(name)
        let target = link ?? header.link
        let kind: TarEntry.Kind
        switch header.type {
        case 0, UInt8(ascii: "0"), UInt8(ascii: "7"): kind = name.hasSuffix("/") ? .folder : .file
        case UInt8(ascii: "1"): kind = .hardLink(to: try Self.safePath(target))
        case UInt8(ascii: "2"): kind = .symbolicLink(to: target)
        case UInt8(ascii: "5"): kind = .folder
        default: throw TarError(description: "\"\(path)\" is neither a file, a folder nor a link: leave it out")
        }
        guard size >= 0 else { throw TarError(description: "\"\(path)\" has a negative size") }
        return TarEntry(path: path, kind: kind, mode: header.mode & 0o777, size: kind == .file ? size : 0)
    }

    private static func safePath(_ name: String) throws(TarError) -> String {
        let parts = name.split(separator: "/").filter { $0 != "." }
        guard !name.hasPrefix("/"), !parts.contains(".."), !name.utf8.contains(0) else {
            throw TarError(
                description: "\"\(name)\" leads out of the archive's folder; paths must be relative and without .."
            )
        }
        return parts.joined(separator: "/")
    }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String {
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}

/// The fields of a header block (POSIX ustar interchange format).
private struct TarHeader {
    var path: String
    var mode: Int
    var size: Int
    var type: UInt8
    var link: String

    init(_ block: [UInt8]) throws(TarError) {
        let sum = block.enumerated().reduce(0) { $0 + Int((148..<156).contains($1.offset) ? 32 : $1.element) }
        guard Self.number(block[148..<156]) == sum else {
            throw TarError(description: "this is no tar archive, or it was damaged on the way")
        }
        guard let size = Self.number(block[124..<136]) else {
            throw TarError(description: "the archive has a broken size")
        }
        self.size = size
        mode = Self.number(block[100..<108]) ?? 0o644
        type = block[156]
        link = Self.text(block[157..<257])
        let prefix = block[257..<263].elementsEqual("ustar\0".utf8) ? Self.text(block[345..<500]) : ""
        let name = Self.text(block[0..<100])
        path = prefix.isEmpty ? name : "\(prefix)/\(name)"
    }

    private static func text(_ field: ArraySlice<UInt8>) -> String {
        String(decoding: field.prefix { $0 != 0 }, as: UTF8.self)
    }

    /// Octal digits, or GNU's base 256 when the first bit is set.
    private static func number(_ field: ArraySlice<UInt8>) -> Int? {
        if let first = field.first, first & 0x80 != 0 {
            return field.dropFirst().reduce(Int(first & 0x7F)) { total, byte in (total &<< 8) | Int(byte) }
        }
        let digits = field.drop { $0 == 32 }.prefix { (48...55).contains($0) }
        return digits.isEmpty ? nil : digits.reduce(0) { $0 &* 8 &+ Int($1 - 48) }
    }
}
