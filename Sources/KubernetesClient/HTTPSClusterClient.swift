import AsyncHTTPClient
import Foundation
package import KubernetesModel
package import Logging
import NIOCore
import NIOHTTP1
import NIOSSL
import ServiceLifecycle
import Synchronization

/// A cluster reached over HTTPS: any Kubernetes by kubeconfig or in-cluster identity.
///
/// Works from `init` on. ``run()`` keeps the connections until graceful shutdown and then closes them; who does not run it as a
/// service must call ``shutdown()`` at the end.
package final class HTTPSClusterClient: ClusterClient, Service {
    private let access: ClusterAccess
    private let logger: Logger
    /// For requests and watches: a server sends something on every watch at least each minute.
    private let client: HTTPClient
    /// For logs that are followed, which may be silent for days.
    private let patientClient: HTTPClient
    private let tokenFile: TokenFile?

    /// The longest time from sending a request to the head of its answer.
    private static let requestTimeout = TimeAmount.seconds(60)
    private static let maximumResponseSize = 1 << 30
    private static let maximumThrottleRetries = 4

    package init(_ access: ClusterAccess, logger: Logger) throws {
        self.access = access
        self.logger = logger
        var configuration = HTTPClient.Configuration()
        configuration.tlsConfiguration = try Self.tlsConfiguration(for: access)
        configuration.redirectConfiguration = .disallow
        configuration.httpVersion = .http1Only
        // Every watch holds a connection of its own.
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 1024
        configuration.timeout = .init(connect: .seconds(10), read: .seconds(180))
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        configuration.timeout = .init(connect: .seconds(10))
        patientClient = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        if case .tokenFile(let path) = access.identity { tokenFile = TokenFile(path: path) } else { tokenFile = nil }
    }

    package func run() async throws {
        try? await gracefulShutdown()
        try await shutdown()
    }

    /// Closes all connections; requests that still run fail.
    package func shutdown() async throws {
        try await client.shutdown()
        try await patientClient.shutdown()
    }

    private static func tlsConfiguration(for access: ClusterAccess) throws -> TLSConfiguration {
        var tls = TLSConfiguration.makeClientConfiguration()
        if !access.verifiesServer { tls.certificateVerification = .none }
        if !access.certificateAuthority.isEmpty {
            tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(access.certificateAuthority))
        }
        if case .certificate(let chain, let key) = access.identity {
            tls.certificateChain = try NIOSSLCertificate.fromPEMBytes(chain).map { .certificate($0) }
            tls.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: key, format: .pem))
        }
        return tls
    }
}

// MARK: - Sending

extension HTTPSClusterClient {
    /// A request for JSON at `path`, which may hold characters that a URL must escape.
    private func request(
        _ method: HTTPMethod,
        _ path: String,
        query: [(String, String)] = [],
        body: JSON? = nil,
        contentType: String = "application/json"
    ) throws -> HTTPClientRequest {
        let escapedPath = path.addingPercentEncoding(withAllowedCharacters: .urlPathAllowed) ?? path
        var request = HTTPClientRequest(url: access.server + escapedPath + Self.queryText(query))
        request.method = method
        request.headers.add(name: "accept", value: "application/json")
        request.headers.add(name: "user-agent", value: "sampan")
        if let body {
            request.headers.add(name: "content-type", value: contentType)
            request.body = .bytes(ByteBuffer(bytes: body.encoded()))
        }
        if let token = try currentToken() { request.headers.add(name: "authorization", value: "Bearer \(token)") }
        return request
    }

