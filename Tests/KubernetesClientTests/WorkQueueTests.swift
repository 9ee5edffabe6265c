import KubernetesClient
import Logging
import TestKit
import Testing

struct WorkQueueTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    @Test
    func neverWorksTwiceAtATimeOnAKeyNorOnMoreKeysThanWorkers() async throws {
        struct Seen {
            var running: Set<Int> = []
            var most = 0
            var overlaps = 0
            var done = 0
        }
        let seen = Shared(Seen())
        let queue = WorkQueue<Int>("test", logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                await queue.run(workers: 3) { key in
                    seen.change { seen in
                        if !seen.running.insert(key).inserted { seen.overlaps += 1 }
                        seen.most = max(seen.most, seen.running.count)
                    }
                    await Task.yield()
                    seen.change { seen in
                        seen.running.remove(key)
                        seen.done += 1
                    }
                }
            }
            for round in 0..<2000 { queue.add(round % 7) }
            try await waitUntil("the queue is idle") { queue.isIdle }
            group.cancelAll()
        }
        let result = seen.value
        #expect(result.overlaps == 0)
        #expect(result.most <= 3)
        #expect(result.done >= 7)
    }

    @Test
    func triesFailedWorkAgainAndDelayedWorkInTime() async throws {
        struct Failure: Error {}
        let attempts = Shared<[String: Int]>([:])
        let queue = WorkQueue<String>("test", logger: logger, initialBackoff: .milliseconds(1))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                await queue.run { key in
                    let count = attempts.change { attempts in
                        attempts[key, default: 0] += 1
                        return attempts[key, default: 0]
                    }
                    if key == "fails", count < 4 { throw Failure() }
                }
            }
            queue.add("fails")
            queue.add("late", after: .milliseconds(30))
            queue.add("soon", after: .milliseconds(5))
            try await waitUntil("all work is done") {
                attempts.value == ["fails": 4, "late": 1, "soon": 1]
            }
            group.cancelAll()
        }
        #expect(queue.isIdle)
    }
}
