import Foundation
import LoadTesting
import Synchronization

/// Shows a running test: a picture drawn in place on a terminal, a line a second elsewhere. On standard error, so that the output proper
/// can be redirected.
final class LoadScreen: Sendable {
    private struct State {
        var view: LiveView
        /// Lines of the picture that stands there.
        var height = 0
    }

    private let isTerminal = isatty(STDERR_FILENO) == 1 && ProcessInfo.processInfo.environment["TERM"] != "dumb"
    private let state: Mutex<State>

    init(_ plan: LoadPlan) { state = Mutex(State(view: LiveView(plan))) }

    func show(_ second: LoadSecond) {
        guard isTerminal else { return Self.write("\(TextReport.line(second))\n") }
        state.withLock { state in
            state.view.add(second)
            let lines = state.view.lines(width: Self.width)
            // Up to the first line of what stands there, then each line over its predecessor (ECMA-48: CUU, EL).
            let up = state.height > 0 ? "\u{1b}[\(state.height)A" : ""
            Self.write(up + lines.map { "\r\($0)\u{1b}[K\n" }.joined())
            state.height = lines.count
        }
    }

    static func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

    private static var width: Int {
        var size = winsize()
        guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }
}
