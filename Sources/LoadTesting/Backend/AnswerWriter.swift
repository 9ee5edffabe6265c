import Foundation

/// The plain answer, rendered once for each change of the settings.
struct PreparedAnswers: BitwiseCopyable {
    private(set) var plain = ByteStore()

    mutating func prepare(_ settings: BackendSettings) {
        deallocate()
        plain = AnswerWriter.answer(
            status: 200,
            size: settings.bodySize,
            isChunked: settings.isChunked && settings.bodySize > 0,
            keepsAlive: true,
            isHead: false
        )
    }

    func deallocate() { plain.base?.deallocate() }
}

/// Renders answers (RFC 9112 §4).
enum AnswerWriter {
    private static let chunkSize = 4096

    /// The caller clears the store.
    static func answer(status: Int, size: Int, isChunked: Bool, keepsAlive: Bool, isHead: Bool) -> ByteStore {
        let framing = isChunked ? "Transfer-Encoding: chunked" : "Content-Length: \(size)"
        let hasBody = status != 204 && status != 304
        var text = "HTTP/1.1 \(status) \(reason(status))\r\nContent-Type: text/plain\r\n"
        if hasBody { text += "\(framing)\r\n" }
        if !keepsAlive { text += "Connection: close\r\n" }
        text += "\r\n"
        var bytes = Array(text.utf8)
        if hasBody, !isHead { appendBody(size, isChunked: isChunked, to: &bytes) }
        return store(bytes)
    }

    private static func appendBody(_ size: Int, isChunked: Bool, to bytes: inout [UInt8]) {
        guard isChunked else {
            bytes.append(contentsOf: repeatElement(UInt8(ascii: "x"), count: size))
            return
        }
        var left = size
        while left > 0 {
            let part = min(left, chunkSize)
            bytes.append(contentsOf: "\(String(part, radix: 16))\r\n".utf8)
            bytes.append(contentsOf: repeatElement(UInt8(ascii: "x"), count: part))
            bytes.append(contentsOf: "\r\n".utf8)
            left -= part
        }
        bytes.append(contentsOf: "0\r\n\r\n".utf8)
    }

    static func json(answer body: String, keepsAlive: Bool) -> ByteStore {
        let connection = keepsAlive ? "" : "Connection: close\r\n"
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\(connection)\r\n"
        return store(Array((head + body).utf8))
    }

    static func json(_ value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        return (try? encoder.encode(value)).map { String(decoding: $0, as: UTF8.self) + "\n" } ?? "{}\n"
    }

    private static func store(_ bytes: [UInt8]) -> ByteStore {
        var store = ByteStore()
        bytes.withUnsafeBufferPointer { store.set($0.baseAddress!, $0.count) }
        return store
    }

    private static func reason(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 204: "No Content"
        case 400: "Bad Request"
        case 404: "Not Found"
        case 429: "Too Many Requests"
        case 500: "Internal Server Error"
        case 503: "Service Unavailable"
        default: "Status"
        }
    }
}
