import Foundation
import Synchronization

/// Clients that send requests one after the other until stopped, every second one with a fresh connection for each request.
final class Load: Sendable {
    struct Result: Sendable {
        var answers = 0
        var failures: [String] = []
    }

    private struct State {
        var result = Result()
        var running: Int
        var isStopped = false
    }

    private let state: Mutex<State>

    init(port: Int, path: String = "/", clients: Int) {
        state = Mutex(State(running: clients))
        for number in 0..<clients {
            Thread.detachNewThread { self.run(port, path, isKept: number % 2 == 0) }
        }
    }

    /// Waits for all clients to finish their request.
    func stop() async -> Result {
        state.withLock { $0.isStopped = true }
        while state.withLock({ $0.running > 0 }) { try? await Task.sleep(for: .milliseconds(2)) }
        return state.withLock(\.result)
    }

    var answers: Int { state.withLock(\.result.answers) }

    private func run(_ port: Int, _ path: String, isKept: Bool) {
        var kept: RawConnection?
        while !state.withLock(\.isStopped) {
            do {
                let client = try isKept ? kept ?? RawConnection(port: port) : RawConnection(port: port)
                kept = client
                let answer = try client.exchange(get(path))
                if answer["Connection"] == "close" { kept = nil }
                state.withLock { state in
                    if answer.status == 200 {
                        state.result.answers += 1
                    } else {
                        state.result.failures.append("\(answer.startLine): \(answer.text)")
                    }
                }
            } catch {
                kept = nil
                state.withLock { $0.result.failures.append("\(error)") }
            }
        }
        state.withLock { $0.running -= 1 }
    }
}
