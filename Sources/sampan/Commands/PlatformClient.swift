import ArgumentParser
import AsyncHTTPClient
import Foundation
import Host
import NIOCore
import NIOHTTP1

/// Which platform a command talks to: the one in a home on this machine, or one elsewhere by address and token.
struct PlatformOption: ParsableArguments {
    @OptionGroup var home: HomeOption
    @Option(help: "Address of a platform elsewhere (SAMPAN_URL); needs a token in SAMPAN_TOKEN.")
    var url: String?

    func client() async throws -> PlatformClient {
        if let url = url ?? ProcessInfo.processInfo.environment["SAMPAN_URL"] {
            guard let token = ProcessInfo.processInfo.environment["SAMPAN_TOKEN"] else {
                throw HostError("set SAMPAN_TOKEN to a personal access token of \(url)")
            }
            return PlatformClient(url: url, token: token)
        }
        let settings = try home.settings()
        let token = try await ControlClient(home.value).sessionToken()
        return PlatformClient(url: PlatformStatus.URLs(settings).web, token: token)
    }
}

/// The platform's REST API, as the commands use it.
struct PlatformClient: Sendable {
    let url: String
    let token: String

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// A path with slashes as one segment, such as the id of a project.
    func escape(_ segment: String) -> String {
        segment.addingPercentEncoding(withAllowedCharacters: .alphanumerics.union(CharacterSet(charactersIn: "-._~")))
            ?? segment
    }

    /// The object at `path`, or `nil` when there is none.
    func find<Value: Decodable>(_ path: String) async throws -> Value? {
        let response = try await execute(request(.GET, path))
        if response.status == .notFound { return nil }
        return try await decode(response)
    }

    func get<Value: Decodable>(_ path: String) async throws -> Value {
        try await decode(try await execute(request(.GET, path)))
    }

    /// A plain text, at most 16 MiB of it.
    func text(_ path: String) async throws -> [UInt8] {
        let response = try await execute(request(.GET, path))
        guard response.status == .ok else { throw await failure(response) }
        return Array(try await response.body.collect(upTo: 16 << 20).readableBytesView)
    }

    func post<Value: Decodable>(_ path: String, _ fields: [String: String?]) async throws -> Value {
        var request = request(.POST, path)
        request.headers.add(name: "Content-Type", value: "application/json")
        request.body = .bytes(ByteBuffer(bytes: try JSONEncoder().encode(fields.compactMapValues { $0 })))
        return try await decode(try await execute(request))
    }

    /// Sends `body` and prints the text that comes back as it comes; its last line carries the exit code.
    func stream(_ path: String, body: HTTPClientRequest.Body?) async throws -> Int {
        var request = request(.POST, path)
        request.body = body
        let response = try await execute(request, timeout: .hours(2))
        guard response.status == .ok else { throw await failure(response) }
        var lines = ExitCodeLines()
        for try await part in response.body {
            for line in lines.append(part) { print(line) }
        }
        guard let code = lines.finish() else {
            throw Failure(
                description: "the connection to the platform was lost; 'sampan releases' shows what became of it"
            )
        }
        return code
    }

    // MARK: - Private

    private func request(_ method: HTTPMethod, _ path: String) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: "\(url)/api/v4/\(path)")
        request.method = method
        request.headers.add(name: "PRIVATE-TOKEN", value: token)
        return request
    }

    private func execute(
        _ request: HTTPClientRequest,
        timeout: TimeAmount = .seconds(60)
    ) async throws -> HTTPClientResponse {
        do {
            return try await HTTPClient.shared.execute(request, timeout: timeout)
        } catch let error as HTTPClientError {
            throw Failure(description: "\(url) cannot be reached (\(error)); 'sampan status' says what is missing")
        }
    }

    private func decode<Value: Decodable>(_ response: HTTPClientResponse) async throws -> Value {
        guard (200..<300).contains(response.status.code) else { throw await failure(response) }
        let body = try await response.body.collect(upTo: 16 << 20)
        return try JSONDecoder().decode(Value.self, from: Data(body.readableBytesView))
    }

    private func failure(_ response: HTTPClientResponse) async -> Failure {
        let body = (try? await response.body.collect(upTo: 64 << 10)).map { String(buffer: $0) } ?? ""
        let object = try? JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any]
        let message = object?["message"] ?? object?["error"] ?? body
        return Failure(description: "the platform answered \(response.status.code): \(message)")
    }
}

/// Splits a streamed answer into lines and keeps the last one, `sampan-exit-code: N`, for itself.
struct ExitCodeLines {
    private var rest = ""
    private var code: Int?

    mutating func append(_ part: ByteBuffer) -> [String] {
        rest += String(buffer: part)
        var lines = rest.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        rest = lines.removeLast()
        return lines.filter { line in
            guard line.hasPrefix("sampan-exit-code: "), let value = Int(line.dropFirst(18)) else { return true }
            code = value
            return false
        }
    }

    mutating func finish() -> Int? { code }
}
