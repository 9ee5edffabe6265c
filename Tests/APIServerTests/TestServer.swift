import Foundation
import KubernetesModel
import Logging
import Testing

@testable import APIServer

/// A server on a free port of the loopback interface, with its files in a directory of its own.
struct TestServer {
    let server: APIServer

    var kubeconfig: String { server.adminKubeconfigPath }
    var url: String { "https://127.0.0.1:\(server.port ?? 0)" }

    /// Serves for as long as `body` runs, then shuts down and removes the files.
    static func with(
        identities: [APIServer.Identity] = [],
        nodeConnection: (any NodeConnection)? = nil,
        kindsWithoutController: KindsWithoutController = KindsWithoutController(),
        _ body: (TestServer) async throws -> Void
    ) async throws {
        let directory = FileManager.default.temporaryDirectory.path + "/sampan-api-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let server = try APIServer(
            configuration: .init(
                directory: directory,
                listeners: [.init(host: "127.0.0.1", port: 0)],
                serviceCIDR: "10.43.0.0/24",
                identities: identities,
                kindsWithoutController: kindsWithoutController
            ),
            nodeConnection: nodeConnection,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            try await eventually { server.front.isReady }
            try await body(TestServer(server: server))
            group.cancelAll()
        }
    }

    func kubectl(_ arguments: String..., input: String? = nil) async throws -> CommandResult {
        try await CommandResult.run(
            "/usr/bin/env",
            ["kubectl", "--kubeconfig", kubeconfig, "--cache-dir", kubeconfig + ".cache"] + arguments,
            input: input
        )
    }

    /// A request with the administrator's token by curl, which shares no code with the server.
    func curl(_ path: String, _ arguments: String...) async throws -> CommandResult {
        let token = try #require(server.staticTokens.token(of: "admin"))
        return try await curl(path, token: token, arguments)
    }

    func curl(_ path: String, token: String?, _ arguments: [String] = []) async throws -> CommandResult {
        let authority = server.configuration.directory + "/ca.crt"
        let authorization = token.map { ["-H", "Authorization: Bearer \($0)"] } ?? []
        return try await CommandResult.run(
            "/usr/bin/curl",
            ["-sS", "--max-time", "20", "--cacert", authority] + authorization + arguments + [url + path]
        )
    }
}

/// Waits until `condition` holds.
func eventually(
    within limit: Duration = .seconds(20),
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        try #require(ContinuousClock.now < deadline, "the condition did not hold within \(limit)")
        try await Task.sleep(for: .milliseconds(10))
    }
}

/// What a program printed and how it ended.
struct CommandResult: Sendable {
    let status: Int32
    let output: String
    let errors: String

    var json: JSON { (try? JSON(parsing: output)) ?? .null }

    static func run(_ program: String, _ arguments: [String], input: String? = nil) async throws -> CommandResult {
        let base = FileManager.default.temporaryDirectory.path + "/sampan-command-\(UUID().uuidString)"
        let paths = ["\(base).in", "\(base).out", "\(base).err"]
        defer { for path in paths { try? FileManager.default.removeItem(atPath: path) } }
        for (path, content) in zip(paths, [input ?? "", "", ""]) {
            try content.write(toFile: path, atomically: false, encoding: .utf8)
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.standardInput = FileHandle(forReadingAtPath: paths[0])
        process.standardOutput = FileHandle(forWritingAtPath: paths[1])
        process.standardError = FileHandle(forWritingAtPath: paths[2])
        let status = try await withCheckedThrowingContinuation { continuation in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do {
                try process.run()
            } catch {
                continuation.resume(throwing: error)
            }
        }
        return CommandResult(
            status: status,
            output: try String(contentsOfFile: paths[1], encoding: .utf8),
            errors: try String(contentsOfFile: paths[2], encoding: .utf8)
        )
    }
}
