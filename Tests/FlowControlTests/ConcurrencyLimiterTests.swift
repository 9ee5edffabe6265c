import Testing

@testable import FlowControl

struct ConcurrencyLimiterTests {
    @Test(arguments: 0..<10) func neverHasMoreInFlightThanItMay(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let limiter = ConcurrencyLimiter(ConcurrencyLimit(maximum: 5))
        var count = 0
        withWords { word in
            for _ in 0..<5000 {
                if Bool.random(using: &random), count > 0 {
                    limiter.release(word)
                    count -= 1
                } else {
                    #expect(limiter.admit(word) == (count < 5))
                    count = min(5, count + 1)
                }
            }
        }
    }
}

struct PacingQueueTests {
    @Test(arguments: 0..<10) func givesTurnsInOrderAndKeepsItsBound(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var queue = PacingQueue(capacity: 50)
        var model: [UInt64] = []
        var now: UInt64 = 0
        for token in 0..<UInt64(5000) {
            now += UInt64.random(in: 0..<20, using: &random)
            while let due = model.min(), due <= now {
                #expect(queue.nextDue == due)
                #expect(queue.popDue(now: now) != nil)
                model.remove(at: model.firstIndex(of: due)!)
            }
            #expect(queue.popDue(now: now) == nil)
            let due = now + UInt64.random(in: 1..<1000, using: &random)
            let isTaken = queue.push(due: due, token: token)
            #expect(isTaken == (model.count < 50))
            if isTaken { model.append(due) }
            #expect(queue.count == model.count)
        }
    }
}
