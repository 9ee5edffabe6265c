import Hummingbird
import NIOCore
import Subprocess

/// What is left of a request body, after its front was read.
///
/// `@unchecked Sendable`: the iterator is handed from the task that reads the front to the one task that pumps the rest; the
/// first never touches it again, so no two tasks use it at one time.
final class BodyReader: @unchecked Sendable {
    private var iterator: RequestBody.AsyncIterator
    private var front: [UInt8] = []

    init(_ body: RequestBody) {
        iterator = body.makeAsyncIterator()
    }

    func next() async throws -> [UInt8]? {
        if !front.isEmpty {
            defer { front = [] }
            return front
        }
        guard let buffer = try await iterator.next() else { return nil }
        return Array(buffer.readableBytesView)
    }

    /// Reads until `parse` finds what it needs at the front of the body; what was read comes again from `next`.
    func peek<Value>(limit: Int, _ parse: ([UInt8]) throws -> Value?) async throws -> Value? {
        while true {
            if let value = try parse(front) { return value }
            guard front.count <= limit else { throw PacketLine.Malformed() }
            guard let buffer = try await iterator.next() else { return nil }
            front += Array(buffer.readableBytesView)
        }
    }
}

/// A git process between a request body and a response body. Both directions stream with back-pressure: no more than a pipe's
/// worth and one chunk each is ever in memory.
struct GitStream {
    /// What becomes of the process when the client is gone.
    enum LostClient {
        /// Its process group is ended: nobody wants the answer.
        case endProcess
        /// Its input ends and it may finish by itself. A git that is ended by a signal would leave its quarantine behind.
        case letFinish
    }

    let configuration: Configuration
    /// The request body; nil gives the process an empty input.
    let input: BodyReader?
    var lostClient = LostClient.endProcess

    struct Outcome: Sendable {
        let status: Int32
        let errorText: String
        /// How many bytes of the response the process wrote.
        let written: Int
    }

    /// Runs the process to its end.
    ///
    /// - Throws: what reading the request or writing the response throws (the client is gone); the process is over before it
    ///   is thrown.
    @concurrent
    func run(writingTo writer: inout any ResponseBodyWriter) async throws -> Outcome {
        var loss: (any Error)?
        let result = try await Subprocess.run(
            configuration,
            input: .inputWriter,
            output: .sequence,
            error: .string(limit: 1 << 20)
        ) { execution in
            try await withThrowingTaskGroup(of: Void.self) { group in
                let (input, standardInput) = (input, execution.standardInputWriter)
                group.addTask { try await Self.pump(input, into: standardInput) }
                var written = 0
                for try await chunk in execution.standardOutput {
                    written += chunk.count
                    guard loss == nil else { continue }
                    do {
                        try await writer.write(chunk.withUnsafeBytes { ByteBuffer(bytes: $0) })
                    } catch {
                        guard lostClient == .letFinish else { throw error }
                        loss = error
                        group.cancelAll()
                    }
                }
                do { try await group.waitForAll() } catch { loss = loss ?? error }
                return written
            }
        }
        if let loss { throw loss }
        return Outcome(
            status: result.terminationStatus.exitCode,
            errorText: result.standardError,
            written: result.closureResult
        )
    }

    // MARK: - Private

    private static func pump(_ input: BodyReader?, into standardInput: StandardInputWriter) async throws {
        do {
            try await copy(input, into: standardInput)
        } catch {
            // The client is gone. At the end of its input git gives up by itself and cleans up after itself.
            try? await standardInput.finish()
            throw error
        }
        try await standardInput.finish()
    }

    private static func copy(_ input: BodyReader?, into standardInput: StandardInputWriter) async throws {
        var isOpen = true
        while let bytes = try await input?.next() {
            guard isOpen else { continue }
            do {
                _ = try await standardInput.write(bytes)
            } catch {
                // git stopped listening. The client only reads the reason after it sent everything, so read on.
                isOpen = false
            }
        }
    }
}
