/// Decides whether a request may be sent once more, so that retries cannot multiply the load on a backend that is in trouble.
///
/// Bound: retries are granted by share while they are at most ``Policy/percent`` of the requests of the last ten seconds, and beyond that
/// from a bucket of ``Policy/minimumPerSecond`` tokens that fills at that rate. So any nine seconds see at most that share of the requests
/// of those and the ten seconds before them, and any t seconds at most `minimumPerSecond * (t + 1)` more (`t * minimum + 1` where the
/// minimum is below one).
///
/// One worker's part of a budget gets a share of the minimum; percents need no sharing. Times are milliseconds of any monotonic clock.
package struct RetryBudget: BitwiseCopyable, Sendable {
    package struct Policy: Hashable, Sendable {
        package var percent: Int
        package var minimumPerSecond: Int
        /// Retries beyond the budget are only counted.
        package var dryRun: Bool

        package init(percent: Int = 20, minimumPerSecond: Int = 10, dryRun: Bool = false) {
            self.percent = percent
            self.minimumPerSecond = minimumPerSecond
            self.dryRun = dryRun
        }
    }

    /// Seconds that are looked back on, the current one included.
    private static let slots = 10
    private static let token: UInt64 = 1_000_000

    private var percent: UInt64
    /// Millionths of a token per millisecond, and the most that can be saved up.
    private var rate: UInt64
    private var capacity: UInt64

    private var requests = InlineArray<10, UInt32>(repeating: 0)
    private var granted = InlineArray<10, UInt32>(repeating: 0)
    private var requestSum: UInt64 = 0
    private var grantedSum: UInt64 = 0
    private var second: UInt64 = 0
    private var tokens: UInt64
    private var filledAt: UInt64 = 0

    /// - Parameter share: the number of such budgets that together make one.
    package init(_ policy: Policy, share: Int = 1) {
        percent = UInt64(max(0, policy.percent))
        rate = UInt64(max(0, policy.minimumPerSecond)) * Self.token / 1000 / UInt64(max(1, share))
        capacity = rate == 0 ? 0 : max(Self.token, rate * 1000)
        tokens = capacity
    }

    /// Counts a request that was sent for the first time.
    @inline(__always)
    package mutating func requestStarted(now: UInt64) {
        if now / 1000 != second { advance(to: now / 1000) }
        requests[Int(second % UInt64(Self.slots))] &+= 1
        requestSum += 1
    }

    /// Takes one retry out of the budget.
    /// - Returns: `false` when there is none left; nothing is taken then.
    package mutating func takeRetry(now: UInt64) -> Bool {
        if now / 1000 != second { advance(to: now / 1000) }
        if (grantedSum + 1) * 100 <= requestSum * percent {
            granted[Int(second % UInt64(Self.slots))] += 1
            grantedSum += 1
            return true
        }
        return takeToken(now: now)
    }

    // MARK: - Private

    private mutating func takeToken(now: UInt64) -> Bool {
        if now > filledAt {
            tokens = min(capacity, tokens + min(now - filledAt, 1_000_000) * rate)
            filledAt = now
        }
        guard tokens >= Self.token else { return false }
        tokens -= Self.token
        return true
    }

    private mutating func advance(to new: UInt64) {
        // A clock that goes back would only make the budget stricter.
        guard new > second else { return }
        for step in 1...min(new - second, UInt64(Self.slots)) {
            let slot = Int((second + step) % UInt64(Self.slots))
            requestSum -= UInt64(requests[slot])
            grantedSum -= UInt64(granted[slot])
            requests[slot] = 0
            granted[slot] = 0
        }
        second = new
    }
}
