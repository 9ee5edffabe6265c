import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Subprocess
import SystemPackage
import TestKit

@testable import Registry
@testable import Releases

let quiet = Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() }

/// Everybody may do everything in project 7, `demo/shop`.
struct OpenAccess: ReleaseAccess {
    static let project = ReleaseProject(id: 7, path: "demo/shop", webURL: "http://sampan/demo/shop")
    static let origin = ReleaseOrigin(commit: "c0ffee", ref: "feature/A_b", pipelineID: 3, jobID: 4, jobName: "image")

    func caller(of request: Request, project: String, for action: ReleaseAction) async throws -> ReleaseCaller {
        Self.caller
    }

    func pullLogin(of project: ReleaseProject) async throws -> RegistryLogin {
        RegistryLogin(user: "deploy", secret: "secret")
    }

    static let caller = ReleaseCaller(
        project: project,
        userName: "alice",
        origin: origin,
        login: RegistryLogin(user: "gitlab-ci-token", secret: "secret")
    )
}

/// The one user `gitlab-ci-token:secret` of a registry.
struct JobUser: RegistryAccess {
    func authenticate(authorization: String) async throws -> RegistryIdentity? {
        let expected = "Basic " + Data("gitlab-ci-token:secret".utf8).base64EncodedString()
        return authorization == expected ? RegistryIdentity("job") : nil
    }

    func allows(_ identity: RegistryIdentity?, _ action: RegistryAction, repository: String) async -> Bool {
        identity != nil
    }
}

/// A folder that goes away after `body`.
@discardableResult
func withFolder<Value>(_ body: (String) async throws -> Value) async throws -> Value {
    let path = "/tmp/releases-tests-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    let result: Result<Value, any Error>
    do { result = .success(try await body(path)) } catch { result = .failure(error) }
    // Processes that were killed a moment ago may still let go of files.
    try await waitUntil("\(path) is removed") {
        try? FileManager.default.removeItem(atPath: path)
        return !FileManager.default.fileExists(atPath: path)
    }
    return try result.get()
}

/// Serves `router` on a port of its own while `body` runs.
func withServer<Value: Sendable>(
    _ router: Router<BasicRequestContext>,
    _ body: @escaping @Sendable (Int) async throws -> Value
) async throws -> Value {
    let (ports, portSource) = AsyncStream<Int>.makeStream()
    let application = Application(
        router: router,
        configuration: .init(address: .hostname("127.0.0.1", port: 0)),
        onServerRunning: { portSource.yield($0.localAddress?.port ?? 0) },
        logger: quiet
    )
    return try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await application.run() }
        var iterator = ports.makeAsyncIterator()
        let port = await iterator.next() ?? 0
        let result: Result<Value, any Error>
        do { result = .success(try await body(port)) } catch { result = .failure(error) }
        group.cancelAll()
        while (try? await group.next()) != nil {}
        return try result.get()
    }
}

/// Serves a registry for ``JobUser`` while `body` runs.
func withRegistry<Value: Sendable>(
    _ folder: String,
    _ body: @escaping @Sendable (RegistryStorage, Int) async throws -> Value
) async throws -> Value {
    let storage = try RegistryStorage(root: folder + "/registry")
    let router = Router()
    RegistryRoutes(
        storage: storage,
        access: JobUser(),
        signer: try TokenSigner(keyFile: folder + "/key"),
        logger: quiet
    )
    .addRoutes(to: router)
    return try await withServer(router) { try await body(storage, $0) }
}

extension Result where Failure == any Error {
    static func catching(_ work: () async throws -> Success) async -> Self {
        do { return .success(try await work()) } catch { return .failure(error) }
    }
}

/// Runs a program; throws with what it printed when it fails.
@discardableResult
func program(_ name: String, _ arguments: [String], in folder: String = "/tmp") async throws -> String {
    let result = try await Subprocess.run(
        .name(name),
        arguments: Arguments(arguments),
        workingDirectory: FilePath(folder),
        output: .string(limit: 8 << 20),
        error: .combinedWithOutput
    )
    guard result.terminationStatus.isSuccess else { throw ReleaseError("\(name): \(result.standardOutput)") }
    return result.standardOutput
}

/// Chunks as a request's body.
func body(_ bytes: [UInt8], chunk: Int = 64 << 10) -> AsyncThrowingStream<ByteBuffer, any Error> {
    AsyncThrowingStream { continuation in
        for start in stride(from: 0, to: bytes.count, by: chunk) {
            continuation.yield(ByteBuffer(bytes: bytes[start..<min(start + chunk, bytes.count)]))
        }
        continuation.finish()
    }
}

extension ProgressOutput {
    /// What was written until ``finish()``.
    func text() async throws -> String {
        var text: [UInt8] = []
        while let part = try await next() { text += part }
        return String(decoding: text, as: UTF8.self)
    }
}

extension Parameters {
    /// The parameters of a query string.
    init(query: String) {
        let head = HTTPRequest(method: .get, scheme: nil, authority: nil, path: "/?\(query)")
        self = Request(head: head, body: RequestBody(buffer: ByteBuffer())).uri.queryParameters
    }
}
