import Testing

@testable import Gateway

/// Against a list of deadlines: none fires early or twice, and none later than two slots after its time.
struct TimerWheelTests {
    private static let start: UInt64 = 1_000_000

    @Test(arguments: 0..<20) func firesInTime(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var slab = ConnectionSlab(capacity: 1024)
        var wheel = TimerWheel(now: Self.start)
        let connections = (0..<50).map { _ in slab.take(.client, descriptor: -1)! }
        var deadlines: [UInt32: UInt64] = [:]
        var now = Self.start
        var fired = 0
        for _ in 0..<4000 {
            let connection = connections.randomElement(using: &random)!
            let index = connection.pointee.index
            switch Int.random(in: 0..<10, using: &random) {
            case 0:
                wheel.remove(connection, in: slab)
                deadlines[index] = nil
            case 1:
                wheel.set(connection, deadline: 0, in: slab)
                deadlines[index] = nil
            default:
                // From less than a slot to more than a turn of the wheel.
                let distance: UInt64 = [5, 40, 500, 60_000, 75_000, 200_000].randomElement(using: &random)!
                let deadline = now + UInt64.random(in: 1...distance, using: &random)
                wheel.set(connection, deadline: deadline, in: slab)
                deadlines[index] = deadline
            }
            if let next = deadlines.values.min() { #expect(wheel.wait(now: now) >= 0 || next <= now) }
            let step: UInt64 = [3, 100, 5000].randomElement(using: &random)!
            now += UInt64.random(in: 0...step, using: &random)
            while let expired = wheel.popExpired(now: now, in: slab) {
                let deadline = deadlines.removeValue(forKey: expired.pointee.index)
                #expect(deadline.map { $0 <= now } == true)
                fired += 1
            }
            #expect(deadlines.values.allSatisfy { $0 + 2 * TimerWheel.tick > now }, "one is late")
        }
        #expect(fired > 100)
    }

    /// A loop that sleeps as long as it is told wakes for each deadline.
    @Test func neverSleepsPastADeadline() throws {
        var slab = ConnectionSlab(capacity: 1024)
        var wheel = TimerWheel(now: Self.start)
        let connection = slab.take(.client, descriptor: -1)!
        for deadline in [Self.start + 1, Self.start + 17, Self.start + 1000, Self.start + 70_000, Self.start + 200_000]
        {
            var now = deadline - 1
            while wheel.popExpired(now: now, in: slab) != nil {}
            wheel.set(connection, deadline: deadline, in: slab)
            var turns = 0
            while wheel.popExpired(now: now, in: slab) == nil {
                let wait = wheel.wait(now: now)
                try #require(wait >= 0 && turns < 10)
                now += UInt64(wait)
                turns += 1
            }
            #expect(now >= deadline && now <= deadline + 3 * TimerWheel.tick)
        }
    }

    /// Between the requests of a busy connection its deadline goes up and down, and its slot stays.
    @Test func leavesABusyConnectionWhereItIs() {
        var slab = ConnectionSlab(capacity: 1024)
        let wheel = TimerWheel(now: Self.start)
        let connection = slab.take(.client, descriptor: -1)!
        wheel.set(connection, deadline: Self.start + 60_000, in: slab)
        let slot = connection.pointee.timerSlot
        for request in 0..<1000 {
            let now = Self.start + UInt64(request)
            wheel.set(connection, deadline: now + 75_000, in: slab)
            wheel.set(connection, deadline: 0, in: slab)
            wheel.set(connection, deadline: now + 60_000, in: slab)
            #expect(connection.pointee.timerSlot == slot)
        }
    }
}
