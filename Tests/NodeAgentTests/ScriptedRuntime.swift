import Foundation
import KubernetesModel
import Synchronization

@testable import NodeAgent

/// A runtime in memory that does what a test tells it to.
final class ScriptedRuntime: ContainerRuntime {
    struct State {
        var sandboxes: [Sandbox] = []
        var containers: [Container] = []
        var next = 0
        var failures: [RuntimeError] = []
        var pullFailures: [RuntimeError] = []
        var isDown = false
        var handler: (@Sendable (RuntimeEvent) -> Void)?
        var calls: [String] = []
    }
    let state = Mutex(State())

    var calls: [String] { state.withLock { $0.calls } }

    /// Makes the next attempts to run a sandbox fail.
    func failSandboxes(_ errors: [RuntimeError]) { state.withLock { $0.failures = errors } }
    func failPulls(_ errors: [RuntimeError]) { state.withLock { $0.pullFailures = errors } }
    func setDown(_ isDown: Bool) { state.withLock { $0.isDown = isDown } }

    /// Tells of the exit first, and shows it after `delay`, as a real runtime may.
    func exit(_ name: String, code: Int, shownAfter delay: Duration) async throws {
        let (id, handler) = state.withLock { state in
            (state.containers.first { $0.name == name && $0.state == .running }?.id ?? "", state.handler)
        }
        handler?(.exited(containerID: id))
        try await Task.sleep(for: delay)
        state.withLock { state in
            for index in state.containers.indices where state.containers[index].id == id {
                state.containers[index].state = .exited
                state.containers[index].exitCode = code
                state.containers[index].finishedAt = .present
            }
        }
    }

    private func perform<Value: Sendable>(_ call: String, _ body: (inout State) throws -> Value) throws -> Value {
        try state.withLock { state in
            state.calls.append(call)
            if state.isDown { throw RuntimeError(code: .unavailable, message: "down") }
            return try body(&state)
        }
    }

    // MARK: - ContainerRuntime

    func run() async throws { try await Task.sleep(for: .seconds(3600)) }
    func version() async throws -> String { try perform("version") { _ in "scripted://1" } }

    func sandboxes(podUID: String?) async throws -> [Sandbox] {
        try perform("sandboxes") { state in
            state.sandboxes.filter { podUID == nil || $0.podUID == podUID }.sorted { $0.attempt > $1.attempt }
        }
    }

    func runSandbox(_ specification: SandboxSpecification) async throws -> String {
        try perform("runSandbox") { state in
            if !state.failures.isEmpty { throw state.failures.removeFirst() }
            state.next += 1
            let sandbox = Sandbox(
                id: "s\(state.next)",
                name: specification.name,
                namespace: specification.namespace,
                podUID: specification.podUID,
                attempt: specification.attempt,
                isReady: true,
                createdAt: .present,
                addresses: ["10.9.0.\(state.next)"]
            )
            state.sandboxes.append(sandbox)
            return sandbox.id
        }
    }

    func stopSandbox(_ id: String) async throws {
        try perform("stopSandbox") { state in
            for index in state.sandboxes.indices where state.sandboxes[index].id == id {
                state.sandboxes[index].isReady = false
            }
        }
    }

    func removeSandbox(_ id: String) async throws {
        try perform("removeSandbox") { state in
            state.sandboxes.removeAll { $0.id == id }
            state.containers.removeAll { $0.sandboxID == id }
        }
    }

    func containers(podUID: String?) async throws -> [Container] {
        try perform("containers") { state in
            state.containers.filter { podUID == nil || $0.labels[Label.podUID] == podUID }
                .sorted { $0.attempt > $1.attempt }
        }
    }

    func createContainer(
        _ specification: ContainerSpecification,
        sandboxID: String,
        sandbox: SandboxSpecification
    ) async throws -> String {
        try perform("createContainer") { state in
            state.next += 1
            var container = Container(
                id: "c\(state.next)",
                sandboxID: sandboxID,
                name: specification.name,
                attempt: specification.attempt,
                state: .created,
                createdAt: .present
            )
            container.labels = specification.labels
            container.annotations = specification.annotations
            state.containers.append(container)
            return container.id
        }
    }

    func startContainer(_ id: String) async throws {
        try perform("startContainer") { state in
            for index in state.containers.indices where state.containers[index].id == id {
                state.containers[index].state = .running
                state.containers[index].startedAt = .present
            }
        }
    }

    func stopContainer(_ id: String, gracePeriod: Duration) async throws {
        try perform("stopContainer \(gracePeriod.components.seconds)") { state in
            for index in state.containers.indices where state.containers[index].id == id {
                state.containers[index].state = .exited
                state.containers[index].finishedAt = .present
            }
        }
    }

    func removeContainer(_ id: String) async throws {
        try perform("removeContainer") { state in state.containers.removeAll { $0.id == id } }
    }

    func reopenLog(_ id: String) async throws {}
    func statistics() async throws -> [ContainerStatistics] { [] }

    func execute(_ command: [String], in id: String, timeout: Duration) async throws -> ExecutionResult {
        ExecutionResult(exitCode: 0, output: [], errorOutput: [])
    }

    func streamingURL(_ request: StreamingRequest) async throws -> String { "http://127.0.0.1:1/x" }

    func image(_ reference: String) async throws -> RuntimeImage? {
        RuntimeImage(id: reference, tags: [], digests: [], size: 1)
    }

    func images() async throws -> [RuntimeImage] { [] }
    func pullImage(_ reference: String, credentials: RegistryCredentials?) async throws -> String {
        try perform("pullImage") { state in
            guard state.pullFailures.isEmpty else { throw state.pullFailures.removeFirst() }
            return reference
        }
    }
    func removeImage(_ reference: String) async throws {}

    func watchEvents(_ handle: @escaping @Sendable (RuntimeEvent) -> Void) async throws {
        state.withLock { $0.handler = handle }
        try await Task.sleep(for: .seconds(3600))
    }
}
