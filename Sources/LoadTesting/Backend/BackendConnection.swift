typealias BackendConnectionPointer = UnsafeMutablePointer<BackendConnection>

/// One client of a back end.
struct BackendConnection: SocketSlot {
    var index = SocketSlabLimits.none
    var generation: UInt32 = 0
    var descriptor: Int32 = -1
    var next = SocketSlabLimits.none
    var previous = SocketSlabLimits.none

    enum Phase: UInt8 { case reading, working, writing }

    var phase = Phase.reading
    var isReadable = false
    var peerEnded = false
    /// Received and not yet used.
    var input = ByteStore()
    /// Bytes of the request's body that are still to come.
    var bodyLeft: UInt64 = 0
    var route = BackendRoute()
    /// What a short write left over.
    var output = ByteStore()
}

/// Bytes on the heap, owned by whoever holds the struct.
struct ByteStore: BitwiseCopyable {
    private(set) var base: UnsafeMutablePointer<UInt8>?
    private(set) var count = 0
    var used = 0

    mutating func set(_ bytes: UnsafePointer<UInt8>, _ length: Int) {
        let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, length))
        copy.initialize(from: bytes, count: length)
        base?.deallocate()
        (base, count, used) = (copy, length, 0)
    }

    mutating func append(_ bytes: UnsafePointer<UInt8>, _ length: Int) {
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: count + length)
        if let base { larger.initialize(from: base, count: count) }
        (larger + count).initialize(from: bytes, count: length)
        base?.deallocate()
        (base, count) = (larger, count + length)
    }

    mutating func clear() {
        base?.deallocate()
        self = ByteStore()
    }
}

/// What a request asks of the back end.
///
/// `/-/status/404` answers with that status, `/-/bytes/4096` and `/-/chunked/4096` with so large a body, `/-/close` ends the connection
/// after the answer, `/-/delay/20ms` takes its own time, `/-/stall` never answers, `/-/reset` resets the connection, `/-/stats` tells
/// what was done and `/-/settings?name=value` changes the settings. Any other path gets the plain answer.
struct BackendRoute: BitwiseCopyable {
    enum Action: UInt8 { case plain, sized, stall, reset, delay, stats, settings, malformed }

    var action = Action.plain
    var isHead = false
    var keepsAlive = true
    var isChunked = false
    var status: UInt16 = 200
    var size = 0
    /// Nanoseconds.
    var delay = 0

    /// - Parameter path: one that begins with `/-/`.
    init(special path: String, isHead: Bool, keepsAlive: Bool) {
        self.isHead = isHead
        self.keepsAlive = keepsAlive
        let parts = path.split(separator: "?")[0].split(separator: "/").dropFirst().map(String.init)
        let argument = parts.count > 1 ? parts[1] : ""
        switch parts.first {
        case "status": (action, status) = (.sized, UInt16(argument) ?? 0)
        case "bytes": (action, size) = (.sized, Int(argument) ?? -1)
        case "chunked": (action, size, isChunked) = (.sized, Int(argument) ?? -1, true)
        case "close": self.keepsAlive = false
        case "delay": (action, delay) = (.delay, (try? Quantities.duration(argument)) ?? -1)
        case "stall": action = .stall
        case "reset": action = .reset
        case "stats": action = .stats
        case "settings": action = .settings
        default: action = .malformed
        }
        let isValid = 200...599 ~= status && 0...BackendSettings.maximumBody ~= size && delay >= 0
        if !isValid { action = .malformed }
    }

    init(isHead: Bool = false, keepsAlive: Bool = true) {
        self.isHead = isHead
        self.keepsAlive = keepsAlive
    }
}
