/// Turns the raw output of a job into what its trace shows: secrets masked, length bounded.
///
/// The result depends only on the bytes, not on how they are cut into pieces, so that a trace can be continued after a restart.
struct TraceFilter {
    static let defaultLimit = 4 << 20
    static let mask = Array("[MASKED]".utf8)
    static let minimumSecretLength = 8

    private let secrets: [[UInt8]]
    private let limit: Int
    private var held: [UInt8] = []
    private(set) var length: Int
    private var isTruncated = false

    /// - Parameters:
    ///   - secrets: values to hide; shorter ones than eight bytes are not, as in GitLab.
    ///   - length: bytes that the trace has already.
    init(secrets: some Sequence<String>, length: Int = 0, limit: Int = defaultLimit) {
        let lines = secrets.flatMap { [$0] + $0.split(whereSeparator: \.isNewline).map(String.init) }
        let long = Set(lines.map { Array($0.utf8) }.filter { $0.count >= Self.minimumSecretLength })
        self.secrets = long.sorted { $0.count > $1.count }
        self.length = length
        self.limit = limit
    }

    /// The bytes that may be shown now; the beginning of a possible secret is held back.
    mutating func append(_ bytes: some Collection<UInt8>) -> [UInt8] {
        held += bytes
        return bounded(release(isEnd: false))
    }

    /// The rest.
    mutating func finish() -> [UInt8] {
        bounded(release(isEnd: true))
    }

    private mutating func release(isEnd: Bool) -> [UInt8] {
        guard !secrets.isEmpty else {
            defer { held = [] }
            return held
        }
        var output: [UInt8] = []
        var index = 0
        while index < held.count {
            let rest = held[index...]
            // A longer secret may still come of these bytes, even if a shorter one is complete.
            if !isEnd, secrets.contains(where: { $0.count > rest.count && $0.starts(with: rest) }) { break }
            if let secret = secrets.first(where: { rest.starts(with: $0) }) {
                output += Self.mask
                index += secret.count
            } else {
                output.append(held[index])
                index += 1
            }
        }
        held.removeFirst(index)
        return output
    }

    private mutating func bounded(_ bytes: [UInt8]) -> [UInt8] {
        guard !isTruncated, length < limit || !bytes.isEmpty else { return [] }
        guard length + bytes.count > limit else {
            length += bytes.count
            return bytes
        }
        isTruncated = true
        let kept = Array(bytes.prefix(max(0, limit - length)))
        length += kept.count
        return kept + Array("\n\u{1b}[33;1mJob's log exceeded limit of \(limit) bytes.\u{1b}[0;m\n".utf8)
    }
}
