/// A line of a container's log file in the form that CRI prescribes: time, stream, tags, content.
struct LogLine: Hashable, Sendable {
    /// RFC 3339 with nanoseconds.
    var time: String
    /// `stdout` or `stderr`.
    var stream: String
    /// The container's line goes on in the next line of the file.
    var isPartial: Bool
    /// With the newline, unless partial.
    var content: [UInt8]

    /// `nil` for what is no such line.
    init?(_ line: some Collection<UInt8>) {
        let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 3, omittingEmptySubsequences: false)
        guard fields.count >= 3 else { return nil }
        time = String(decoding: fields[0], as: UTF8.self)
        stream = String(decoding: fields[1], as: UTF8.self)
        guard stream == "stdout" || stream == "stderr", time.contains("T") else { return nil }
        // Tags are separated by colons; the first one says whether the line is whole.
        isPartial = fields[2].first == UInt8(ascii: "P")
        content = fields.count > 3 ? Array(fields[3]) : []
        if !isPartial { content.append(UInt8(ascii: "\n")) }
    }
}

/// A log file as a whole; they are kept to about ten megabytes.
struct LogFile: Sendable {
    let path: String

    /// The last lines of the file, fewer when it has fewer.
    func lastLines(_ count: Int) -> [LogLine] {
        guard let bytes = try? FileBytes.read(path) else { return [] }
        let start = Self.offset(ofLast: count, in: bytes)
        return bytes[start...].split(separator: UInt8(ascii: "\n")).compactMap { LogLine($0) }
    }

    /// Where the last `count` lines begin.
    static func offset(ofLast count: Int, in bytes: [UInt8]) -> Int {
        guard count > 0 else { return bytes.count }
        var remaining = count
        var index = bytes.count
        // The newline that ends the file belongs to the last line.
        if bytes.last == UInt8(ascii: "\n") { index -= 1 }
        while index > 0 {
            if bytes[index - 1] == UInt8(ascii: "\n") {
                remaining -= 1
                if remaining == 0 { return index }
            }
            index -= 1
        }
        return 0
    }
}
