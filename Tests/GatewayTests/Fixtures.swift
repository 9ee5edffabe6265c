import Foundation
import Logging
import Testing

@testable import Gateway

extension RouteTable {
    /// One rule for everything, to one backend.
    static func single(
        _ ports: [Int],
        timeouts: Timeouts = Timeouts(),
        filters: Filters = Filters(),
        retry: RetryPolicy? = nil,
        policy: BackendPolicy = BackendPolicy()
    ) -> RouteTable {
        let endpoints = ports.map { Endpoint(address: "127.0.0.1", port: $0) }
        return RouteTable(
            rules: [
                Rule(
                    route: "default/all",
                    filters: filters,
                    targets: [Target(backend: "default/app:80")],
                    timeouts: timeouts,
                    retry: retry
                )
            ],
            backends: [Backend(name: "default/app:80", endpoints: endpoints, policy: policy)]
        )
    }
}

/// Runs `body` with a data path on a free loopback port and ends it afterwards.
func withDataPlane<Value>(
    _ table: RouteTable,
    workers: Int = 1,
    configure: (inout DataPathConfiguration) -> Void = { _ in },
    accessLog: AccessLogSettings? = nil,
    _ body: (DataPlane) async throws -> Value
) async throws -> Value {
    var configuration = DataPathConfiguration()
    configure(&configuration)
    let plane = try DataPlane(
        host: "127.0.0.1",
        port: 0,
        workers: workers,
        configuration: configuration,
        table: table,
        accessLog: accessLog
    )
    do {
        let value = try await body(plane)
        plane.stop(within: 0)
        return value
    } catch {
        plane.stop(within: 0)
        throw error
    }
}

/// As ``withDataPlane(_:workers:configure:accessLog:_:)``, with what watches the backends running beside it.
func withWatchedPlane<Value>(
    _ table: RouteTable,
    workers: Int = 1,
    _ body: (DataPlane) async throws -> Value
) async throws -> Value {
    try await withDataPlane(table, workers: workers) { plane in
        let watching = Task { await BackendWatch(plane: plane, logger: Logger(label: "test")).run() }
        defer { watching.cancel() }
        return try await body(plane)
    }
}

extension DataPlane {
    func endpoint(port: Int) throws -> EndpointRecord {
        try backends.flatMap(\.endpoints).first { $0.key.port == port }
            .orThrow(RawConnection.Failure(description: "no endpoint with port \(port)"))
    }
}

/// Waits until `condition` holds; fails after the deadline.
func eventually(
    within seconds: Double = 15,
    _ condition: () async throws -> Bool,
    sourceLocation: SourceLocation = #_sourceLocation
) async throws {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while try await !condition() {
        guard ContinuousClock.now < deadline else {
            Issue.record("the condition did not hold within \(seconds) s", sourceLocation: sourceLocation)
            return
        }
        try await Task.sleep(for: .milliseconds(2))
    }
}

/// Runs blocking work on a thread of its own.
func onThread<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result { try work() }) }
    }
}

func get(_ path: String = "/", host: String = "example.test", extra: String = "") -> String {
    "GET \(path) HTTP/1.1\r\nHost: \(host)\r\n\(extra)\r\n"
}
