import Glibc

/// Bytes that wait: what was read and not yet used, or not yet taken by a socket. Memory comes from a ``BufferPool``; an empty buffer
/// holds none.
struct Buffer: BitwiseCopyable {
    fileprivate(set) var base: UnsafeMutablePointer<UInt8>?
    fileprivate(set) var sizeClass: UInt8 = 0
    /// Bytes before `start` are used up.
    var start: Int32 = 0
    var end: Int32 = 0

    @inline(__always) var isEmpty: Bool { start == end }
    @inline(__always) var count: Int { Int(end - start) }
    @inline(__always) var capacity: Int { base == nil ? 0 : BufferPool.size(ofClass: sizeClass) }
    @inline(__always) var room: Int { capacity - Int(end) }

    /// What waits; only for buffers that are not empty.
    @inline(__always) var bytes: ByteSpan { ByteSpan(UnsafePointer(base!) + Int(start), count) }
    /// Where more can be written, `room` bytes.
    @inline(__always) var tail: UnsafeMutablePointer<UInt8> { base! + Int(end) }
}

/// One worker's free lists of buffers in powers of two from 2 KB to 256 KB. Each list keeps a bounded number; the rest goes back to
/// the system.
struct BufferPool: ~Copyable {
    private static let smallestShift = 11
    static let classes = 8
    static let largest = 1 << (smallestShift + classes - 1)

    private let heads: UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>
    private let counts: UnsafeMutablePointer<Int>
    /// Bytes in use and kept, for the metrics.
    private(set) var bytesHeld = 0

    static func size(ofClass sizeClass: UInt8) -> Int { 1 << (smallestShift + Int(sizeClass)) }

    init() {
        heads = .allocate(capacity: Self.classes)
        heads.initialize(repeating: nil, count: Self.classes)
        counts = .allocate(capacity: Self.classes)
        counts.initialize(repeating: 0, count: Self.classes)
    }

    deinit {
        for sizeClass in 0..<Self.classes {
            while let block = heads[sizeClass] {
                heads[sizeClass] = Self.link(block).pointee
                block.deallocate()
            }
        }
        heads.deallocate()
        counts.deallocate()
    }

    /// Makes sure that `buffer` has room for `count` more bytes, moving what waits to the front when that helps.
    /// - Returns: `false` when the buffer would grow beyond ``largest``.
    mutating func reserve(_ count: Int, in buffer: inout Buffer) -> Bool {
        if buffer.room >= count { return true }
        let needed = buffer.count + count
        guard needed <= Self.largest else { return false }
        if needed <= buffer.capacity {
            memmove(buffer.base!, buffer.base! + Int(buffer.start), buffer.count)
        } else {
            var sizeClass: UInt8 = 0
            while Self.size(ofClass: sizeClass) < needed { sizeClass += 1 }
            let block = take(sizeClass)
            if let base = buffer.base {
                memcpy(block, base + Int(buffer.start), buffer.count)
                give(base, buffer.sizeClass)
            }
            buffer.base = block
            buffer.sizeClass = sizeClass
        }
        buffer.end = Int32(buffer.count)
        buffer.start = 0
        return true
    }

    /// - Returns: `false` when the buffer would grow beyond ``largest``; nothing is appended then.
    mutating func append(_ bytes: ByteSpan, to buffer: inout Buffer) -> Bool {
        guard reserve(bytes.count, in: &buffer) else { return false }
        memcpy(buffer.tail, bytes.base, bytes.count)
        buffer.end += Int32(bytes.count)
        return true
    }

    mutating func release(_ buffer: inout Buffer) {
        if let base = buffer.base { give(base, buffer.sizeClass) }
        buffer = Buffer()
    }

    // MARK: - Private

    private mutating func take(_ sizeClass: UInt8) -> UnsafeMutablePointer<UInt8> {
        if let block = heads[Int(sizeClass)] {
            heads[Int(sizeClass)] = Self.link(block).pointee
            counts[Int(sizeClass)] -= 1
            return block
        }
        let size = Self.size(ofClass: sizeClass)
        bytesHeld += size
        return UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16).assumingMemoryBound(to: UInt8.self)
    }

    private mutating func give(_ block: UnsafeMutablePointer<UInt8>, _ sizeClass: UInt8) {
        let size = Self.size(ofClass: sizeClass)
        guard counts[Int(sizeClass)] * size < 1 << 20 else {
            bytesHeld -= size
            block.deallocate()
            return
        }
        Self.link(block).pointee = heads[Int(sizeClass)]
        heads[Int(sizeClass)] = block
        counts[Int(sizeClass)] += 1
    }

    /// A free block's first word holds the next one.
    private static func link(
        _ block: UnsafeMutablePointer<UInt8>
    ) -> UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?> {
        UnsafeMutableRawPointer(block).assumingMemoryBound(to: UnsafeMutablePointer<UInt8>?.self)
    }
}
