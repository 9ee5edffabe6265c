import Foundation
import KubernetesClient
import KubernetesModel
import Logging
import Synchronization
import TestKit
import Testing

@testable import NodeAgent

/// A node agent on a real containerd and a cluster in memory.
struct NodeAgentFixture: Sendable {
    let containerd: ContainerdFixture
    let cluster: MemoryCluster
    let drain: RecordingDrain

    static func with(_ body: (NodeAgentFixture) async throws -> Void) async throws {
        try await ContainerdFixture.with { containerd in
            let fixture = NodeAgentFixture(
                containerd: containerd,
                cluster: MemoryCluster(),
                drain: RecordingDrain()
            )
            try await body(fixture)
            try await NodeAgent.removeEverything(fixture.configuration)
            #expect(containerd.shims().isEmpty)
            #expect(containerd.mounts() == [])
            #expect(containerd.controlGroups() == [])
        }
    }

    var configuration: NodeAgent.Configuration {
        var configuration = NodeAgent.Configuration(
            home: containerd.home,
            identifier: containerd.identifier,
            runtimeSocketPath: containerd.configuration.socketPath,
            nodeName: "node-1",
            address: "127.0.0.1",
            clusterDNS: "10.43.0.10",
            kubernetesService: .init(host: "10.43.0.1", port: 443)
        )
        configuration.capacity = NodeCapacity(cpus: 2, memoryBytes: 4 << 30)
        return configuration
    }

    func makeAgent() throws -> NodeAgent {
        var logger = Logger(label: "test")
        logger.logLevel = ProcessInfo.processInfo.environment["NODE_AGENT_LOG"] == nil ? .critical : .debug
        return try NodeAgent(client: cluster, configuration: configuration, drains: [drain], logger: logger)
    }

    /// Runs an agent while `body` runs.
    func withAgent(_ body: (NodeAgent) async throws -> Void) async throws {
        let agent = try makeAgent()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try? await agent.run() }
            do {
                try await body(agent)
            } catch {
                group.cancelAll()
                throw error
            }
            group.cancelAll()
        }
    }

    // MARK: - Pods

    @discardableResult
    func createPod(_ name: String, _ script: String, _ change: (inout JSON) -> Void = { _ in }) async throws -> Pod {
        var pod: JSON = [
            "apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string(name), "namespace": "default"],
            "spec": [
                "nodeName": "node-1", "terminationGracePeriodSeconds": 5,
                "containers": [
                    [
                        "name": "main", "image": .string(ContainerdFixture.image),
                        "command": ["/bin/sh", "-c", .string(script)],
                    ]
                ],
            ],
            "status": [
                "phase": "Pending", "conditions": [["type": "PodScheduled", "status": "True"]],
            ],
        ]
        change(&pod)
        return Pod(try await cluster.create(.pods, namespace: "default", pod))
    }

    func pod(_ name: String) -> Pod? { cluster.find(.pods, namespace: "default", name: name).map(Pod.init) }

    func status(_ name: String, container: String = "main") -> JSON? {
        let pod = pod(name)
        let all = ["containerStatuses", "initContainerStatuses"].flatMap { pod?.status[$0]?.array ?? [] }
        return all.first { $0["name"]?.string == container }
    }

    func isReady(_ name: String) -> Bool {
        pod(name)?.status["conditions"]?.array?.contains { $0["type"] == "Ready" && $0["status"] == "True" } ?? false
    }

    func waitUntilReady(_ name: String) async throws {
        try await waitUntil("pod \(name) is ready", within: .seconds(30)) { isReady(name) }
    }

    func waitUntilGone(_ name: String) async throws {
        try await waitUntil("pod \(name) is gone", within: .seconds(30)) { pod(name) == nil }
    }

    func events(_ reason: String) -> [String] {
        cluster.all(.events).filter { $0["reason"]?.string == reason }.compactMap { $0["message"]?.string }
    }

    func text(_ stream: ByteStream) async throws -> String {
        var bytes: [UInt8] = []
        for try await piece in stream { bytes += piece }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// Confirms when it is told to, and notes when it was asked.
final class RecordingDrain: TrafficDrain {
    struct State {
        var addresses: [String] = []
        var isHolding = false
    }
    let state = Mutex(State())
    let release = Latch()

    var addresses: [String] { state.withLock { $0.addresses } }

    func hold() { state.withLock { $0.isHolding = true } }

    func withdraw(podIP: String, deadline: ContinuousClock.Instant) async throws {
        let isHolding = state.withLock { state in
            state.addresses.append(podIP)
            return state.isHolding
        }
        if isHolding { await release.wait() }
    }
}
