import Glibc

/// Finds the end of a body in a stream of bytes (RFC 9112 §6.3).
struct BodyReader: BitwiseCopyable {
    enum Kind: UInt8 { case none, length, chunked, untilClose }

    // In this order the two fit into 18 bytes: there are two of them in each connection.
    private var chunks = ChunkScanner()
    private(set) var kind: Kind
    private(set) var isComplete: Bool

    init(_ kind: Kind = .none) {
        self.kind = kind
        isComplete = kind == .none
    }

    init(length: UInt64) {
        kind = .length
        chunks.remaining = length
        isComplete = length == 0
    }

    /// The length that the head told of a body that has not begun; zero for chunked ones.
    var announcedLength: UInt64 { chunks.remaining }

    /// Takes bytes of the body; returns how many belong to it. The rest starts the next message.
    mutating func consume(_ bytes: ByteSpan) throws(HeadFault) -> Int {
        switch kind {
        case .none: return 0
        case .untilClose: return bytes.count
        case .length:
            let taken = Swift.min(chunks.remaining, UInt64(bytes.count))
            chunks.remaining -= taken
            isComplete = chunks.remaining == 0
            return Int(taken)
        case .chunked:
            let progress = try chunks.scan(bytes, decodingInto: nil)
            isComplete = chunks.isComplete
            return progress.consumed
        }
    }

    /// As ``consume(_:)`` for a chunked body, and moves its data to the front of `bytes`, free of the chunks' framing.
    mutating func decode(
        _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int
    ) throws(HeadFault) -> (consumed: Int, produced: Int) {
        let progress = try chunks.scan(ByteSpan(bytes, count), decodingInto: bytes)
        isComplete = chunks.isComplete
        return progress
    }
}

/// Reads the chunked coding byte by byte, strictly: no white space, no bare line feeds, bounded extensions and trailers.
struct ChunkScanner: BitwiseCopyable {
    static let maximumExtension = 1024
    static let maximumTrailers = 8 * 1024

    private enum State: UInt8 {
        case sizeStart, size, extensionStart, chunkExtension, sizeFeed, data, dataReturn, dataFeed
        case trailerStart, trailerName, trailerValue, trailerFeed, endFeed, done
    }

    /// Of the chunk's data; of the whole body where that is framed by its length.
    fileprivate var remaining: UInt64 = 0
    /// Of the trailer's name read so far.
    private var nameHash = FieldNameHash()
    private var overhead: UInt16 = 0
    private var state = State.sizeStart
    private var digits: UInt8 = 0

    var isComplete: Bool { state == .done }

    mutating func scan(
        _ bytes: ByteSpan,
        decodingInto output: UnsafeMutablePointer<UInt8>?
    ) throws(HeadFault) -> (consumed: Int, produced: Int) {
        var index = 0
        var produced = 0
        while index < bytes.count, state != .done {
            guard state == .data else {
                try step(bytes[index])
                index += 1
                continue
            }
            let run = Int(Swift.min(remaining, UInt64(bytes.count - index)))
            if let output {
                memmove(output + produced, bytes.base + index, run)
                produced += run
            }
            remaining -= UInt64(run)
            index += run
            if remaining == 0 { state = .dataReturn }
        }
        return (index, produced)
    }

    private mutating func step(_ byte: UInt8) throws(HeadFault) {
        switch state {
        case .sizeStart, .size: try stepSize(byte)
        case .extensionStart, .chunkExtension:
            // A name must follow the semicolon (RFC 9112 §7.1.1).
            if state == .chunkExtension, byte == ASCII.cr {
                state = .sizeFeed
            } else {
                try countOverhead(byte, limit: Self.maximumExtension)
                state = .chunkExtension
            }
        case .sizeFeed:
            try expect(byte, ASCII.lf)
            overhead = 0
            state = remaining == 0 ? .trailerStart : .data
        case .dataReturn: try expect(byte, ASCII.cr, then: .dataFeed)
        case .dataFeed:
            try expect(byte, ASCII.lf)
            digits = 0
            state = .sizeStart
        case .trailerStart, .trailerName, .trailerValue: try stepTrailer(byte)
        case .trailerFeed: try expect(byte, ASCII.lf, then: .trailerStart)
        case .endFeed: try expect(byte, ASCII.lf, then: .done)
        case .data, .done: preconditionFailure("Data and what follows the body are not stepped through.")
        }
    }

    private mutating func stepSize(_ byte: UInt8) throws(HeadFault) {
        let digit = ASCII.hexadecimalValue(byte)
        if digit < 16 {
            guard digits < 15 else { throw .malformedChunk }
            remaining = (state == .sizeStart ? 0 : remaining << 4) | UInt64(digit)
            digits += 1
            state = .size
        } else if state == .size, byte == ASCII.cr {
            state = .sizeFeed
        } else if state == .size, byte == UInt8(ascii: ";") {
            state = .extensionStart
        } else {
            throw .malformedChunk
        }
    }

    private mutating func stepTrailer(_ byte: UInt8) throws(HeadFault) {
        switch state {
        case .trailerStart where byte == ASCII.cr: state = .endFeed
        case .trailerName where byte == ASCII.colon:
            guard !nameHash.isForbiddenInTrailers else { throw .malformedChunk }
            state = .trailerValue
        case .trailerStart, .trailerName:
            guard ASCII.isToken(byte) else { throw .malformedChunk }
            try countOverhead(byte, limit: Self.maximumTrailers)
            if state == .trailerStart { nameHash = FieldNameHash() }
            nameHash.add(byte)
            state = .trailerName
        default:
            if byte == ASCII.cr {
                state = .trailerFeed
            } else {
                try countOverhead(byte, limit: Self.maximumTrailers)
            }
        }
    }

    private mutating func countOverhead(_ byte: UInt8, limit: Int) throws(HeadFault) {
        guard byte >= 0x20 && byte != 0x7F || byte == ASCII.tab, Int(overhead) < limit else { throw .malformedChunk }
        overhead += 1
    }

    private mutating func expect(_ byte: UInt8, _ wanted: UInt8, then next: State? = nil) throws(HeadFault) {
        guard byte == wanted else { throw .malformedChunk }
        if let next { state = next }
    }
}

/// Tells names of fields apart that arrive byte by byte, without keeping them (FNV-1a over lower case). Names that share a hash with a
/// forbidden one are refused with it.
private struct FieldNameHash: BitwiseCopyable {
    private var value: UInt32 = 0x811C_9DC5

    mutating func add(_ byte: UInt8) {
        value = (value ^ UInt32(ASCII.lowercased(byte))) &* 0x0100_0193
    }

    /// RFC 9110 §6.5.1: fields of framing, routing and the connection, which a server that merges trailers into the head would obey.
    var isForbiddenInTrailers: Bool {
        isOf("content-length") || isOf("transfer-encoding") || isOf("host") || isOf("connection") || isOf("upgrade")
            || isOf("te") || isOf("expect")
    }

    private func isOf(_ name: StaticString) -> Bool {
        var other = FieldNameHash()
        for index in 0..<name.utf8CodeUnitCount { other.add(name.utf8Start[index]) }
        return value == other.value
    }
}
