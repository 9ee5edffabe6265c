import CLinux
import Glibc

/// Who is being served, who waits, and when each one is done. Pure: the clock is an argument.
struct ServiceQueue: ~Copyable {
    enum Placement { case served, placed, full }

    private struct Job {
        var due: UInt64
        var token: UInt64
        var takesPlace: Bool
    }

    private let thread: Int
    private let threads: Int
    private var settings = BackendSettings()
    private var places = 0
    private var stalledUntil: UInt64 = 0
    private(set) var inService = 0
    /// A binary heap by due time.
    private var jobs: [Job] = []
    private var waiting = WaitingRing()
    private var randomState: UInt64

    init(thread: Int, threads: Int) {
        self.thread = thread
        self.threads = threads
        randomState = clinux_random() | 1
    }

    deinit { waiting.deallocate() }

    var waitingCount: Int { waiting.count }

    /// When the next request is done, nanoseconds of the monotonic clock.
    var nextDue: UInt64? { jobs.first.map { max($0.due, stalledUntil) } }

    mutating func adopt(_ settings: BackendSettings, now: UInt64) {
        self.settings = settings
        let count = settings.concurrency
        places = count == 0 ? .max : max(1, count * (thread + 1) / threads - count * thread / threads)
        stalledUntil = now + UInt64(settings.stall)
        while inService < places, let token = waiting.popFirst() { start(token, now: now) }
    }

    /// Has a request served: at once, after its time, or after those before it.
    @inline(__always)
    mutating func arrive(_ token: UInt64, now: UInt64) -> Placement {
        if settings.serviceTime == 0, places == .max, now >= stalledUntil { return .served }
        if inService < places {
            start(token, now: now)
            return .placed
        }
        guard waiting.count < settings.queue else { return .full }
        return waiting.append(token) ? .placed : .full
    }

    /// Answers a request at a given time without taking a place.
    mutating func hold(_ token: UInt64, until due: UInt64) {
        push(Job(due: due, token: token, takesPlace: false))
    }

    /// A request whose service is over; its place goes to the one that waits longest.
    mutating func popFinished(now: UInt64) -> UInt64? {
        guard let first = jobs.first, first.due <= now, now >= stalledUntil else { return nil }
        pop()
        if first.takesPlace {
            inService -= 1
            // The next service begins when the last one ended, not when the loop noticed it: otherwise the capacity would fall short.
            let begin = max(first.due, stalledUntil)
            if inService < places, let token = waiting.popFirst() { start(token, now: begin) }
        }
        return first.token
    }

    private mutating func start(_ token: UInt64, now: UInt64) {
        inService += 1
        push(Job(due: now + serviceTime(), token: token, takesPlace: true))
    }

    private mutating func serviceTime() -> UInt64 {
        var time = Double(settings.serviceTime)
        if settings.variesServiceTime { time *= -log(1 - random()) }
        if settings.degradation > 0, settings.concurrency > 0 {
            time *= 1 + settings.degradation * Double(waiting.count) / Double(places)
        }
        return UInt64(time)
    }

    /// At least 0 and less than 1.
    mutating func random() -> Double {
        randomState ^= randomState >> 12
        randomState ^= randomState << 25
        randomState ^= randomState >> 27
        return Double((randomState &* 0x2545_F491_4F6C_DD1D) >> 11) * 0x1p-53
    }

    // MARK: - Heap

    private mutating func push(_ job: Job) {
        jobs.append(job)
        var index = jobs.count - 1
        while index > 0, jobs[(index - 1) / 2].due > jobs[index].due {
            jobs.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    private mutating func pop() {
        jobs.swapAt(0, jobs.count - 1)
        jobs.removeLast()
        var index = 0
        while true {
            let (left, right) = (2 * index + 1, 2 * index + 2)
            var smallest = index
            if left < jobs.count, jobs[left].due < jobs[smallest].due { smallest = left }
            if right < jobs.count, jobs[right].due < jobs[smallest].due { smallest = right }
            if smallest == index { return }
            jobs.swapAt(index, smallest)
            index = smallest
        }
    }
}
