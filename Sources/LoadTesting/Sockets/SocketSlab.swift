/// What a ``SocketSlab`` keeps: a plain struct for one socket.
protocol SocketSlot: BitwiseCopyable {
    init()
    var index: UInt32 { get set }
    /// Counts up when the slot is used again, so that late events find nobody.
    var generation: UInt32 { get set }
    var descriptor: Int32 { get set }
    // The list that the socket stands in.
    var next: UInt32 { get set }
    var previous: UInt32 { get set }
}

enum SocketSlabLimits {
    /// The index of no slot.
    static let none = UInt32.max
}

/// Sockets in a row, oldest first.
struct SocketList: BitwiseCopyable {
    var first = SocketSlabLimits.none
    var last = SocketSlabLimits.none

    var isEmpty: Bool { first == SocketSlabLimits.none }
}

/// A fixed number of slots that never move. Memory that was not used yet is not touched.
struct SocketSlab<Slot: SocketSlot>: ~Copyable {
    typealias Pointer = UnsafeMutablePointer<Slot>

    private let base: Pointer
    let capacity: Int
    private var made: UInt32 = 0
    private var firstFree = SocketSlabLimits.none
    private(set) var inUse = 0

    init(capacity: Int) {
        self.capacity = max(1, capacity)
        base = .allocate(capacity: self.capacity)
    }

    deinit { base.deallocate() }

    /// Slots that were used at some time; their indices are those below.
    var count: UInt32 { made }

    @inline(__always)
    subscript(index: UInt32) -> Pointer {
        precondition(index < made, "A socket's index must be one that was made.")
        return base + Int(index)
    }

    /// A fresh slot, or `nil` when all are in use.
    mutating func take(descriptor: Int32) -> Pointer? {
        if firstFree == SocketSlabLimits.none, !make() { return nil }
        let socket = self[firstFree]
        firstFree = socket.pointee.next
        let (index, generation) = (socket.pointee.index, socket.pointee.generation)
        socket.pointee = Slot()
        socket.pointee.index = index
        socket.pointee.generation = generation &+ 1
        socket.pointee.descriptor = descriptor
        socket.pointee.next = SocketSlabLimits.none
        socket.pointee.previous = SocketSlabLimits.none
        inUse += 1
        return socket
    }

    /// The socket must stand in no list and own nothing any more.
    mutating func give(_ socket: Pointer) {
        socket.pointee.descriptor = -1
        socket.pointee.generation &+= 1
        socket.pointee.next = firstFree
        firstFree = socket.pointee.index
        inUse -= 1
    }

    private mutating func make() -> Bool {
        guard made < UInt32(truncatingIfNeeded: capacity) else { return false }
        let socket = base + Int(made)
        socket.initialize(to: Slot())
        socket.pointee.index = made
        socket.pointee.next = SocketSlabLimits.none
        firstFree = made
        made += 1
        return true
    }

    // MARK: - Tokens

    /// The socket that an event was registered for, or `nil` when it is gone.
    @inline(__always)
    func find(token: UInt64) -> Pointer? {
        let socket = self[UInt32(truncatingIfNeeded: token)]
        guard socket.pointee.generation == UInt32(truncatingIfNeeded: token >> 32) else { return nil }
        return socket
    }

    @inline(__always)
    static func token(_ socket: Pointer) -> UInt64 {
        UInt64(socket.pointee.generation) << 32 | UInt64(socket.pointee.index)
    }

    // MARK: - Lists

    @inline(__always)
    func append(_ socket: Pointer, to list: inout SocketList) { insert(socket, after: list.last, into: &list) }

    /// - Parameter after: the index of the socket before, or none for the first place.
    @inline(__always)
    func insert(_ socket: Pointer, after: UInt32, into list: inout SocketList) {
        let before = after == SocketSlabLimits.none ? list.first : self[after].pointee.next
        let index = socket.pointee.index
        socket.pointee.previous = after
        socket.pointee.next = before
        if after == SocketSlabLimits.none { list.first = index } else { self[after].pointee.next = index }
        if before == SocketSlabLimits.none { list.last = index } else { self[before].pointee.previous = index }
    }

    @inline(__always)
    func remove(_ socket: Pointer, from list: inout SocketList) {
        let (next, previous) = (socket.pointee.next, socket.pointee.previous)
        if previous == SocketSlabLimits.none { list.first = next } else { self[previous].pointee.next = next }
        if next == SocketSlabLimits.none { list.last = previous } else { self[next].pointee.previous = previous }
        socket.pointee.next = SocketSlabLimits.none
        socket.pointee.previous = SocketSlabLimits.none
    }
}
