import KubernetesModel

/// Delays that double from 10 seconds to 5 minutes with every repeat, and start again after a quiet time of 10 minutes.
struct BackOff: Hashable, Sendable {
    static let initial: Int64 = 10
    static let maximum: Int64 = 300
    static let reset: Int64 = 600

    private struct Entry: Hashable, Sendable {
        var delay: Int64
        var updated: Timestamp
    }

    private var entries: [String: Entry] = [:]

    /// The seconds to wait after `event`, zero when it is the first one in a long time.
    func delay(_ key: String, after event: Timestamp) -> Int64 {
        guard let entry = entries[key], event.seconds - entry.updated.seconds <= Self.reset else { return 0 }
        return entry.delay
    }

    /// When the next try may be, given that the last one failed at `event`; `nil` when at once.
    func nextTry(_ key: String, after event: Timestamp, now: Timestamp) -> Timestamp? {
        let delay = delay(key, after: event)
        guard delay > 0 else { return nil }
        let time = Timestamp(seconds: event.seconds + delay, nanoseconds: event.nanoseconds)
        return time > now ? time : nil
    }

    /// Notes that another try follows the failure at `event`.
    mutating func note(_ key: String, failedAt event: Timestamp) {
        let previous = delay(key, after: event)
        entries[key] = Entry(delay: previous == 0 ? Self.initial : min(previous * 2, Self.maximum), updated: event)
    }

    mutating func forget(_ key: String) { entries[key] = nil }
}
