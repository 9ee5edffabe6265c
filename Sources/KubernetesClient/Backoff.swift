/// Waiting times that double from `initial` to `maximum`, each shortened by up to half at random so that many waiters spread out.
package struct Backoff: Hashable, Sendable {
    private let initial: Duration
    private let maximum: Duration
    private var current: Duration

    package init(initial: Duration = .milliseconds(100), maximum: Duration = .seconds(10)) {
        self.initial = initial
        self.maximum = maximum
        current = initial
    }

    /// The next time to wait: between half of the current step and all of it.
    package mutating func next(using generator: inout some RandomNumberGenerator) -> Duration {
        let step = current
        current = min(current * 2, maximum)
        return step * Double.random(in: 0.5...1, using: &generator)
    }

    package mutating func next() -> Duration {
        var generator = SystemRandomNumberGenerator()
        return next(using: &generator)
    }

    package mutating func reset() {
        current = initial
    }
}
