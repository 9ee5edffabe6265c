import OrderedCollections

/// The rules of a work queue: which key may be worked on now. Pure: time is an argument.
///
/// A key is worked on by one worker at a time; a key that is added while it is worked on comes again afterwards; a key that waits is
/// there once, however often it was added.
struct WorkQueueState<Key: Hashable & Sendable>: Sendable {
    private var ready: OrderedSet<Key> = []
    private var processing: Set<Key> = []
    /// Added while in work: ready again when the work is done.
    private var dirty: Set<Key> = []
    private var delayed: [Key: Duration] = [:]
    private var failures: [Key: Int] = [:]
    private var armedTimer: Duration?

    private let initialDelay: Duration
    private let maximumDelay: Duration

    init(initialDelay: Duration, maximumDelay: Duration) {
        self.initialDelay = initialDelay
        self.maximumDelay = maximumDelay
    }

    /// Keys that wait, now or for their time.
    var count: Int { ready.count + dirty.count + delayed.count }
    var isIdle: Bool { ready.isEmpty && processing.isEmpty && dirty.isEmpty && delayed.isEmpty }

    mutating func add(_ key: Key) {
        if processing.contains(key) {
            dirty.insert(key)
        } else {
            ready.append(key)
        }
    }

    /// An earlier time that the key already waits for stays.
    mutating func add(_ key: Key, at time: Duration) {
        delayed[key] = min(time, delayed[key] ?? time)
    }

    /// The next key to work on, or `nil` when there is none or `limit` keys are in work.
    mutating func begin(now: Duration, limit: Int) -> Key? {
        promote(now: now)
        guard processing.count < limit, !ready.isEmpty else { return nil }
        let key = ready.removeFirst()
        processing.insert(key)
        return key
    }

    mutating func finish(_ key: Key, succeeded: Bool, now: Duration) {
        processing.remove(key)
        if dirty.remove(key) != nil { ready.append(key) }
        if succeeded {
            failures[key] = nil
        } else {
            let count = failures[key, default: 0]
            failures[key] = count + 1
            let delay = count < 32 ? min(initialDelay * (1 << count), maximumDelay) : maximumDelay
            add(key, at: now + delay)
        }
    }

    /// The time of a timer that must be started because no timer that runs ends soon enough.
    mutating func armTimer() -> Duration? {
        guard let earliest = delayed.values.min(), armedTimer.map({ earliest < $0 }) ?? true else { return nil }
        armedTimer = earliest
        return earliest
    }

    mutating func timerEnded(at time: Duration) {
        if armedTimer == time { armedTimer = nil }
    }

    private mutating func promote(now: Duration) {
        guard !delayed.isEmpty else { return }
        for (key, time) in delayed where time <= now {
            delayed[key] = nil
            add(key)
        }
    }
}
