import CLinux

typealias ConnectionPointer = UnsafeMutablePointer<Connection>

/// One socket, of a client or of an endpoint. Lives in a ``ConnectionSlab``; never moves.
struct Connection: BitwiseCopyable {
    static let none = UInt32.max

    enum Role: UInt8 { case free, client, upstream }

    enum Phase: UInt8 {
        // Of a client:
        /// TLS is being agreed on.
        case handshake
        /// Between requests, or reading a head.
        case head
        /// The request waits for an endpoint.
        case held
        /// The request waits for its turn under a rate limit.
        case paced
        /// The request waits for a connection: all endpoints have as many as they may have.
        case pending
        /// The request waits before it is sent once more.
        case waiting
        /// An endpoint works on the request.
        case exchange
        /// The answer is complete but not yet taken by the client.
        case flushing
        /// The answer is complete, the request's body is not: it is read and dropped.
        case discarding
        /// A copy of a request whose body is still coming in.
        case copying
        /// The last answer is out; waits for the client to close, so that it can read that answer.
        case lingering

        // Of an upstream connection:
        case connecting
        case active
        case idle

        // Of both:
        /// Bytes pass both ways without being looked at.
        case tunnel
    }

    var index: UInt32 = Connection.none
    /// Counts up when the slot is used again, so that late events and references find nobody.
    var generation: UInt32 = 0
    var descriptor: Int32 = -1
    var role = Role.free
    var phase = Phase.head

    // Edge-triggered readiness, remembered until a call comes back short.
    var isReadable = false
    var isWritable = true
    /// The peer has sent its end; reading must go on until that is seen.
    var peerEnded = false
    var hasFailed = false
    /// Stands in the worker's queue of connections to be looked at again.
    var isQueued = false

    // Timer wheel.
    /// Milliseconds of the worker's clock; zero for none.
    var deadline: UInt64 = 0
    var timerSlot: Int32 = -1
    var timerNext = Connection.none
    var timerPrevious = Connection.none

    // The list that the connection stands in: idle connections of an endpoint, or held requests.
    var next = Connection.none
    var previous = Connection.none

    /// The connection at the other side of the exchange.
    var peer = Connection.none

    /// Read and not yet used.
    var input = Buffer()

    // Of a client:
    var address = clinux_address()
    var door = ListenerView.Door()
    /// The number of the listener that the handshake selected.
    var listener = Connection.none
    /// How far `input` was searched for the end of a head.
    var scanned: Int32 = 0
    /// `SSL` of a connection with TLS, from its first bytes on.
    var session: OpaquePointer?
    /// Bytes on their way to the client, sealed where there is a session.
    var output = Buffer()
    /// Bytes on their way to the endpoint; the whole request while it can be sent again.
    var request = Buffer()
    var exchange = Exchange()
    /// The start of the head that is being read, milliseconds; zero between requests.
    var headSince: UInt64 = 0
    /// While only the client is waited for: when its rate is looked at, in milliseconds, and what was transferred when that began.
    var rateCheckAt: UInt64 = 0
    var rateMark: UInt64 = 0
    /// What the access log will say of the request, as far as its head tells.
    var log = Buffer()
    /// Field lines that every answer to the request gets.
    var added = Buffer()
    /// The rate that is looked at is that of the answer.
    var ratesOutput = false
    var closesAfterResponse = false
    /// A copy of another client's request: it has no socket, and its answer goes nowhere.
    var isCopy = false

    // Of an upstream connection:
    var endpoint = Connection.none
    /// Has answered a request before.
    var isReused = false
    var response = BodyReader()
    var keepsAlive = false

    /// Of either side of a tunnel: its end was read.
    var tunnelEnded = false
}

/// One request and its answer.
struct Exchange: BitwiseCopyable {
    /// The table that the request was matched in; its rows stay while the exchange lasts.
    var table = Connection.none
    var rule: UInt32 = 0
    /// The worker's number of the backend; ``Connection/none`` before one is chosen.
    var backend = Connection.none
    /// The rule's target that was chosen; ``Connection/none`` before.
    var target = Connection.none
    /// The endpoint of the last attempt; its state stays while the exchange lasts.
    var endpoint = Connection.none
    var series: UInt32 = 0
    /// Of the key that the backend is balanced by; zero for none.
    var hash: UInt64 = 0
    /// Bytes of the bodies, without framing where that is looked at.
    var requestBytes: UInt64 = 0
    var responseBytes: UInt64 = 0
    var body = BodyReader()
    /// Nanoseconds of the worker's clock.
    var startedAt: UInt64 = 0
    /// Milliseconds; zero where the rule sets none.
    var requestDeadline: UInt64 = 0
    var holdUntil: UInt64 = 0
    /// Milliseconds; when the last attempt began.
    var attemptAt: UInt64 = 0
    /// The status that was answered; zero before.
    var status: UInt16 = 0
    /// Where the second part of ``Connection/log`` starts.
    var logSplit: UInt16 = 0
    /// How often the request was sent once more.
    var attempts: UInt8 = 0
    var error = ProxyError.none
    /// The exchange ended before its answer was complete.
    var isAborted = false
    /// The next attempt takes a new connection: a kept one has just turned out to be dead.
    var needsNewConnection = false
    /// A dead kept connection was forgiven once.
    var hasMetDeadConnection = false
    var isHTTP10 = false
    var isHead = false
    var isIdempotent = false
    var hadBody = false
    var wantsUpgrade = false
    /// `request` holds everything that was sent, so it can be sent again.
    var isIntact = false
    /// Some of the request has left for an endpoint.
    var hasSent = false
    /// Some of the answer has left for the client.
    var hasAnswered = false
    /// The final head of the answer was read.
    var hasResponseHead = false
    /// The endpoint no longer takes the request's body.
    var dropsBody = false
    var delivery = Delivery.verbatim
    var ownAnswer = OwnAnswer.none
    var admission = Admission()

