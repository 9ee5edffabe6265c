/// Deadlines of connections in a hashed wheel. Setting a deadline that is not before the connection's slot costs one store: the connection
/// is moved when its slot comes. So the deadlines of a busy connection, however they go up and down, cost nothing but that.
struct TimerWheel: ~Copyable {
    /// Milliseconds per slot.
    static let tick: UInt64 = 16
    private static let slots = 4096

    private let heads: UnsafeMutablePointer<UInt32>
    /// One bit per slot that holds anything.
    private let occupied: UnsafeMutablePointer<UInt64>
    /// All slots up to this tick have been looked at.
    private var current: UInt64

    init(now: UInt64) {
        heads = .allocate(capacity: Self.slots)
        heads.initialize(repeating: Connection.none, count: Self.slots)
        occupied = .allocate(capacity: Self.slots / 64)
        occupied.initialize(repeating: 0, count: Self.slots / 64)
        current = now / Self.tick
    }

    deinit {
        heads.deallocate()
        occupied.deallocate()
    }

    /// Arms or moves the deadline of a connection; zero disarms it.
    @inline(__always)
    func set(_ connection: ConnectionPointer, deadline: UInt64, in slab: borrowing ConnectionSlab) {
        connection.pointee.deadline = deadline
        let slot = connection.pointee.timerSlot
        if slot >= 0, deadline == 0 || tick(ofSlot: slot) <= deadline / Self.tick { return }
        if deadline != 0 { place(connection, in: slab) }
    }

    /// When a slot that holds something is looked at next.
    @inline(__always)
    private func tick(ofSlot slot: Int32) -> UInt64 {
        current + (UInt64(truncatingIfNeeded: slot) &- current) & UInt64(Self.slots - 1)
    }

    func remove(_ connection: ConnectionPointer, in slab: borrowing ConnectionSlab) {
        connection.pointee.deadline = 0
        unlink(connection, in: slab)
    }

    /// Milliseconds until a slot must be looked at; -1 when no deadline is armed.
    func wait(now: UInt64) -> Int32 {
        var tick = current + 1
        let last = current + UInt64(Self.slots)
        while tick <= last {
            let slot = Int(tick) & (Self.slots - 1)
            let word = occupied[slot >> 6] >> UInt64(slot & 63)
            if word != 0 {
                let due = (tick + UInt64(word.trailingZeroBitCount) + 1) * Self.tick
                return due > now ? Int32(due - now) : 0
            }
            tick += UInt64(64 - (slot & 63))
        }
        return -1
    }

    /// A connection whose deadline has passed, taken out of the wheel; `nil` when there is no more.
    mutating func popExpired(now: UInt64, in slab: borrowing ConnectionSlab) -> ConnectionPointer? {
        let target = now / Self.tick
        while current + 1 < target {
            let slot = Int(current + 1) & (Self.slots - 1)
            let head = heads[slot]
            guard head != Connection.none else {
                current += 1
                continue
            }
            let connection = slab[head]
            unlink(connection, in: slab)
            if connection.pointee.deadline == 0 { continue }
            if connection.pointee.deadline <= now {
                connection.pointee.deadline = 0
                return connection
            }
            place(connection, in: slab)
        }
        return nil
    }

    // MARK: - Private

    private func place(_ connection: ConnectionPointer, in slab: borrowing ConnectionSlab) {
        unlink(connection, in: slab)
        // One slot less than a full turn, so that a placed connection never lands in the slot that is being emptied.
        let earliest = current + 2
        let latest = current + UInt64(Self.slots) - 1
        let tick = Swift.min(Swift.max(connection.pointee.deadline / Self.tick, earliest), latest)
        let slot = Int(tick) & (Self.slots - 1)
        connection.pointee.timerSlot = Int32(slot)
        connection.pointee.timerPrevious = Connection.none
        connection.pointee.timerNext = heads[slot]
        if heads[slot] != Connection.none { slab[heads[slot]].pointee.timerPrevious = connection.pointee.index }
        heads[slot] = connection.pointee.index
        occupied[slot >> 6] |= 1 << UInt64(slot & 63)
    }

    private func unlink(_ connection: ConnectionPointer, in slab: borrowing ConnectionSlab) {
        guard connection.pointee.timerSlot >= 0 else { return }
        let slot = Int(connection.pointee.timerSlot)
        let (next, previous) = (connection.pointee.timerNext, connection.pointee.timerPrevious)
        if previous == Connection.none { heads[slot] = next } else { slab[previous].pointee.timerNext = next }
        if next != Connection.none { slab[next].pointee.timerPrevious = previous }
        if heads[slot] == Connection.none { occupied[slot >> 6] &= ~(1 << UInt64(slot & 63)) }
        connection.pointee.timerSlot = -1
        connection.pointee.timerNext = Connection.none
        connection.pointee.timerPrevious = Connection.none
    }
}
