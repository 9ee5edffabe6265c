import HTTPTypes
import HummingbirdCore
import KubernetesModel
import NIOCore

/// What the API answers to a request.
struct Answer: Sendable {
    enum Body: Sendable {
        case bytes([UInt8])
        /// Written one after the other, so that large lists need no second copy.
        case chunks([ByteBuffer])
        /// Written as they come.
        case stream(AsyncThrowingStream<[UInt8], any Error>)
        /// A watch: like a stream, and an error becomes its last line.
        case events(AsyncThrowingStream<[UInt8], any Error>)
    }

    var code = 200
    var contentType = "application/json"
    var warnings: [String] = []
    var body: Body

    static func json(_ value: JSON, code: Int = 200, warnings: [String] = []) -> Answer {
        Answer(code: code, warnings: warnings, body: .bytes(value.encoded()))
    }

    static func text(_ text: String) -> Answer {
        Answer(contentType: "text/plain; charset=utf-8", body: .bytes(Array(text.utf8)))
    }

    /// The one place where errors become answers.
    static func error(_ error: any Error) -> Answer {
        if let status = error as? StatusError { return .json(status.json, code: status.code) }
        if error is NIOTooManyBytesError {
            let limit = APIFront.maximumBodySize / 1_048_576
            let tooLarge = StatusError(
                code: 413,
                reason: "RequestEntityTooLarge",
                message: "the request is too large: the limit is \(limit) MiB"
            )
            return .json(tooLarge.json, code: 413)
        }
        return .json(StatusError.internalError("an internal error occurred").json, code: 500)
    }

    @concurrent
    func write(_ writer: consuming ResponseWriter) async throws {
        var head = HTTPResponse(status: .init(code: code))
        head.headerFields[.contentType] = contentType
        for warning in warnings.prefix(16) {
            let quoted = warning.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : $0.isNewline ? " " : String($0) }.joined()
            head.headerFields.append(HTTPField(name: Self.warning, value: "299 - \"\(quoted.prefix(256))\""))
        }
        switch body {
        case .bytes(let bytes):
            head.headerFields[.contentLength] = String(bytes.count)
            try await writer.write(response: head, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
        case .chunks(let chunks):
            head.headerFields[.contentLength] = String(chunks.reduce(0) { $0 + $1.readableBytes })
            var body = try await writer.writeHead(head)
            for chunk in chunks { try await body.write(chunk) }
            try await body.finish(nil)
        case .stream(let stream):
            head.headerFields[.transferEncoding] = "chunked"
            var body = try await writer.writeHead(head)
            for try await chunk in stream { try await body.write(ByteBuffer(bytes: chunk)) }
            try await body.finish(nil)
        case .events(let events):
            head.headerFields[.transferEncoding] = "chunked"
            var body = try await writer.writeHead(head)
            // An empty piece, so that the client has the head before the first event comes.
            try await body.write(ByteBuffer())
            do {
                for try await line in events { try await body.write(ByteBuffer(bytes: line)) }
            } catch let error as StatusError {
                try await body.write(ByteBuffer(bytes: ObjectEncoding.errorLine(error)))
            }
            try await body.finish(nil)
        }
    }

    private static let warning: HTTPField.Name = {
        guard let name = HTTPField.Name("Warning") else { preconditionFailure("\"Warning\" is a field name.") }
        return name
    }()
}
