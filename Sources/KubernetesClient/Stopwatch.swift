/// Time since a start on some clock, as a plain `Duration`: lets state hold deadlines without being generic over the clock.
struct Stopwatch: Sendable {
    private let readElapsed: @Sendable () -> Duration
    private let sleepFor: @Sendable (Duration) async throws -> Void

    init(_ clock: some Clock<Duration>) {
        let start = clock.now
        readElapsed = { start.duration(to: clock.now) }
        sleepFor = { try await clock.sleep(for: $0) }
    }

    var elapsed: Duration { readElapsed() }

    /// Returns at `deadline`; throws when the task is cancelled.
    func sleep(until deadline: Duration) async throws {
        let remaining = deadline - elapsed
        if remaining > .zero { try await sleepFor(remaining) }
    }
}
