import Foundation
import KubernetesClient
import KubernetesModel

/// Reads a container's log as `kubectl logs` shows it, piece by piece; with `follow` until the container has ended.
actor LogReader {
    private static let pieceBytes = 65_536
    /// How soon a new line is seen.
    private static let followInterval = Duration.milliseconds(50)

    private let path: String
    private let isLive: @Sendable () -> Bool
    private var format: LogFormat
    private let options: LogOptions
    private var file: FileBytes?
    private var rest: [UInt8] = []
    private var hasSeenEnd = false

    /// - Parameter isLive: tells whether the container may still write
    init(path: String, options: LogOptions, now: Timestamp, isLive: @escaping @Sendable () -> Bool) {
        self.path = path
        self.options = options
        self.isLive = isLive
        format = LogFormat(options, now: now)
    }

    /// The next bytes; `nil` at the end.
    func next() async throws -> [UInt8]? {
        if file == nil { try openFile() }
        while !format.isFull {
            let piece = readPiece()
            if !piece.isEmpty { return piece }
            guard options.follow, !Task.isCancelled else { return nil }
            if let successor {
                // Read once more: lines may have been written between the last look and the rotation.
                let remains = readPiece()
                guard remains.isEmpty else { return remains }
                file = successor
                rest = []
                continue
            }
            guard !hasSeenEnd else { return nil }
            // Looked at before the last read, so that what was written until the end is not missed.
            if !isLive() { hasSeenEnd = true } else { try await Task.sleep(for: Self.followInterval) }
        }
        return nil
    }

    // MARK: - Private

    private func openFile() throws {
        let file = try FileBytes(path)
        if let count = options.tailLines {
            file.seek(to: LogFile.offset(ofLast: count, in: try FileBytes.read(path)))
        }
        self.file = file
    }

    /// Formats whole lines until there are enough bytes or the file ends.
    private func readPiece() -> [UInt8] {
        var output: [UInt8] = []
        while let file, output.count < Self.pieceBytes, !format.isFull {
            let bytes = file.next(Self.pieceBytes)
            if bytes.isEmpty { break }
            rest += bytes
            takeLines(into: &output)
        }
        return output
    }

    private func takeLines(into output: inout [UInt8]) {
        var start = rest.startIndex
        while let end = rest[start...].firstIndex(of: UInt8(ascii: "\n")) {
            if let line = LogLine(rest[start..<end]) { format.append(line, to: &output) }
            start = end + 1
        }
        rest.removeSubrange(..<start)
    }

    /// After a rotation the log goes on in a new file of the same name.
    private var successor: FileBytes? {
        guard let file, let inode = FileBytes.inode(of: path), inode != file.inode else { return nil }
        return try? FileBytes(path)
    }
}

/// Chooses and formats lines by the options of a request. Pure.
struct LogFormat {
    private let hasTimestamps: Bool
    private let since: Timestamp?
    private var remainingBytes: Int?
    private var isAtLineStart = true

    init(_ options: LogOptions, now: Timestamp) {
        hasTimestamps = options.timestamps
        remainingBytes = options.limitBytes
        let bySeconds = options.sinceSeconds.map { Timestamp(seconds: now.seconds - Int64($0), nanoseconds: 0) }
        since = options.sinceTime.flatMap { Timestamp($0) } ?? bySeconds
    }

    /// The limit is reached.
    var isFull: Bool { remainingBytes.map { $0 <= 0 } ?? false }

    mutating func append(_ line: LogLine, to output: inout [UInt8]) {
        if let since, let time = Timestamp(line.time), time < since { return }
        var bytes: [UInt8] = []
        if hasTimestamps, isAtLineStart { bytes += Array("\(line.time) ".utf8) }
        bytes += line.content
        isAtLineStart = !line.isPartial
        if let remaining = remainingBytes {
            bytes = Array(bytes.prefix(remaining))
            remainingBytes = remaining - bytes.count
        }
        output += bytes
    }
}
