package import Logging
import Synchronization

/// Keys that wait to be worked on: the driver of every controller.
///
/// Each key waits at most once and is worked on by one worker at a time; adding it meanwhile makes it come again afterwards. Work that
/// throws comes again after a time that doubles per key from 5 ms to `maximumBackoff`. The queue holds no more than the keys that exist.
package final class WorkQueue<Key: Hashable & Sendable>: Sendable {
    private let name: String
    private let logger: Logger
    private let stopwatch: Stopwatch
    private let state: Mutex<WorkQueueState<Key>>
    private let wakeUps: AsyncStream<Void>
    private let wakeUp: AsyncStream<Void>.Continuation

    package init(
        _ name: String,
        logger: Logger,
        initialBackoff: Duration = .milliseconds(5),
        maximumBackoff: Duration = .seconds(60),
        clock: any Clock<Duration> = ContinuousClock()
    ) {
        self.name = name
        self.logger = logger
        stopwatch = Stopwatch(clock)
        state = Mutex(WorkQueueState(initialDelay: initialBackoff, maximumDelay: maximumBackoff))
        // One pending wake-up says as much as many.
        (wakeUps, wakeUp) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    package func add(_ key: Key) {
        state.withLock { $0.add(key) }
        wakeUp.yield()
    }

    /// Adds `key` when `delay` is over, or at the earlier time that it already waits for.
    package func add(_ key: Key, after delay: Duration) {
        guard delay > .zero else { return add(key) }
        let time = stopwatch.elapsed + delay
        state.withLock { $0.add(key, at: time) }
        wakeUp.yield()
    }

    /// Keys that wait, now or for their time.
    package var count: Int { state.withLock { $0.count } }

    /// Nothing waits and nothing is in work.
    package var isIdle: Bool { state.withLock { $0.isIdle } }

    /// Works on keys, `workers` at a time, until the task is cancelled. Runs once in the life of a queue.
    package func run(workers: Int = 4, process: @escaping @Sendable (Key) async throws -> Void) async {
        wakeUp.yield()
        await withDiscardingTaskGroup { group in
            for await _ in wakeUps {
                while let key = begin(limit: workers) {
                    group.addTask { await self.work(on: key, process) }
                }
                if let time = state.withLock({ $0.armTimer() }) {
                    group.addTask { await self.wait(until: time) }
                }
            }
            group.cancelAll()
        }
    }

    // MARK: - Private

    private func begin(limit: Int) -> Key? {
        let now = stopwatch.elapsed
        return state.withLock { $0.begin(now: now, limit: limit) }
    }

    @concurrent
    private func work(on key: Key, _ process: @Sendable (Key) async throws -> Void) async {
        var succeeded = true
        do {
            try await process(key)
        } catch {
            succeeded = Task.isCancelled
            if !succeeded {
                logger.debug("Work failed", metadata: ["queue": "\(name)", "key": "\(key)", "error": "\(error)"])
            }
        }
        let now = stopwatch.elapsed
        state.withLock { $0.finish(key, succeeded: succeeded, now: now) }
        wakeUp.yield()
    }

    private func wait(until time: Duration) async {
        try? await stopwatch.sleep(until: time)
        state.withLock { $0.timerEnded(at: time) }
        wakeUp.yield()
    }
}
