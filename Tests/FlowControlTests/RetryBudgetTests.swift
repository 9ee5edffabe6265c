import Testing

@testable import FlowControl

struct RetryBudgetTests {
    /// How many of `count` retries are granted.
    private func take(_ count: Int, at now: UInt64, from budget: inout RetryBudget) -> Int {
        var granted = 0
        for _ in 0..<count where budget.takeRetry(now: now) { granted += 1 }
        return granted
    }

    @Test func grantsTheFloorWithoutTraffic() {
        var budget = RetryBudget(.init(percent: 20, minimumPerSecond: 10))
        let floor = take(50, at: 5000, from: &budget)
        #expect(floor == 10)
        let refill = take(50, at: 5100, from: &budget)
        #expect(refill == 1)
        let later = take(50, at: 9000, from: &budget)
        #expect(later == 10)
    }

    @Test func grantsAShareOfTheRequests() {
        var budget = RetryBudget(.init(percent: 20, minimumPerSecond: 0))
        let first = budget.takeRetry(now: 0)
        #expect(!first)
        for request in 0..<1000 { budget.requestStarted(now: UInt64(request * 9)) }
        let share = take(500, at: 9000, from: &budget)
        #expect(share == 200)
        let none = take(500, at: 30_000, from: &budget)
        #expect(none == 0)
    }

    @Test func sharesTheFloorAmongWorkers() {
        var budget = RetryBudget(.init(percent: 0, minimumPerSecond: 1), share: 4)
        let times = stride(from: UInt64(0), to: 20_000, by: 50).filter { budget.takeRetry(now: $0) }
        #expect(times.count == 5)
    }

    /// A storm: whatever comes, retries stay within share and floor in every interval.
    @Test(arguments: 0..<20) func keepsItsBoundsOnRandomSchedules(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let policy = RetryBudget.Policy(
            percent: Int.random(in: 0...60, using: &random),
            minimumPerSecond: Int.random(in: 0...20, using: &random)
        )
        var budget = RetryBudget(policy)
        var requests: [UInt64] = []
        var retries: [UInt64] = []
        var now: UInt64 = 1000
        for _ in 0..<4000 {
            now += UInt64.random(in: 0...(Bool.random(using: &random) ? 5 : 40), using: &random)
            if Int.random(in: 0..<50, using: &random) == 0 { now += UInt64.random(in: 0...15_000, using: &random) }
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                budget.requestStarted(now: now)
                requests.append(now)
            }
            for _ in 0..<Int.random(in: 0...3, using: &random) where budget.takeRetry(now: now) { retries.append(now) }
        }
        for (index, end) in retries.enumerated() where index % 7 == 0 {
            let seconds = UInt64.random(in: 1...9, using: &random)
            let start = end > seconds * 1000 ? end - seconds * 1000 : 0
            let inInterval = retries.filter { $0 > start && $0 <= end }.count
            let before = requests.filter { $0 + 10_000 > start && $0 <= end }.count
            let bound = before * policy.percent / 100 + policy.minimumPerSecond * Int(seconds + 1)
            #expect(inInterval <= bound)
        }
    }
}