    /// Copies that wait for the rest of the body, chained by `next`.
    var firstCopy = Connection.none

    /// Who answers in place of a backend.
    enum OwnAnswer: UInt8 {
        case none
        case rule
        /// A browser asks what a page of another origin may do.
        case preflight
    }

    /// How the body of the answer reaches the client.
    enum Delivery: UInt8 {
        case verbatim
        /// Ends with the endpoint's connection; sent on in chunks.
        case chunking
        /// Comes in chunks; an HTTP/1.0 client gets the data alone.
        case dechunking
    }
}

/// All connections of one worker, in pieces that never move.
struct ConnectionSlab: ~Copyable {
    private static let pieceShift = 10
    private static let pieceSize = 1 << pieceShift

    private let pieces: UnsafeMutablePointer<ConnectionPointer?>
    private let capacity: Int
    private var made = 0
    private var firstFree = Connection.none
    private(set) var inUse = 0

    init(capacity: Int) {
        self.capacity = (capacity + Self.pieceSize - 1) / Self.pieceSize * Self.pieceSize
        pieces = .allocate(capacity: self.capacity / Self.pieceSize)
        pieces.initialize(repeating: nil, count: self.capacity / Self.pieceSize)
    }

    deinit {
        for piece in 0..<capacity / Self.pieceSize { pieces[piece]?.deallocate() }
        pieces.deallocate()
    }

    @inline(__always)
    subscript(index: UInt32) -> ConnectionPointer {
        precondition(index < UInt32(truncatingIfNeeded: made), "A connection's index must be one that was made.")
        return pieces[Int(index) >> Self.pieceShift]! + (Int(index) & (Self.pieceSize - 1))
    }

    var count: Int { made }

    /// A fresh connection, or `nil` when the slab is full.
    mutating func take(_ role: Connection.Role, descriptor: Int32) -> ConnectionPointer? {
        if firstFree == Connection.none, !grow() { return nil }
        let connection = self[firstFree]
        firstFree = connection.pointee.next
        let (index, generation) = (connection.pointee.index, connection.pointee.generation)
        connection.pointee = Connection()
        connection.pointee.index = index
        connection.pointee.generation = generation &+ 1
        connection.pointee.role = role
        connection.pointee.descriptor = descriptor
        inUse += 1
        return connection
    }

    /// The connection must hold no buffers and stand in no list.
    mutating func give(_ connection: ConnectionPointer) {
        precondition(connection.pointee.role != .free, "A connection is given back once.")
        connection.pointee.role = .free
        connection.pointee.descriptor = -1
        connection.pointee.generation &+= 1
        connection.pointee.next = firstFree
        firstFree = connection.pointee.index
        inUse -= 1
    }

    /// The connection that an event was registered for, or `nil` when it is gone.
    @inline(__always)
    func find(token: UInt64) -> ConnectionPointer? {
        let connection = self[UInt32(truncatingIfNeeded: token)]
        guard connection.pointee.generation == UInt32(truncatingIfNeeded: token >> 32) else { return nil }
        return connection
    }

    @inline(__always)
    static func token(_ connection: ConnectionPointer) -> UInt64 {
        UInt64(connection.pointee.generation) << 32 | UInt64(connection.pointee.index)
    }

    private mutating func grow() -> Bool {
        guard made < capacity else { return false }
        let piece = ConnectionPointer.allocate(capacity: Self.pieceSize)
        piece.initialize(repeating: Connection(), count: Self.pieceSize)
        pieces[made >> Self.pieceShift] = piece
        for offset in (0..<Self.pieceSize).reversed() {
            piece[offset].index = UInt32(made + offset)
            piece[offset].next = firstFree
            firstFree = UInt32(made + offset)
        }
        made += Self.pieceSize
        return true
    }
}
