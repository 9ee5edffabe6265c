import AsyncHTTPClient
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NIOHTTP1
import Subprocess
import SystemPackage

@testable import Registry

/// Users `alice:secret` who may do everything, and `bob:secret` who may only pull.
struct TwoUsers: RegistryAccess {
    func authenticate(authorization: String) async throws -> RegistryIdentity? {
        let users = ["alice", "bob"].map { ($0, "Basic " + Data("\($0):secret".utf8).base64EncodedString()) }
        return users.first { $0.1 == authorization }.map { RegistryIdentity($0.0) }
    }

    func allows(_ identity: RegistryIdentity?, _ action: RegistryAction, repository: String) async -> Bool {
        identity?.name == "alice" || (identity?.name == "bob" && action == .pull)
    }
}

/// A registry on a port of its own over a folder that goes away with it.
struct LiveRegistry: Sendable {
    let storage: RegistryStorage
    let port: Int

    var host: String { "127.0.0.1:\(port)" }

    static func run<Value: Sendable>(
        root: String? = nil,
        _ body: @escaping @Sendable (LiveRegistry) async throws -> Value
    ) async throws -> Value {
        let folder = try root ?? makeFolder()
        let storage = try RegistryStorage(root: folder + "/registry")
        let signer = try TokenSigner(keyFile: folder + "/keys/registry.key")
        let logger = Logger(label: "registry-tests") { _ in SwiftLogNoOpLogHandler() }
        let router = Router()
        RegistryRoutes(storage: storage, access: TwoUsers(), signer: signer, logger: logger).addRoutes(to: router)
        let (ports, portSource) = AsyncStream<Int>.makeStream()
        let application = Application(
            router: router,
            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { portSource.yield($0.localAddress?.port ?? 0) },
            logger: logger
        )
        defer { if root == nil { try? FileManager.default.removeItem(atPath: folder) } }
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await application.run() }
            var iterator = ports.makeAsyncIterator()
            let port = await iterator.next() ?? 0
            let result: Result<Value, any Error>
            do { result = .success(try await body(LiveRegistry(storage: storage, port: port))) } catch {
                result = .failure(error)
            }
            group.cancelAll()
            while (try? await group.next()) != nil {}
            return try result.get()
        }
    }

    static func makeFolder() throws -> String {
        let path = "/tmp/registry-tests-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }
}

// MARK: - Requests

struct Answer: Sendable {
    var status: Int
    var headers: [String: String]
    var body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }
    /// The code of the first error in the body.
    var code: String? {
        struct Errors: Decodable {
            struct Entry: Decodable { let code: String }
            let errors: [Entry]
        }
        return try? JSONDecoder().decode(Errors.self, from: Data(body)).errors.first?.code
    }
}

extension LiveRegistry {
    func send(
        _ method: String,
        _ path: String,
        _ body: [UInt8]? = nil,
        headers: [String: String] = [:],
        as user: String? = "alice:secret"
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: "http://\(host)\(path)")
        request.method = .init(rawValue: method)
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        if let user, headers["Authorization"] == nil { request.setBasicAuth(user) }
        if let body { request.body = .bytes(ByteBuffer(bytes: body)) }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(30))
        let received = try await response.body.collect(upTo: 256 << 20)
        let fields = response.headers.map { ($0.name.lowercased(), $0.value) }
        return Answer(
            status: Int(response.status.code),
            headers: Dictionary(fields, uniquingKeysWith: { first, _ in first }),
            body: Array(received.readableBytesView)
        )
    }

    /// Pushes a blob in one request.
    func push(_ blob: [UInt8], to repository: String) async throws -> Answer {
        try await send("POST", "/v2/\(repository)/blobs/uploads/?digest=\(ContentDigest(of: blob))", blob)
    }

    /// Pushes an image whose only layer is `layer`.
    func pushImage(
        _ repository: String,
        tag: String,
        layer: String = "layer",
        subject: ContentDigest? = nil
    ) async throws
        -> ContentDigest
    {
        let layer = Array(layer.utf8)
        _ = try await push(layer, to: repository)
        _ = try await push(Array("{}".utf8), to: repository)
        let subject = subject.map { #", "subject":{"digest":"\#($0)"}, "artifactType":"application/sbom""# } ?? ""
        let manifest = """
            {"schemaVersion":2,"mediaType":"\(Manifest.imageManifest)","config":{"digest":"\(ContentDigest(of: Array("{}".utf8)))"},
            "layers":[{"digest":"\(ContentDigest(of: layer))"}]\(subject)}
            """
        let answer = try await send(
            "PUT",
            "/v2/\(repository)/manifests/\(tag)",
            Array(manifest.utf8),
            headers: ["Content-Type": Manifest.imageManifest]
        )
        guard answer.status == 201, let digest = ContentDigest(answer.headers["docker-content-digest"] ?? "") else {
            throw UnexpectedAnswer(answer: answer)
        }
        return digest
    }
}

struct UnexpectedAnswer: Error, CustomStringConvertible {
    var answer: Answer
    var description: String { "\(answer.status) \(answer.text)" }
}

extension HTTPClientRequest {
    fileprivate mutating func setBasicAuth(_ credentials: String) {
        headers.replaceOrAdd(name: "Authorization", value: "Basic " + Data(credentials.utf8).base64EncodedString())
    }
}

// MARK: - Programs

struct ProgramFailed: Error, CustomStringConvertible {
    var description: String
}

/// Runs a program and gives what it printed; throws with that when it fails.
@discardableResult
func program(_ name: String, _ arguments: [String], in folder: String = "/tmp") async throws -> String {
    let result = try await Subprocess.run(
        .name(name),
        arguments: Arguments(arguments),
        workingDirectory: .init(folder),
        output: .string(limit: 8 << 20),
        error: .combinedWithOutput
    )
    let output = result.standardOutput
    guard result.terminationStatus.isSuccess else {
        throw ProgramFailed(description: "\(name) \(arguments.joined(separator: " ")): \(output)")
    }
    return output
}
