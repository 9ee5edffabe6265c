import CLinux
import Foundation
import Synchronization

/// Tells when files may have changed.
///
/// A file that was renamed into place or closed by its writer is told at once (inotify); every other change, as of a file behind a
/// changed link or on a file system that tells nothing, within two looks, 250 ms: a file that is being written counts once it has rested.
final class FileWatch: Sendable {
    private static let restMilliseconds: Int32 = 100

    /// The first file is the one whose folder is watched; the others are only looked at.
    private let files: Mutex<[String]>
    private let wakeup: Int32
    private let orders = Mutex(Orders())
    /// The files as they were last told.
    private let told: Mutex<[Signature]>

    /// Changes from now on are told by ``run(onChange:)``, whenever that begins.
    init(_ file: String) throws {
        files = Mutex([file])
        told = Mutex(Self.signatures([file]))
        wakeup = clinux_eventfd_create()
        guard wakeup >= 0 else { throw GatewayError("cannot make an event descriptor", errno: -wakeup) }
    }

    deinit { _ = clinux_close(wakeup) }

    /// Looks at these files, too.
    func include(_ others: [String]) {
        let all = files.withLock { files in
            files = Array(files.prefix(1)) + others
            return files
        }
        told.withLock { $0 = Array($0.prefix(1)) + Self.signatures(all).dropFirst() }
    }

    /// Has ``run(onChange:)`` tell of a change although there may be none.
    func ask() {
        orders.withLock { $0.tellsAnyway = true }
        clinux_eventfd_signal(wakeup)
    }

    /// Ends ``run(onChange:)``.
    func stop() {
        orders.withLock { $0.isStopped = true }
        clinux_eventfd_signal(wakeup)
    }

    /// Calls `onChange` after every change until stopped. Blocks; meant for a thread of its own.
    func run(onChange: () -> Void) {
        let notifier = FolderNotifier(files.withLock { $0[0] })
        defer { notifier?.close() }
        var resting: [Signature]?
        while true {
            var descriptors = [
                pollfd(fd: wakeup, events: Int16(POLLIN), revents: 0),
                pollfd(fd: notifier?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
            ]
            poll(&descriptors, 2, Self.restMilliseconds)
            if descriptors[0].revents != 0 { clinux_eventfd_clear(wakeup) }
            let orders = orders.withLock { $0.take() }
            if orders.isStopped { return }
            let isComplete = descriptors[1].revents != 0 && (notifier?.readNames() ?? false)
            let seen = Self.signatures(files.withLock { $0 })
            if orders.tellsAnyway || isComplete || seen != told.withLock({ $0 }) && seen == resting {
                told.withLock { $0 = seen }
                resting = nil
                onChange()
            } else {
                resting = seen
            }
        }
    }

    // MARK: - Private

    private struct Orders {
        var isStopped = false
        var tellsAnyway = false

        mutating func take() -> Orders {
            defer { tellsAnyway = false }
            return self
        }
    }

    private struct Signature: Equatable {
        var identity = clinux_file_identity()

        static func == (left: Signature, right: Signature) -> Bool {
            let (l, r) = (left.identity, right.identity)
            return l.device == r.device && l.inode == r.inode && l.size == r.size && l.changed == r.changed
        }
    }

    private static func signatures(_ files: [String]) -> [Signature] {
        files.map { file in
            var signature = Signature()
            _ = clinux_identify_file(file, &signature.identity)
            return signature
        }
    }
}

/// The kernel's news of a file in its folder.
private struct FolderNotifier {
    let descriptor: Int32
    private let name: String

    /// `nil` where the kernel cannot watch the folder.
    init?(_ file: String) {
        let slash = file.lastIndex(of: "/")
        name = slash.map { String(file[file.index(after: $0)...]) } ?? file
        let folder = slash.map { $0 == file.startIndex ? "/" : String(file[..<$0]) } ?? "."
        descriptor = inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC))
        guard descriptor >= 0 else { return nil }
        guard inotify_add_watch(descriptor, folder, UInt32(IN_CLOSE_WRITE | IN_MOVED_TO)) >= 0 else {
            Foundation.close(descriptor)
            return nil
        }
    }

    func close() { Foundation.close(descriptor) }

    /// Takes all news; says whether the file is among it.
    func readNames() -> Bool {
        var isNamed = false
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer in
            while true {
                let count = read(descriptor, buffer.baseAddress, buffer.count)
                guard count > 0 else { return }
                var offset = 0
                while offset < count {
                    let event = buffer.load(fromByteOffset: offset, as: inotify_event.self)
                    let start = offset + MemoryLayout<inotify_event>.size
                    let bytes = buffer[start..<start + Int(event.len)].prefix { $0 != 0 }
                    if String(decoding: bytes, as: UTF8.self) == name || event.mask & UInt32(IN_Q_OVERFLOW) != 0 {
                        isNamed = true
                    }
                    offset = start + Int(event.len)
                }
            }
        }
        return isNamed
    }
}
