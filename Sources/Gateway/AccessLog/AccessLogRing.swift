import CLinux
import Synchronization

/// Bytes on their way from one worker to the thread that writes the log: one writes, one reads, nobody waits.
final class AccessLogRing: @unchecked Sendable {
    // Safe to share: positions are atomic, and each belongs to one of the two threads.

    let words: Words
    // The worker's own:
    let date = LogDate()
    let line = UnsafeMutablePointer<UInt8>.allocate(capacity: AccessLogWriter.longestLine)

    init(capacity: Int, wakeup: Int32) {
        var size = 1 << 16
        while size < capacity { size *= 2 }
        words = Words(
            bytes: .allocate(capacity: size),
            capacity: size,
            positions: .allocate(capacity: 24),
            wakeup: wakeup
        )
        for index in 0..<24 { (words.positions + index).initialize(to: Atomic<UInt64>(0)) }
    }

    deinit {
        for index in 0..<24 { (words.positions + index).deinitialize(count: 1) }
        words.positions.deallocate()
        words.bytes.deallocate()
        date.free()
        line.deallocate()
    }

    /// What waits, as far as it lies in one piece; `nil` when nothing does.
    var readable: ByteSpan? {
        let start = words.read.pointee.load(ordering: .relaxed)
        let end = words.written.pointee.load(ordering: .acquiring)
        guard start < end else { return nil }
        let offset = Int(start) & (words.capacity - 1)
        return ByteSpan(words.bytes + offset, min(Int(end - start), words.capacity - offset))
    }

    func consume(_ count: Int) {
        words.read.pointee.store(words.read.pointee.load(ordering: .relaxed) + UInt64(count), ordering: .releasing)
    }

    /// The worker's side.
    struct Words: BitwiseCopyable {
        fileprivate let bytes: UnsafeMutablePointer<UInt8>
        /// A power of two.
        fileprivate let capacity: Int
        // The two positions lie in cache lines of their own.
        fileprivate let positions: UnsafeMutablePointer<Atomic<UInt64>>
        fileprivate let wakeup: Int32

        fileprivate var written: UnsafeMutablePointer<Atomic<UInt64>> { positions }
        fileprivate var read: UnsafeMutablePointer<Atomic<UInt64>> { positions + 8 }
        private var drops: UnsafeMutablePointer<Atomic<UInt64>> { positions + 16 }

        var dropped: UInt64 { drops.pointee.load(ordering: .relaxed) }

        /// Appends a line, whole or not at all. Wakes the reader when the ring becomes half full; otherwise the reader looks by itself.
        func append(_ line: ByteSpan) {
            let end = written.pointee.load(ordering: .relaxed)
            let before = Int(end - read.pointee.load(ordering: .acquiring))
            guard line.count <= capacity - before else {
                drops.pointee.store(dropped + 1, ordering: .relaxed)
                return
            }
            let offset = Int(end) & (capacity - 1)
            let first = min(line.count, capacity - offset)
            (bytes + offset).update(from: line.base, count: first)
            bytes.update(from: line.base + first, count: line.count - first)
            written.pointee.store(end + UInt64(line.count), ordering: .releasing)
            if before < capacity / 2, before + line.count >= capacity / 2 { clinux_eventfd_signal(wakeup) }
        }
    }
}

/// A worker's way to the log: plain, so that it costs no reference counting.
struct AccessLogWriter: BitwiseCopyable {
    /// More bytes than a line can have.
    static let longestLine = 24 * 1024

    let ring: AccessLogRing.Words
    let format: AccessLogSettings.Format
    let date: LogDate
    /// Where lines are laid out.
    let line: UnsafeMutablePointer<UInt8>
}
