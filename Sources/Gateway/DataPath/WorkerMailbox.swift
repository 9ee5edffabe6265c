import CLinux
import Synchronization

/// How the other threads speak to a worker: commands in order, and a wake-up.
final class WorkerMailbox: Sendable {
    enum Command: Sendable {
        case adopt(CompiledTable)
        case awaitDrained(DrainTicket)
        /// Accept from this socket, which becomes the worker's own.
        case listen(ListeningSocket)
        /// Close the socket of that number after what waits in its queue is accepted.
        case unlisten(UInt32)
        /// A successor accepts from the same sockets now: accept no more, finish what runs, let idle connections be used once more.
        case handOver(within: UInt64)
        /// Accept no more, finish what runs, end at the latest after that many milliseconds.
        case stop(within: UInt64)
    }

    let wakeup: Int32
    private let commands = Mutex<[Command]>([])
    private let handedBack = Mutex<[CompiledTable]>([])

    init() throws {
        let descriptor = clinux_eventfd_create()
        guard descriptor >= 0 else { throw GatewayError("cannot make an event descriptor", errno: -descriptor) }
        wakeup = descriptor
    }

    deinit { _ = clinux_close(wakeup) }

    func send(_ command: Command) {
        commands.withLock { $0.append(command) }
        clinux_eventfd_signal(wakeup)
    }

    func takeAll() -> [Command] {
        clinux_eventfd_clear(wakeup)
        return commands.withLock { commands in
            let all = commands
            commands = []
            return all
        }
    }

    /// Leaves to others to free what the worker no longer uses: for a large table that takes longer than a request may wait.
    func handBack(_ tables: [CompiledTable]) { handedBack.withLock { $0 += tables } }

    /// Frees what the worker has handed back.
    func freeHandedBack() {
        let tables = handedBack.withLock { tables in
            defer { tables = [] }
            return tables
        }
        withExtendedLifetime(tables) {}
    }
}

/// Waits until nothing is in flight to an address in any worker.
final class DrainTicket: Sendable {
    let address: clinux_address

    private struct State {
        /// Of each worker; `nil` before it has looked.
        var inFlight: [Int?]
        var waiter: CheckedContinuation<Void, Never>?
        var isOver = false
    }

    private let state: Mutex<State>

    init(address: clinux_address, workers: Int) {
        self.address = address
        state = Mutex(State(inFlight: Array(repeating: nil, count: workers)))
    }

    /// Requests that are known to be in flight; workers that have not looked yet count one.
    var inFlight: Int { state.withLock { $0.inFlight.reduce(0) { $0 + ($1 ?? 1) } } }

    /// Nobody waits any more: workers may forget the ticket.
    var isOver: Bool { state.withLock(\.isOver) }

    func report(worker: Int, inFlight: Int) {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.inFlight[worker] = inFlight
            guard state.inFlight.allSatisfy({ $0 == 0 }) else { return nil }
            state.isOver = true
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Returns when everything is drained or ``giveUp()`` was called.
    func wait() async {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                if !state.isOver { state.waiter = continuation }
                return state.isOver
            }
            if isOver { continuation.resume() }
        }
    }

    func giveUp() {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.isOver = true
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }
}
