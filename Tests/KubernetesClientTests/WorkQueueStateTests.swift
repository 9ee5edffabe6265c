import Testing

@testable import KubernetesClient

struct WorkQueueStateTests {
    private func makeState() -> WorkQueueState<String> {
        WorkQueueState(initialDelay: .milliseconds(5), maximumDelay: .seconds(1))
    }

    @Test
    func givesKeysInOrderAndEachOnce() {
        var state = makeState()
        for key in ["a", "b", "a", "c", "b"] { state.add(key) }
        let keys = (0..<4).map { _ in state.begin(now: .zero, limit: 10) }
        #expect(keys == ["a", "b", "c", nil])
    }

    @Test
    func respectsTheNumberOfWorkers() {
        var state = makeState()
        state.add("a")
        state.add("b")
        #expect(state.begin(now: .zero, limit: 1) == "a")
        #expect(state.begin(now: .zero, limit: 1) == nil)
        state.finish("a", succeeded: true, now: .zero)
        #expect(state.begin(now: .zero, limit: 1) == "b")
    }

    @Test
    func givesAKeyAgainThatWasAddedWhileInWork() {
        var state = makeState()
        state.add("a")
        #expect(state.begin(now: .zero, limit: 4) == "a")
        state.add("a")
        #expect(state.begin(now: .zero, limit: 4) == nil)
        state.finish("a", succeeded: true, now: .zero)
        #expect(state.begin(now: .zero, limit: 4) == "a")
        state.finish("a", succeeded: true, now: .zero)
        #expect(state.isIdle)
    }

    @Test
    func keepsTheEarlierOfTwoTimes() {
        var state = makeState()
        state.add("a", at: .seconds(5))
        state.add("a", at: .seconds(9))
        #expect(state.armTimer() == .seconds(5))
        #expect(state.armTimer() == nil)
        state.add("a", at: .seconds(2))
        #expect(state.armTimer() == .seconds(2))
        #expect(state.begin(now: .milliseconds(1999), limit: 4) == nil)
        #expect(state.begin(now: .seconds(2), limit: 4) == "a")
    }

    @Test
    func waitsLongerAfterEachFailureUntilASuccess() throws {
        var state = makeState()
        var now = Duration.zero
        state.add("a")
        for delay in [5, 10, 20, 40] {
            #expect(state.begin(now: now, limit: 4) == "a")
            state.finish("a", succeeded: false, now: now)
            let due = now + .milliseconds(delay)
            #expect(state.begin(now: due - .milliseconds(1), limit: 4) == nil)
            now = due
        }
        #expect(state.begin(now: now, limit: 4) == "a")
        state.finish("a", succeeded: true, now: now)
        state.add("a")
        #expect(state.begin(now: now, limit: 4) == "a")
        state.finish("a", succeeded: false, now: now)
        #expect(state.begin(now: now + .milliseconds(5), limit: 4) == "a")
    }

    @Test
    func neverWaitsLongerThanTheMaximum() {
        var state = makeState()
        var now = Duration.zero
        state.add("a")
        for _ in 0..<100 {
            #expect(state.begin(now: now, limit: 1) == "a")
            state.finish("a", succeeded: false, now: now)
            now += .seconds(1)
        }
    }
}
