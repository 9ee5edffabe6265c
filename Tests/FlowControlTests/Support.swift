import Glibc
import Synchronization
import Testing

@testable import FlowControl

/// SplitMix64: the same schedule for the same seed, on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = (seed &+ 1) &* 0xD134_2543_DE82_EF95 ^ seed << 40 }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }

    /// Exponentially distributed, as gaps of a Poisson process are.
    mutating func exponential(mean: Double) -> Double {
        -log(Double.random(in: Double.leastNonzeroMagnitude...1, using: &self)) * mean
    }
}

/// Zeroed shared words for the length of a call.
func withWords<Value>(_ count: Int = 1, _ body: (SharedWord) throws -> Value) rethrows -> Value {
    let memory = calloc(count, 8)!
    defer { free(memory) }
    return try body(memory.assumingMemoryBound(to: Atomic<UInt64>.self))
}

/// Lets threads see words; the test keeps the memory until they have ended.
struct Shared: @unchecked Sendable {
    let words: SharedWord
}

/// Runs `body` on `count` threads at once and waits for all.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    final class Work: Sendable {
        let number: Int
        let body: @Sendable (Int) -> Void
        init(_ number: Int, _ body: @escaping @Sendable (Int) -> Void) {
            self.number = number
            self.body = body
        }
    }
    let threads = (0..<count).map { number in
        var thread = pthread_t()
        let context = Unmanaged.passRetained(Work(number, body)).toOpaque()
        let result = pthread_create(
            &thread,
            nil,
            { context in
                let work = Unmanaged<Work>.fromOpaque(context!).takeRetainedValue()
                work.body(work.number)
                return nil
            },
            context
        )
        precondition(result == 0, "A test must be able to start threads.")
        return thread
    }
    for thread in threads { pthread_join(thread, nil) }
}

/// Nanoseconds of the monotonic clock.
func monotonic() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// By how many requests passes at these times exceed `t / interval + burst + 1` in the worst interval; nothing or less means never.
func excess(of times: [UInt64], interval: UInt64, burst: Int) -> Double {
    var worst = -Double.infinity
    var mostAhead = -Double.infinity
    for (number, time) in times.sorted().enumerated() {
        let start = Double(time) - Double(number) * Double(interval)
        mostAhead = max(mostAhead, start)
        worst = max(worst, (mostAhead - start) / Double(interval) - Double(burst))
    }
    return worst
}
