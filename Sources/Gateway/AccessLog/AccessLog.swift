import CLinux
import Glibc
import Synchronization

/// Brings the lines that workers note to a file, on a thread of its own.
///
/// Workers never wait: each has a ring of fixed size, and a line that finds no room there is dropped and counted. Lines reach the file
/// within ``longestDelay``; those of one worker in order. A file that cannot be written loses its lines, which are counted, too.
final class AccessLog: @unchecked Sendable {
    // Safe to share: the rings are made for two threads each, the rest is atomic or belongs to the writing thread.

    static let longestDelay: Int32 = 100

    private let settings: AccessLogSettings
    private let rings: [AccessLogRing]
    private let wakeup: Int32
    private let isClosed = Atomic<Bool>(false)
    private let reopens = Atomic<Bool>(false)
    private let lost = Atomic<UInt64>(0)
    private let thread = Mutex<UInt64?>(nil)

    /// Opens the file and starts the thread.
    init(_ settings: AccessLogSettings, workers: Int) throws {
        self.settings = settings
        let file = try Self.open(settings.path)
        let wakeup = clinux_eventfd_create()
        guard wakeup >= 0 else {
            _ = clinux_close(file)
            throw GatewayError("cannot make an event descriptor", errno: -wakeup)
        }
        self.wakeup = wakeup
        rings = (0..<workers).map { _ in AccessLogRing(capacity: settings.bufferSize, wakeup: wakeup) }
        var started: UInt64 = 0
        let context = Unmanaged.passRetained(Run(log: self, file: file))
        let result = clinux_thread_start(
            &started,
            "access-log",
            { Unmanaged<Run>.fromOpaque($0!).takeRetainedValue().run() },
            context.toOpaque()
        )
        guard result == 0 else {
            context.release()
            _ = clinux_close(file)
            throw GatewayError("cannot start the thread of the access log", errno: -result)
        }
        thread.withLock { $0 = started }
    }

    deinit { _ = clinux_close(wakeup) }

    func writer(worker: Int) -> AccessLogWriter {
        let ring = rings[worker]
        return AccessLogWriter(ring: ring.words, format: settings.format, date: ring.date, line: ring.line)
    }

    /// Lines that were dropped because their ring was full or the file could not be written.
    var dropped: UInt64 { rings.reduce(lost.load(ordering: .relaxed)) { $0 &+ $1.words.dropped } }

    /// Writes what waits and opens the path again: for whoever has moved the file away.
    func reopen() {
        reopens.store(true, ordering: .releasing)
        clinux_eventfd_signal(wakeup)
    }

    /// Writes what waits and ends the thread. Workers must have ended.
    func close() {
        let thread = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        guard let thread else { return }
        isClosed.store(true, ordering: .releasing)
        clinux_eventfd_signal(wakeup)
        _ = clinux_thread_join(thread)
    }

    // MARK: - The writing thread

    private static func open(_ path: String) throws -> Int32 {
        let file = Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
        guard file >= 0 else { throw GatewayError("cannot open the access log \(path)", errno: errno) }
        return file
    }

    private final class Run {
        private let log: AccessLog
        private var file: Int32

        init(log: AccessLog, file: Int32) {
            self.log = log
            self.file = file
        }

        func run() {
            while true {
                let isLast = log.isClosed.load(ordering: .acquiring)
                wait()
                let reopens = log.reopens.exchange(false, ordering: .acquiringAndReleasing)
                for ring in log.rings { write(ring) }
                if reopens { reopen() }
                if isLast { break }
            }
            _ = clinux_close(file)
        }

        private func wait() {
            var waiting = pollfd(fd: log.wakeup, events: Int16(POLLIN), revents: 0)
            if poll(&waiting, 1, AccessLog.longestDelay) > 0 { clinux_eventfd_clear(log.wakeup) }
        }

        /// A path that cannot be opened again keeps the old file: better lines in the wrong place than none.
        private func reopen() {
            guard let next = try? AccessLog.open(log.settings.path) else { return }
            _ = clinux_close(file)
            file = next
        }

        private func write(_ ring: AccessLogRing) {
            while let bytes = ring.readable {
                let written = writeAll(bytes)
                if written < bytes.count { count(lostFrom: bytes.dropFirst(written)) }
                ring.consume(bytes.count)
            }
        }

        private func writeAll(_ bytes: ByteSpan) -> Int {
            var written = 0
            while written < bytes.count {
                let count = Glibc.write(file, bytes.base + written, bytes.count - written)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return written }
                written += count
            }
            return written
        }

        private func count(lostFrom bytes: ByteSpan) {
            var lines: UInt64 = 0
            for index in 0..<bytes.count where bytes[index] == ASCII.lf { lines += 1 }
            log.lost.wrappingAdd(lines, ordering: .relaxed)
        }
    }
}
