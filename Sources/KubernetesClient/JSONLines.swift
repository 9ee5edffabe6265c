import KubernetesModel

/// Cuts a stream of bytes into its lines, whatever chunks they arrive in.
struct JSONLines {
    /// Longer lines are refused.
    let maximumLineLength: Int
    private var partial: [UInt8] = []

    init(maximumLineLength: Int = 64 << 20) {
        self.maximumLineLength = maximumLineLength
    }

    /// The lines that `chunk` completes, without empty ones.
    mutating func append(_ chunk: some Sequence<UInt8>) throws(StatusError) -> [[UInt8]] {
        var lines: [[UInt8]] = []
        for byte in chunk {
            guard byte != UInt8(ascii: "\n") else {
                if !partial.isEmpty { lines.append(partial) }
                partial.removeAll(keepingCapacity: true)
                continue
            }
            partial.append(byte)
        }
        guard partial.count <= maximumLineLength else {
            throw .internalError("a line of the answer is longer than \(maximumLineLength) bytes")
        }
        return lines
    }

    /// What was left when the stream ended; a cut line when the connection broke.
    var hasPartialLine: Bool { !partial.isEmpty }
}

extension WatchEvent {
    /// Reads one line of a watch: `{"type":"ADDED","object":{…}}`. An `ERROR` event is thrown as its status.
    init(line: [UInt8]) throws {
        let event = try JSON(parsing: line)
        let object = event["object"] ?? [:]
        switch event["type"]?.string {
        case "ADDED": self = .added(object)
        case "MODIFIED": self = .modified(object)
        case "DELETED": self = .deleted(object)
        case "BOOKMARK": self = .bookmark(resourceVersion: object["metadata", "resourceVersion"]?.string ?? "")
        case "ERROR": throw StatusError(code: object["code"]?.int ?? 500, body: object.encoded())
        case let type: throw StatusError.internalError("the watch sent an event of unknown type \"\(type ?? "")\"")
        }
    }
}
