import CLinux

/// What one generator thread knows of one traffic class.
struct ClassState: BitwiseCopyable {
    var requests: UnsafeMutablePointer<RequestBytes>
    var requestCount: Int
    var nextRequest: Int
    var isHead: Bool
    /// May be sent again when a kept connection turns out to be closed (RFC 9110 §9.2.2).
    var isIdempotent: Bool
    var opensNewConnections: Bool
    /// Nanoseconds; the largest number where there is none.
    var deadline: UInt64
    /// Connections that may be open, and are.
    var limit: Int
    var open = 0
    var idle = SocketList()
    var busy = SocketList()

    // Open model:
    var segments: UnsafeMutablePointer<ArrivalSchedule.Segment>
    var cursor: ArrivalCursor
    /// The next arrival, nanoseconds of the monotonic clock; the largest number when none is left.
    var nextArrival: UInt64 = .max
    var waiting = WaitingRing()

    // Closed model:
    /// Users without a connection that want to send at once, and those that failed and wait a little.
    var readyUsers = 0
    var failedUsers = 0

    init(_ description: TrafficClass, plan: LoadPlan, schedule: ArrivalSchedule, thread: Int) {
        let rendered = RequestRenderer.render(description, target: plan.target)
        requests = .allocate(capacity: rendered.count)
        requestCount = rendered.count
        nextRequest = thread % rendered.count
        for (index, bytes) in rendered.enumerated() {
            let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: bytes.count)
            copy.initialize(from: bytes, count: bytes.count)
            requests[index] = RequestBytes(base: copy, count: bytes.count)
        }
        isHead = description.method == "HEAD"
        isIdempotent = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"].contains(description.method)
        opensNewConnections = description.opensNewConnections
        deadline = description.deadline.map(UInt64.init) ?? .max
        limit = Self.part(of: description.connections, thread: thread, threads: plan.threads)
        segments = .allocate(capacity: max(1, schedule.segments.count))
        segments.initialize(from: schedule.segments, count: schedule.segments.count)
        cursor = ArrivalCursor(
            segments,
            count: schedule.segments.count,
            offset: thread,
            stride: plan.threads,
            seed: plan.spacing == .poisson ? clinux_random() | 1 : 0
        )
    }

    /// A thread's part of a number, such that the parts add up and none is empty.
    private static func part(of total: Int, thread: Int, threads: Int) -> Int {
        max(1, total * (thread + 1) / threads - total * thread / threads)
    }

    func deallocate() {
        for index in 0..<requestCount { requests[index].base?.deallocate() }
        requests.deallocate()
        segments.deallocate()
        waiting.deallocate()
    }

    @inline(__always)
    mutating func takeRequest() -> RequestBytes {
        let request = requests[nextRequest]
        nextRequest += 1
        if nextRequest == requestCount { nextRequest = 0 }
        return request
    }
}

/// Intended times of arrivals that wait for a connection, oldest first. Grows up to ``LoadPlan/maximumWaiting``.
struct WaitingRing: BitwiseCopyable {
    private var base: UnsafeMutablePointer<UInt64>?
    private var capacity = 0
    private var head = 0
    private(set) var count = 0

    func deallocate() { base?.deallocate() }

    var first: UInt64? { count > 0 ? base.unsafelyUnwrapped[head] : nil }

    /// Whether there was room.
    mutating func append(_ time: UInt64) -> Bool {
        if count == capacity {
            guard capacity < LoadPlan.maximumWaiting else { return false }
            grow()
        }
        base.unsafelyUnwrapped[(head + count) & (capacity - 1)] = time
        count += 1
        return true
    }

    mutating func popFirst() -> UInt64? {
        guard let time = first else { return nil }
        head = (head + 1) & (capacity - 1)
        count -= 1
        return time
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<UInt64>.allocate(capacity: max(1024, capacity * 2))
        for index in 0..<count { larger[index] = base.unsafelyUnwrapped[(head + index) & (capacity - 1)] }
        base?.deallocate()
        base = larger
        capacity = max(1024, capacity * 2)
        head = 0
    }
}

/// Writes a class's requests as HTTP/1.1 (RFC 9112 §3), one for each of its paths.
enum RequestRenderer {
    static func render(_ description: TrafficClass, target: LoadTarget) -> [[UInt8]] {
        let names = Set(description.headers.map { $0.name.lowercased() })
        var fields = ""
        if !names.contains("host") { fields += "Host: \(target.authority)\r\n" }
        if !names.contains("user-agent") { fields += "User-Agent: sampan-load\r\n" }
        for header in description.headers { fields += "\(header.name): \(header.value)\r\n" }
        if !description.body.isEmpty || ["POST", "PUT", "PATCH"].contains(description.method) {
            fields += "Content-Length: \(description.body.count)\r\n"
        }
        if description.opensNewConnections { fields += "Connection: close\r\n" }
        return description.paths.map { path in
            Array("\(description.method) \(path) HTTP/1.1\r\n\(fields)\r\n".utf8) + description.body
        }
    }
}