    private static func queryText(_ query: [(String, String)]) -> String {
        let allowed = CharacterSet(charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
        let parts = query.map { "\($0.0)=\($0.1.addingPercentEncoding(withAllowedCharacters: allowed) ?? "")" }
        return parts.isEmpty ? "" : "?" + parts.joined(separator: "&")
    }

    private func currentToken() throws -> String? {
        if case .token(let token) = access.identity { return token }
        return try tokenFile?.read()
    }

    /// Sends `request` and answers with a response of status 2xx; all others are thrown as ``StatusError``. Waits as long as a throttled
    /// server asks for, a few times and briefly.
    private func send(_ request: HTTPClientRequest, by client: HTTPClient) async throws -> HTTPClientResponse {
        for _ in 0..<Self.maximumThrottleRetries {
            let response = try await client.execute(request, timeout: Self.requestTimeout)
            guard response.status == .tooManyRequests,
                let seconds = response.headers.first(name: "retry-after").flatMap({ Int($0) }), seconds <= 10
            else { return try await Self.checked(response) }
            try await Task.sleep(for: .seconds(max(seconds, 1)))
        }
        return try await Self.checked(client.execute(request, timeout: Self.requestTimeout))
    }

    private static func checked(_ response: HTTPClientResponse) async throws -> HTTPClientResponse {
        guard (200..<300).contains(response.status.code) else {
            let body = try await response.body.collect(upTo: 1 << 20)
            throw StatusError(code: Int(response.status.code), body: Array(body.readableBytesView))
        }
        return response
    }

    private func json(_ request: HTTPClientRequest) async throws -> JSON {
        let response = try await send(request, by: client)
        let body = try await response.body.collect(upTo: Self.maximumResponseSize)
        return try JSON(parsing: body.readableBytesView)
    }
}

// MARK: - ClusterClient

extension HTTPSClusterClient {
    package func get(_ resource: Resource, namespace: String?, name: String) async throws -> JSON {
        try await json(request(.GET, resource.path(namespace: namespace, name: name)))
    }

    package func list(_ resource: Resource, namespace: String?, options: ListOptions) async throws -> ObjectList {
        let answer = try await json(
            request(.GET, resource.path(namespace: namespace), query: options.query)
        )
        // Items of a list carry no kind of their own.
        let items = (answer["items"]?.array ?? []).map { item in
            guard item["kind"] == nil else { return item }
            var object: JSONObject = ["apiVersion": .string(resource.apiVersion), "kind": .string(resource.kind)]
            for (field, value) in item.object ?? [:] { object[field] = value }
            return JSON.object(object)
        }
        return ObjectList(
            items: items,
            resourceVersion: answer["metadata", "resourceVersion"]?.string ?? "",
            continueToken: answer["metadata", "continue"]?.string ?? ""
        )
    }

    package func watch(_ resource: Resource, namespace: String?, options: ListOptions) async throws -> WatchStream {
        // Ends in time even when the other side vanished without a word; spread so that watches do not restart together.
        let seconds = Int.random(in: 300..<600)
        let query =
            options.query + [
                ("watch", "true"), ("allowWatchBookmarks", "true"), ("timeoutSeconds", String(seconds)),
            ]
        let response = try await send(
            request(.GET, resource.path(namespace: namespace), query: query),
            by: client
        )
        let reader = WatchReader(response.body)
        return WatchStream(unfolding: { try await reader.next() })
    }

    package func create(
        _ resource: Resource,
        namespace: String?,
        _ object: JSON,
        options: WriteOptions
    ) async throws -> JSON {
        try await json(request(.POST, resource.path(namespace: namespace), query: options.query, body: object))
    }

    package func update(
        _ resource: Resource,
        _ object: JSON,
        subresource: String?,
        options: WriteOptions
    ) async throws -> JSON {
        let view = AnyObjectView(object)
        let path = resource.path(
            namespace: resource.isNamespaced ? view.namespace : nil,
            name: view.name,
            subresource: subresource
        )
        return try await json(request(.PUT, path, query: options.query, body: object))
    }

    package func patch(
        _ resource: Resource,
        namespace: String?,
        name: String,
        subresource: String?,
        _ patch: Patch,
        options: WriteOptions
    ) async throws -> JSON {
        var query = options.query
        if patch.format == .apply { query.append(("force", options.force ? "true" : "false")) }
        return try await json(
            request(
                .PATCH,
                resource.path(namespace: namespace, name: name, subresource: subresource),
                query: query,
                body: patch.body,
                contentType: patch.format.rawValue
            )
        )
    }

    package func delete(
        _ resource: Resource,
        namespace: String?,
        name: String,
        options: DeleteOptions
    ) async throws -> JSON {
        try await json(request(.DELETE, resource.path(namespace: namespace, name: name), body: options.json))
    }

    package func post(
        _ resource: Resource,
        namespace: String?,
        name: String,
        subresource: String,
        _ body: JSON
    ) async throws -> JSON {
        try await json(
            request(.POST, resource.path(namespace: namespace, name: name, subresource: subresource), body: body)
        )
    }

