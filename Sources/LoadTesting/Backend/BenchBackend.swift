import CLinux
import Synchronization

/// A server of known capacity for load tests to run against: its service time, concurrency, errors and stalls are settings.
///
/// It answers every path. Paths below `/-/` are special, see ``BackendRoute``. With several threads each has its part of the
/// concurrency, so that the capacity is what the settings say.
package final class BenchBackend: Sendable {
    package let port: Int
    private let control: BackendControl
    private let threads: Mutex<[UInt64]>

    /// Binds and starts to serve.
    /// - Parameter port: zero takes a free one; see ``port``.
    package init(
        host: String = "127.0.0.1",
        port: Int = 0,
        threads: Int = 1,
        settings: BackendSettings = .init()
    ) throws {
        var address = clinux_address()
        guard let number = UInt16(exactly: port), clinux_parse_address(host, number, &address) == 0 else {
            throw LoadError("cannot listen on \(host):\(port): give a numeric address and a port up to 65535")
        }
        control = try BackendControl(settings, threads: threads)
        var started: [UInt64] = []
        for number in 0..<threads {
            let listener = clinux_listen(&address, 4096)
            guard listener >= 0 else { throw LoadError("cannot listen on \(host):\(port)", errno: -listener) }
            _ = clinux_local_address(listener, &address)  // further sockets share the port that was found
            let loop = try BackendLoop(number: number, listener: listener, control: control)
            started.append(try BackendThread(loop).start(name: "backend-\(number)"))
        }
        self.port = Int(address.port)
        self.threads = Mutex(started)
    }

    deinit { stop() }

    package var settings: BackendSettings {
        get { control.settings }
        set { control.set(newValue) }
    }

    package var statistics: BackendStatistics { control.statistics }

    /// Closes everything and ends the threads.
    package func stop() {
        let threads = threads.withLock { threads in
            defer { threads = [] }
            return threads
        }
        guard !threads.isEmpty else { return }
        control.stop()
        for thread in threads { _ = clinux_thread_join(thread) }
    }
}

/// What the threads of a back end share.
final class BackendControl: Sendable {
    private struct State {
        var settings: BackendSettings
        var statistics: [BackendStatistics]
    }

    let threads: Int
    private let state: Mutex<State>
    private let version = Atomic(0)
    private let stopped = Atomic(false)
    private let wakeups: [Int32]

    init(_ settings: BackendSettings, threads: Int) throws {
        self.threads = threads
        wakeups = (0..<threads).map { _ in clinux_eventfd_create() }
        if let failed = wakeups.first(where: { $0 < 0 }) { throw LoadError("cannot make an event", errno: -failed) }
        let statistics = Array(repeating: BackendStatistics(), count: threads)
        state = Mutex(State(settings: settings, statistics: statistics))
    }

    deinit { for wakeup in wakeups { _ = clinux_close(wakeup) } }

    func wakeup(of thread: Int) -> Int32 { wakeups[thread] }

    var isStopped: Bool { stopped.load(ordering: .relaxed) }

    /// Counts the changes of ``settings``.
    var currentVersion: Int { version.load(ordering: .acquiring) }

    var settings: BackendSettings { state.withLock(\.settings) }

    func set(_ settings: BackendSettings) {
        state.withLock { $0.settings = settings }
        changed()
    }

    func apply(_ query: String) throws {
        try state.withLock { state in
            var changed = state.settings
            changed.stall = 0  // a stall begins with the change that names it
            try changed.apply(query)
            state.settings = changed
        }
        changed()
    }

    var statistics: BackendStatistics {
        state.withLock { state in
            state.statistics.reduce(into: BackendStatistics()) { sum, each in
                sum.connections += each.connections
                sum.requests += each.requests
                sum.inService += each.inService
                sum.waiting += each.waiting
                sum.mostWaiting += each.mostWaiting
                sum.refused += each.refused
            }
        }
    }

    func publish(_ statistics: BackendStatistics, of thread: Int) {
        state.withLock { $0.statistics[thread] = statistics }
    }

    func stop() {
        stopped.store(true, ordering: .relaxed)
        for wakeup in wakeups { clinux_eventfd_signal(wakeup) }
    }

    private func changed() {
        version.wrappingAdd(1, ordering: .releasing)
        for wakeup in wakeups { clinux_eventfd_signal(wakeup) }
    }
}

/// Runs a loop on a thread of its own.
final class BackendThread {
    private var loop: BackendLoop

    init(_ loop: consuming BackendLoop) { self.loop = loop }

    /// The thread, to be joined by `clinux_thread_join`.
    func start(name: String) throws -> UInt64 {
        var thread: UInt64 = 0
        let context = Unmanaged.passRetained(self)
        let error = clinux_thread_start(
            &thread,
            name,
            { Unmanaged<BackendThread>.fromOpaque($0!).takeRetainedValue().loop.run() },
            context.toOpaque()
        )
        guard error == 0 else {
            context.release()
            throw LoadError("cannot start a thread", errno: -error)
        }
        return thread
    }
}
