import AsyncHTTPClient
import CLinux
import Foundation
import Host
import NIOCore
import NIOHTTP1
import SystemPackage

/// Talks to the running server through its control socket, which only the machine's administrator can open.
struct ControlClient: Sendable {
    private let home: Home

    init(_ home: Home) { self.home = home }

    /// Answered at once or not at all: a server that ends may still listen.
    func status() async throws -> PlatformStatus {
        try await request(.GET, "status", timeout: .seconds(5))
    }

    /// A token of the administrator for one command.
    func sessionToken() async throws -> String {
        let answer: CreatedToken = try await request(.POST, "session")
        return answer.token
    }

    func createToken(user: String, scopes: [String], name: String) async throws -> String {
        let answer: CreatedToken = try await request(
            .POST,
            "tokens",
            TokenRequest(user: user, scopes: scopes, name: name)
        )
        return answer.token
    }

    struct TokenRequest: Codable, Sendable {
        let user: String
        let scopes: [String]
        let name: String
    }

    struct CreatedToken: Codable, Sendable {
        let token: String
    }

    struct Failure: Codable, Sendable {
        let message: String
    }

    // MARK: - Private

    private func request<Answer: Decodable>(
        _ method: HTTPMethodName,
        _ path: String,
        _ body: (any Encodable)? = nil,
        timeout: TimeAmount = .seconds(30)
    ) async throws -> Answer {
        guard let url = URL(httpURLWithSocketPath: home.controlSocket.string, uri: "/\(path)") else {
            throw HostError("\(home.controlSocket) is no path of a socket")
        }
        var request = HTTPClientRequest(url: url.absoluteString)
        request.method = method == .GET ? .GET : .POST
        if let body {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: try JSONEncoder().encode(body)))
        }
        let response = try await execute(request, timeout)
        let bytes = Data(try await response.body.collect(upTo: 1 << 20).readableBytesView)
        guard response.status == .ok else {
            let failure = try? JSONDecoder().decode(Failure.self, from: bytes)
            throw HostError(failure?.message ?? "the server answered \(response.status.code)")
        }
        return try JSONDecoder().decode(Answer.self, from: bytes)
    }

    private enum HTTPMethodName { case GET, POST }

    private func execute(_ request: HTTPClientRequest, _ timeout: TimeAmount) async throws -> HTTPClientResponse {
        // The client would try to connect until the time is over.
        guard clinux_probe_unix_socket(home.controlSocket.string) == 0,
            let response = try? await HTTPClient.shared.execute(request, timeout: timeout)
        else {
            throw HostError(
                "the platform in \(home.path) does not answer; start it with 'sampan up --home \(home.path)'"
            )
        }
        return response
    }
}
