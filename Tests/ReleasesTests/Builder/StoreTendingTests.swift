import Synchronization
import TestKit
import Testing

@testable import Releases

struct StoreTendingTests {
    @Test func theOldestUnnamedImagesAreGivenUp() throws {
        let list = """
            [{"id": "a", "names": ["localhost/x:build"], "created": 1}, {"id": "b", "names": null, "created": 4},
             {"id": "c", "names": null, "created": 2}, {"id": "d", "names": [], "created": 3}]
            """
        #expect(try StoreTending.excess(list, limit: 2) == ["c"])
        #expect(try StoreTending.excess(list, limit: 0) == ["b", "d", "c"])
        #expect(try StoreTending.excess("[]").isEmpty)
    }

    @Test func aStoreIsTendedAloneAndBeforeItsBuilds() async throws {
        let gate = StoreGate()
        let events = Shared<[String]>([])
        let latch = Shared(false)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<4 {
                group.addTask {
                    try await gate.use("a") {
                        events.change { $0.append("tend") }
                        while !latch.value { await Task.yield() }
                        events.change { $0.append("tended") }
                    } _: {
                        events.change { $0.append("build \(number)") }
                    }
                }
            }
            try await waitUntil("tending") { events.value == ["tend"] }
            // Another store does not wait.
            try await gate.use("b", tend: {}) { events.change { $0.append("other") } }
            latch.change { $0 = true }
            try await group.waitForAll()
        }
        #expect(events.value.prefix(3) == ["tend", "other", "tended"])
        #expect(events.value.count == 7)
    }

    @Test func aKilledBuildMakesTheNextOneTendAgain() async throws {
        let gate = StoreGate()
        let tended = Shared(0)
        func build(fails: Bool) async throws {
            try await gate.use("a", tend: { tended.change { $0 += 1 } }) { if fails { throw CancellationError() } }
        }
        try await build(fails: false)
        try await build(fails: false)
        #expect(tended.value == 1)
        _ = try? await build(fails: true)
        try await build(fails: false)
        #expect(tended.value == 2)
    }
}
