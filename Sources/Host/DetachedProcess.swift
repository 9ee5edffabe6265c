import CLinux
import Foundation
package import SystemPackage

/// A program that lives on when the process that started it dies: its own session, output in a log file, and a pid file by which the
/// next process finds it again.
///
/// The pid file holds pid and start time, so that a reused pid is never mistaken for the program.
package struct DetachedProcess: Hashable, Sendable {
    package let pid: Int32
    /// Clock ticks after boot, field 22 of `/proc/PID/stat`.
    package let startTime: UInt64

    package struct Command: Hashable, Sendable {
        package var program: FilePath
        package var arguments: [String]
        package var environment: [String: String]

        package init(program: FilePath, arguments: [String], environment: [String: String]) {
            self.program = program
            self.arguments = arguments
            self.environment = environment
        }
    }

    /// The live process that `pidFile` names, or `nil`.
    package static func find(pidFile: FilePath) -> DetachedProcess? {
        guard let text = try? String(contentsOfFile: pidFile.string, encoding: .utf8) else { return nil }
        let fields = text.split(whereSeparator: \.isWhitespace)
        guard fields.count == 2, let pid = pid_t(fields[0]), let startTime = UInt64(fields[1]) else { return nil }
        let process = DetachedProcess(pid: pid, startTime: startTime)
        return process.isRunning ? process : nil
    }

    /// Returns when nothing is left of the process that `pidFile` names, at the latest after `deadline`. A process that was killed
    /// counts as ended before its last thread is, which still holds its ports while it waits for the disk.
    package static func waitUntilReleased(pidFile: FilePath, within deadline: Duration = .seconds(10)) async throws {
        guard let text = try? String(contentsOfFile: pidFile.string, encoding: .utf8),
            let pid = text.split(separator: " ").first.flatMap({ pid_t($0) })
        else { return }
        let end = ContinuousClock.now + deadline
        while find(pidFile: pidFile) == nil, hasThreads(pid), ContinuousClock.now < end {
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    /// Whether threads go on without the first one, as only those of a process that ends do.
    private static func hasThreads(_ pid: pid_t) -> Bool {
        let threads = try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")
        guard let threads, threads.count > 1 else { return false }
        let stat = (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)) ?? ""
        return stat.contains(") Z ")
    }

    /// Starts `command` and records it; returns once the program is being executed.
    /// - Parameter pidFile: `nil` for a program that records itself, with ``recordSelf(pidFile:)``.
    package static func start(_ command: Command, logFile: FilePath, pidFile: FilePath?) throws -> DetachedProcess {
        try FileManager.default.createDirectory(
            atPath: logFile.removingLastComponent().string,
            withIntermediateDirectories: true
        )
        let pid = try spawn(command, logFile: logFile)
        guard let startTime = startTime(of: pid) else {
            throw HostError("\(command.program) ended at once; see \(logFile)")
        }
        let process = DetachedProcess(pid: pid, startTime: startTime)
        if let pidFile { try process.record(pidFile: pidFile) }
        return process
    }

    /// Makes the calling process the one that `pidFile` names.
    package static func recordSelf(pidFile: FilePath) throws {
        guard let startTime = startTime(of: getpid()) else { return }
        try DetachedProcess(pid: getpid(), startTime: startTime).record(pidFile: pidFile)
    }

    private func record(pidFile: FilePath) throws {
        try DurableFile.write(Array("\(pid) \(startTime)\n".utf8), to: pidFile)
    }

    /// Whether the process was started by `command` from the file that is the program now. Arguments of `ignored` at its end do not count.
    package func runs(_ command: Command, ignoring ignored: [String] = []) -> Bool {
        guard let line = try? Data(contentsOf: URL(filePath: "/proc/\(pid)/cmdline")) else { return false }
        var arguments = line.split(separator: 0, omittingEmptySubsequences: false).dropLast()
            .map { String(decoding: $0, as: UTF8.self) }
        if !ignored.isEmpty, arguments.suffix(ignored.count) == ignored[...] { arguments.removeLast(ignored.count) }
        return Array(arguments.dropFirst()) == command.arguments
            && Self.isSameFile("/proc/\(pid)/exe", command.program.string)
    }

    private static func isSameFile(_ left: String, _ right: String) -> Bool {
        var (l, r) = (stat(), stat())
        return stat(left, &l) == 0 && stat(right, &r) == 0 && l.st_dev == r.st_dev && l.st_ino == r.st_ino
    }

    package var isRunning: Bool {
        // A child that ended stays a zombie until it is waited for; for a process that is nobody's child of ours this does nothing.
        _ = waitpid(pid, nil, WNOHANG)
        return Self.startTime(of: pid) == startTime
    }

    package func signal(_ number: CInt) {
        guard isRunning else { return }
        _ = kill(pid, number)
    }

    /// Returns when the process has ended.
    package func waitUntilEnded() async throws {
        while isRunning {
            guard let descriptor = pidDescriptor() else { return }
            defer { close(descriptor) }
            try await ProcessWaiter.waitUntilReadable(descriptor)
        }
    }

    /// Asks the process to end, and ends it by force when it has not within `grace`.
    package func stop(grace: Duration) async {
        signal(SIGTERM)
        let ended = try? await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await waitUntilEnded()
                return true
            }
            group.addTask {
                try await Task.sleep(for: grace)
                return false
            }
            defer { group.cancelAll() }
            return try await group.next() ?? false
        }
        if ended != true {
            signal(SIGKILL)
            try? await waitUntilEnded()
        }
    }

    // MARK: - Private

    private func pidDescriptor() -> CInt? {
        let descriptor = clinux_pidfd_open(pid)
        return descriptor >= 0 ? descriptor : nil
    }

    private static func startTime(of pid: pid_t) -> UInt64? {
        guard let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            let nameEnd = stat.lastIndex(of: ")")
        else { return nil }
        let fields = stat[stat.index(after: nameEnd)...].split(separator: " ")
        guard fields.count > 19, fields[0] != "Z" else { return nil }
        return UInt64(fields[19])
    }

    private static func spawn(_ command: Command, logFile: FilePath) throws -> Int32 {
        let arguments = ([command.program.string] + command.arguments).map { strdup($0) } + [nil]
        let environment = command.environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in arguments + environment { free(text) } }
        let pid = clinux_spawn_detached(command.program.string, arguments, environment, logFile.string)
        guard pid > 0 else { throw HostError("cannot start \(command.program): \(Errno(rawValue: -pid))") }
        return pid
    }
}
