/// git's pkt-line framing: four hexadecimal digits of length, themselves counted, then the bytes. `0000` is a flush.
/// https://git-scm.com/docs/protocol-common#_pkt_line_format
enum PacketLine {
    static let flush = Array("0000".utf8)
    /// The longest line, with its length digits.
    static let maximumLength = 65520

    static func encode(_ bytes: some Collection<UInt8>) -> [UInt8] {
        precondition(bytes.count <= maximumLength - 4, "A pkt-line holds at most 65516 bytes.")
        let digits = String(bytes.count + 4, radix: 16)
        return Array((String(repeating: "0", count: 4 - digits.count) + digits).utf8) + bytes
    }

    static func encode(_ text: String) -> [UInt8] { encode(Array(text.utf8)) }

    /// One step through a buffer.
    enum Step: Equatable {
        /// A line's bytes are in the range.
        case line(Range<Int>)
        case flush
        /// The buffer ends inside a line.
        case incomplete
    }

    struct Malformed: Error {}

    /// Reads the line that begins at `offset`, and moves `offset` behind it.
    static func next(in buffer: [UInt8], at offset: inout Int) throws(Malformed) -> Step {
        guard offset + 4 <= buffer.count else { return .incomplete }
        guard let length = Int(String(decoding: buffer[offset..<offset + 4], as: UTF8.self), radix: 16) else {
            throw Malformed()
        }
        if length == 0 {
            offset += 4
            return .flush
        }
        guard (4...maximumLength).contains(length) else { throw Malformed() }
        guard offset + length <= buffer.count else { return .incomplete }
        defer { offset += length }
        return .line(offset + 4..<offset + length)
    }
}

/// What `git push` says before it sends its pack: which references shall move, and the options.
/// https://git-scm.com/docs/pack-protocol#_reference_update_request_and_packfile_transfer
struct PushRequest: Equatable {
    /// The most bytes that commands and options may take: 4 MiB, some 30,000 references.
    static let limit = 4 << 20

    var updates: [ProposedPush.Update] = []
    var capabilities: Set<String> = []
    var options: [String] = []

    /// Reads the request at the front of a body.
    /// - Returns: nil when more bytes are needed.
    static func parse(_ buffer: [UInt8]) throws(PacketLine.Malformed) -> PushRequest? {
        var request = PushRequest()
        var offset = 0
        guard try request.readCommands(buffer, &offset) else { return nil }
        guard request.capabilities.contains("push-options") else { return request }
        guard try request.readOptions(buffer, &offset) else { return nil }
        return request
    }

    private mutating func readCommands(_ buffer: [UInt8], _ offset: inout Int) throws(PacketLine.Malformed) -> Bool {
        while true {
            switch try PacketLine.next(in: buffer, at: &offset) {
            case .incomplete: return false
            case .flush: return true
            case .line(let range): try readCommand(buffer[range])
            }
        }
    }

    private mutating func readCommand(_ line: ArraySlice<UInt8>) throws(PacketLine.Malformed) {
        let parts = line.split(separator: 0, maxSplits: 1).map { String(decoding: $0, as: UTF8.self) }
        guard let command = parts.first else { throw PacketLine.Malformed() }
        if parts.count > 1 {
            capabilities.formUnion(parts[1].split(whereSeparator: { $0 == " " || $0 == "\n" }).map(String.init))
        }
        if command.hasPrefix("shallow ") { return }
        let words = command.split(separator: " ", maxSplits: 2).map(String.init)
        guard words.count == 3, words[0].utf8.count == 40, words[1].utf8.count == 40 else {
            throw PacketLine.Malformed()
        }
        let ref = words[2].hasSuffix("\n") ? String(words[2].dropLast()) : words[2]
        updates.append(ProposedPush.Update(ref: ref, before: words[0], after: words[1]))
    }

    private mutating func readOptions(_ buffer: [UInt8], _ offset: inout Int) throws(PacketLine.Malformed) -> Bool {
        while true {
            switch try PacketLine.next(in: buffer, at: &offset) {
            case .incomplete: return false
            case .flush: return true
            case .line(let range):
                let option = String(decoding: buffer[range], as: UTF8.self)
                options.append(option.hasSuffix("\n") ? String(option.dropLast()) : option)
            }
        }
    }
}
