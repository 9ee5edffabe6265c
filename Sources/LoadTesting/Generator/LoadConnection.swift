typealias LoadConnectionPointer = UnsafeMutablePointer<LoadConnection>

/// One socket of the generator. Lives in a ``SocketSlab``; never moves.
struct LoadConnection: SocketSlot {
    enum State: UInt8 { case free, connecting, handshaking, busy, idle }

    var index = SocketSlabLimits.none
    var generation: UInt32 = 0
    var descriptor: Int32 = -1
    var state = State.free
    /// Has answered a request before.
    var isReused = false
    /// Carries a request that another connection lost.
    var isResending = false
    /// Some of the answer was received.
    var hasAnswered = false
    var peerEnded = false
    var trafficClass: UInt32 = 0
    /// The TLS session; `nil` on a plain connection.
    var session: OpaquePointer?

    /// When the request should have been sent, nanoseconds of the monotonic clock.
    var intended: UInt64 = 0
    var request = RequestBytes()
    var sent = 0
    var scanner = ResponseScanner(toHead: false)
    /// The first part of a head that came in pieces.
    var pending: UnsafeMutablePointer<UInt8>?
    var pendingCount = 0

    // The list that the connection stands in: idle ones, the last used at the end, or busy ones by intended time.
    var next = SocketSlabLimits.none
    var previous = SocketSlabLimits.none
}

/// A request as it goes over the wire; rendered once, sent many times.
struct RequestBytes: BitwiseCopyable {
    var base: UnsafeMutablePointer<UInt8>?
    var count = 0
}

extension SocketSlab where Slot == LoadConnection {
    /// Puts a connection where its intended time belongs: nearly always at the end.
    @inline(__always)
    func insert(_ connection: LoadConnectionPointer, into list: inout SocketList) {
        var after = list.last
        while after != SocketSlabLimits.none, self[after].pointee.intended > connection.pointee.intended {
            after = self[after].pointee.previous
        }
        insert(connection, after: after, into: &list)
    }
}
