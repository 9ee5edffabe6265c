import Hummingbird
import NIOCore
import Synchronization

/// The text that a client sees of long work while it is done.
///
/// Holds at most 1 MiB that the client has not read yet; what does not fit is left out, and the text says so.
final class ProgressOutput: Sendable {
    static let limit = 1 << 20

    private struct State {
        var waiting: [UInt8] = []
        var leftOut = 0
        var isFinished = false
        var isAbandoned = false

        mutating func take() -> [UInt8]? {
            var part = waiting
            waiting = []
            if leftOut > 0 {
                part += Array("\n… \(leftOut) bytes left out: the reader was too slow\n".utf8)
                leftOut = 0
            }
            return part.isEmpty ? nil : part
        }
    }

    private let state = Mutex(State())
    private let wakeUps: AsyncStream<Void>
    private let wakeUp: AsyncStream<Void>.Continuation

    init() {
        (wakeUps, wakeUp) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func line(_ text: String) { write(Array(text.utf8) + [UInt8(ascii: "\n")]) }

    func write(_ bytes: [UInt8]) {
        state.withLock { state in
            if state.waiting.count + bytes.count <= Self.limit {
                state.waiting += bytes
            } else {
                state.leftOut += bytes.count
            }
        }
        wakeUp.yield()
    }

    /// Nothing more will be written.
    func finish() {
        state.withLock { $0.isFinished = true }
        wakeUp.finish()
    }

    /// Nobody reads any more.
    func abandon() {
        state.withLock { $0.isAbandoned = true }
        wakeUp.finish()
    }

    /// What was written since the last call, as soon as there is something; `nil` after ``finish()``. Throws when the output is
    /// abandoned.
    func next() async throws -> [UInt8]? {
        while true {
            let (part, isFinished) = try state.withLock { state in
                if state.isAbandoned { throw CancellationError() }
                return (state.take(), state.isFinished)
            }
            if let part { return part }
            if isFinished { return nil }
            var iterator = wakeUps.makeAsyncIterator()
            _ = await iterator.next()
            try Task.checkCancellation()
        }
    }
}

extension Response {
    /// Does `work` while the client reads what it writes, and ends with the line `sampan-exit-code: N`. The work is cancelled when
    /// the client goes away.
    static func streamed(
        _ request: Request,
        _ work: @escaping @Sendable (RequestBody, ProgressOutput) async throws -> Int
    ) -> Response {
        let body = ResponseBody { writer in
            let output = ProgressOutput()
            try await request.body.consumeWithInboundCloseHandler { body in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { await perform(work, body, output) }
                    while let part = try await output.next() { try await writer.write(ByteBuffer(bytes: part)) }
                }
            } onInboundClosed: {
                output.abandon()
            }
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: [.contentType: "text/plain; charset=utf-8"], body: body)
    }

    private static func perform(
        _ work: @Sendable (RequestBody, ProgressOutput) async throws -> Int,
        _ body: RequestBody,
        _ output: ProgressOutput
    ) async {
        var code = 1
        do {
            code = try await work(body, output)
        } catch is CancellationError {
            output.line("cancelled")
        } catch {
            output.line("error: \(error)")
        }
        output.line("sampan-exit-code: \(code)")
        output.finish()
    }
}
