import CLinux
import Synchronization

/// The flag that ends a test early; any thread may set it.
final class StopFlag: Sendable {
    private let flag = Atomic(false)

    var isSet: Bool { flag.load(ordering: .relaxed) }

    func set() { flag.store(true, ordering: .relaxed) }
}

/// What a generator thread says to the collector.
enum GeneratorMessage: Sendable {
    /// The accounts of a second, one for each class. Seconds come in order, none is left out.
    case second(thread: Int, number: Int, tallies: [Tally])
    /// Nothing more comes from this thread. Nanoseconds of processor time, and from the start of the test to the last request offered;
    /// why the first TLS handshake that failed did so.
    case finished(processorTime: UInt64, offeringTime: UInt64, problem: String?)
}

/// Messages on their way to the collector. Unlike an `AsyncStream` it goes on delivering when the collecting task is cancelled: the
/// report of a test that was cancelled is complete.
final class GeneratorMailbox: Sendable {
    private struct State {
        // Holds at most a message a second and thread; the collector has nothing else to do.
        var messages: [GeneratorMessage] = []
        var waiter: CheckedContinuation<GeneratorMessage, Never>?
    }

    private let state = Mutex(State())

    func send(_ message: GeneratorMessage) {
        let waiter = state.withLock { state -> CheckedContinuation<GeneratorMessage, Never>? in
            if state.waiter == nil { state.messages.append(message) }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: message)
    }

    /// The next message; only one task may wait for it.
    func next() async -> GeneratorMessage {
        await withCheckedContinuation { continuation in
            let message = state.withLock { state -> GeneratorMessage? in
                guard state.messages.isEmpty else { return state.messages.removeFirst() }
                state.waiter = continuation
                return nil
            }
            if let message { continuation.resume(returning: message) }
        }
    }
}

/// A generator thread's way out.
struct GeneratorLink: Sendable {
    let thread: Int
    let stop: StopFlag
    let mailbox: GeneratorMailbox

    var isStopped: Bool { stop.isSet }

    func send(second: Int, tallies: [Tally]) {
        mailbox.send(.second(thread: thread, number: second, tallies: tallies))
    }

    func finish(processorTime: UInt64, offeringTime: UInt64, problem: String?) {
        mailbox.send(.finished(processorTime: processorTime, offeringTime: offeringTime, problem: problem))
    }
}

/// Runs a generator on a thread of its own.
final class GeneratorThread {
    private var generator: Generator

    init(_ generator: consuming Generator) { self.generator = generator }

    /// The thread, to be joined by `clinux_thread_join`.
    func start(name: String) throws -> UInt64 {
        var thread: UInt64 = 0
        let context = Unmanaged.passRetained(self)
        let error = clinux_thread_start(
            &thread,
            name,
            { Unmanaged<GeneratorThread>.fromOpaque($0!).takeRetainedValue().generator.run() },
            context.toOpaque()
        )
        guard error == 0 else {
            context.release()
            throw LoadError("cannot start a thread", errno: -error)
        }
        return thread
    }
}
