/// Requests that wait for their turn, in the order of their turns; one worker's. At most `capacity` wait; more are refused.
package struct PacingQueue: ~Copyable {
    package struct Entry: BitwiseCopyable, Sendable {
        /// Nanoseconds of the monotonic clock.
        package var due: UInt64
        package var token: UInt64
    }

    private let heap: UnsafeMutablePointer<Entry>
    private let capacity: Int
    package private(set) var count = 0

    package init(capacity: Int) {
        self.capacity = capacity
        heap = .allocate(capacity: capacity)
    }

    deinit { heap.deallocate() }

    package var isFull: Bool { count == capacity }

    /// The next turn; `nil` when nobody waits.
    package var nextDue: UInt64? { count == 0 ? nil : heap[0].due }

    /// - Returns: `false` when the queue is full.
    package mutating func push(due: UInt64, token: UInt64) -> Bool {
        guard count < capacity else { return false }
        var index = count
        count += 1
        while index > 0, heap[(index - 1) / 2].due > due {
            heap[index] = heap[(index - 1) / 2]
            index = (index - 1) / 2
        }
        heap[index] = Entry(due: due, token: token)
        return true
    }

    /// The token of one whose turn has come.
    package mutating func popDue(now: UInt64) -> UInt64? {
        guard count > 0, heap[0].due <= now else { return nil }
        let token = heap[0].token
        count -= 1
        if count > 0 { sink(heap[count]) }
        return token
    }

    private func sink(_ entry: Entry) {
        var index = 0
        while true {
            var child = 2 * index + 1
            guard child < count else { break }
            if child + 1 < count, heap[child + 1].due < heap[child].due { child += 1 }
            guard heap[child].due < entry.due else { break }
            heap[index] = heap[child]
            index = child
        }
        heap[index] = entry
    }
}