    package func logs(namespace: String, pod: String, options: LogOptions) async throws -> ByteStream {
        let path = Resource.pods.path(namespace: namespace, name: pod, subresource: "log")
        let response = try await send(request(.GET, path, query: options.query), by: patientClient)
        let reader = BodyReader(response.body)
        return ByteStream(unfolding: { try await reader.next() })
    }
}

// MARK: - Options on the wire

extension ListOptions {
    fileprivate var query: [(String, String)] {
        var query: [(String, String)] = []
        if !labelSelector.isEmpty { query.append(("labelSelector", labelSelector)) }
        if !fieldSelector.isEmpty { query.append(("fieldSelector", fieldSelector)) }
        if !resourceVersion.isEmpty { query.append(("resourceVersion", resourceVersion)) }
        if let limit { query.append(("limit", String(limit))) }
        if !continueToken.isEmpty { query.append(("continue", continueToken)) }
        return query
    }
}

extension WriteOptions {
    fileprivate var query: [(String, String)] {
        var query = [("fieldManager", fieldManager), ("fieldValidation", fieldValidation)]
        if isDryRun { query.append(("dryRun", "All")) }
        return query
    }
}

extension DeleteOptions {
    fileprivate var json: JSON {
        var json: JSON = ["kind": "DeleteOptions", "apiVersion": "v1"]
        json["gracePeriodSeconds"] = gracePeriodSeconds.map { JSON($0) }
        json["propagationPolicy"] = propagationPolicy.map { .string($0.rawValue) }
        if let uid { json["preconditions", "uid"] = .string(uid) }
        if let resourceVersion { json["preconditions", "resourceVersion"] = .string(resourceVersion) }
        return json
    }
}

extension LogOptions {
    fileprivate var query: [(String, String)] {
        var query: [(String, String)] = []
        if !container.isEmpty { query.append(("container", container)) }
        if follow { query.append(("follow", "true")) }
        if previous { query.append(("previous", "true")) }
        if timestamps { query.append(("timestamps", "true")) }
        if let tailLines { query.append(("tailLines", String(tailLines))) }
        if let sinceSeconds { query.append(("sinceSeconds", String(sinceSeconds))) }
        if let sinceTime { query.append(("sinceTime", sinceTime)) }
        if let limitBytes { query.append(("limitBytes", String(limitBytes))) }
        return query
    }
}

// MARK: - Streams

/// Reads a response body chunk by chunk, only as fast as the reader asks.
///
/// `@unchecked`: the iterator is touched by `next()` alone, which the one stream around this reader calls for one element at a time.
private final class BodyReader: @unchecked Sendable {
    private var iterator: HTTPClientResponse.Body.AsyncIterator

    init(_ body: HTTPClientResponse.Body) {
        iterator = body.makeAsyncIterator()
    }

    func next() async throws -> [UInt8]? {
        while let chunk = try await iterator.next() {
            if chunk.readableBytes > 0 { return Array(chunk.readableBytesView) }
        }
        return nil
    }
}

/// Reads the events of a watch.
///
/// `@unchecked`: as ``BodyReader``, `next()` is never called twice at a time.
private final class WatchReader: @unchecked Sendable {
    private let body: BodyReader
    private var lines = JSONLines()
    private var events: [[UInt8]] = []
    private var position = 0

    init(_ body: HTTPClientResponse.Body) {
        self.body = BodyReader(body)
    }

    func next() async throws -> WatchEvent? {
        while position == events.count {
            guard let chunk = try await body.next() else { return nil }
            events = try lines.append(chunk)
            position = 0
        }
        position += 1
        return try WatchEvent(line: events[position - 1])
    }
}

/// A token in a file that somebody renews: read at most once in ten seconds.
private final class TokenFile: Sendable {
    private let path: String
    private let cached = Mutex<(token: String, readAt: ContinuousClock.Instant)?>(nil)

    init(path: String) {
        self.path = path
    }

    func read() throws -> String {
        try cached.withLock { cached in
            if let cached, cached.readAt.duration(to: .now) < .seconds(10) { return cached.token }
            let text = String(decoding: try ClusterAccess.readFile(path), as: UTF8.self)
            let token = text.trimmingCharacters(in: .whitespacesAndNewlines)
            cached = (token, .now)
            return token
        }
    }
}
