import Dispatch
import Synchronization

/// Waits for descriptors that become readable, such as pidfds, without holding a thread of the cooperative pool.
enum ProcessWaiter {
    private static let queue = DispatchQueue(label: "sampan.processes")

    static func waitUntilReadable(_ descriptor: CInt) async throws {
        let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        let stream = AsyncStream<Void>(bufferingPolicy: .bufferingNewest(1)) { continuation in
            source.setEventHandler { continuation.yield() }
            source.setCancelHandler { continuation.finish() }
            source.resume()
        }
        defer { source.cancel() }
        for await _ in stream { return }
        try Task.checkCancellation()
    }
}
