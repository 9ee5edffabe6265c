// An HTTP/1.1 server of one file: a thread a connection, keep-alive, no libraries, so that the image is one static program.
import Glibc

let catalog = Catalog()
let port: UInt16 = 8080

func serve(_ connection: Int32) {
    defer { close(connection) }
    var received: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 8192)
    while true {
        while let end = endOfHead(received) {
            let head = String(decoding: received[..<end], as: UTF8.self)
            received.removeFirst(end)
            guard answer(head, on: connection) else { return }
        }
        guard received.count < 65_536 else { return }
        let count = read(connection, &buffer, buffer.count)
        guard count > 0 else { return }
        received += buffer[..<count]
    }
}

/// The offset behind the blank line that ends a request's head.
func endOfHead(_ bytes: [UInt8]) -> Int? {
    guard bytes.count >= 4 else { return nil }
    return (4...bytes.count).first { bytes[$0 - 4..<$0].elementsEqual([13, 10, 13, 10]) }
}

/// Answers one request; `false` when the connection is to be closed.
func answer(_ head: String, on connection: Int32) -> Bool {
    let lines = head.split(whereSeparator: \.isNewline)
    let words = lines.first?.split(separator: " ") ?? []
    guard words.count == 3 else { return false }
    let path = words[1].split(separator: "?", maxSplits: 1).first ?? "/"
    let response = catalog.response(method: words[0], path: path)
    let closes = lines.contains { $0.lowercased() == "connection: close" }
    var text = "HTTP/1.1 \(response.status)\r\nContent-Type: \(response.type); charset=utf-8\r\n"
    text += "Content-Length: \(response.body.utf8.count)\r\nConnection: \(closes ? "close" : "keep-alive")\r\n\r\n"
    if words[0] != "HEAD" { text += response.body }
    var bytes = Array(text.utf8)
    while !bytes.isEmpty {
        let count = write(connection, bytes, bytes.count)
        guard count > 0 else { return false }
        bytes.removeFirst(count)
    }
    return !closes
}

signal(SIGPIPE, SIG_IGN)
// As the first process of its container it would otherwise ignore the request to end.
signal(SIGTERM) { _ in _exit(0) }
let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
var reuse: Int32 = 1
setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<Int32>.size))
var address = sockaddr_in()
address.sin_family = sa_family_t(AF_INET)
address.sin_port = port.bigEndian
let bound = withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
    }
}
guard bound == 0, listen(listener, 1024) == 0 else {
    perror("cannot listen on port \(port)")
    exit(1)
}
print("catalog listens on port \(port)")
fflush(stdout)
while true {
    let connection = accept(listener, nil, nil)
    guard connection >= 0 else { continue }
    var thread = pthread_t()
    let argument = UnsafeMutableRawPointer(bitPattern: Int(connection) + 1)
    let started = pthread_create(
        &thread,
        nil,
        { argument in
            serve(Int32(Int(bitPattern: argument) - 1))
            return nil
        },
        argument
    )
    if started == 0 { pthread_detach(thread) } else { close(connection) }
}
