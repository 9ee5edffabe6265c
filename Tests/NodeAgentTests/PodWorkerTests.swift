import Foundation
import KubernetesClient
import KubernetesModel
import Logging
import ServiceLifecycle
import Synchronization
import TestKit
import Testing

@testable import NodeAgent

/// The agent on a runtime in memory: what a real one does too rarely or too well.
@Suite(.timeLimit(.minutes(3))) struct PodWorkerTests {
    private struct Fixture {
        let runtime = ScriptedRuntime()
        let cluster = MemoryCluster()
        let home = "/tmp/nw-\(UInt64.random(in: .min ... .max))"
        var drains: [any TrafficDrain] = []

        func makeAgent() -> NodeAgent {
            let configuration = NodeAgent.Configuration(
                home: home,
                identifier: "nw",
                runtimeSocketPath: "",
                nodeName: "node-1"
            )
            var logger = Logger(label: "test")
            logger.logLevel = .critical
            return NodeAgent(
                client: cluster,
                configuration: configuration,
                runtime: runtime,
                drains: drains,
                logger: logger
            )
        }

        func withAgent(_ body: (NodeAgent) async throws -> Void) async throws {
            defer { try? FileManager.default.removeItem(atPath: home) }
            let agent = makeAgent()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try? await agent.run() }
                defer { group.cancelAll() }
                try await body(agent)
            }
        }

        func create(
            _ name: String,
            restart: String = "Always",
            grace: Int = 30,
            pull: String = "IfNotPresent"
        ) async throws {
            let pod: JSON = [
                "metadata": ["name": .string(name), "namespace": "default"],
                "spec": [
                    "nodeName": "node-1", "restartPolicy": .string(restart),
                    "terminationGracePeriodSeconds": JSON(grace),
                    "containers": [["name": "main", "image": "i:1", "imagePullPolicy": .string(pull)]],
                ],
            ]
            _ = try await cluster.create(.pods, namespace: "default", pod)
        }

        func status(_ name: String) -> JSON { cluster.find(.pods, namespace: "default", name: name)?["status"] ?? [:] }

        func isReady(_ name: String) -> Bool {
            status(name)["conditions"]?.array?.contains { $0["type"] == "Ready" && $0["status"] == "True" } ?? false
        }
    }

    @Test func triesASandboxAgainAndTellsWhy() async throws {
        let fixture = Fixture()
        fixture.runtime.failSandboxes([RuntimeError(code: .other, message: "no address left")])
        try await fixture.withAgent { _ in
            try await fixture.create("a")
            try await waitUntil("ready") { fixture.isReady("a") }
            try await waitUntil("the event") {
                fixture.cluster.all(.events).contains {
                    $0["reason"] == "FailedCreatePodSandBox"
                        && $0["message"] == "Failed to create pod sandbox: no address left"
                }
            }
        }
    }

    @Test func aRegistryThatIsStartingFailsNoPull() async throws {
        let fixture = Fixture()
        let refused = RuntimeError(code: .other, message: "dial tcp 127.0.0.1:1: connect: connection refused")
        fixture.runtime.failPulls([refused, refused])
        try await fixture.withAgent { _ in
            try await fixture.create("a", pull: "Always")
            try await waitUntil("ready") { fixture.isReady("a") }
            #expect(fixture.runtime.calls.filter { $0 == "pullImage" }.count == 3)
            #expect(!fixture.cluster.all(.events).contains { $0["message"] == "Error: ErrImagePull" })
        }
    }

    @Test func anExitThatIsToldBeforeItIsShownIsNotMissed() async throws {
        let fixture = Fixture()
        try await fixture.withAgent { _ in
            try await fixture.create("a", restart: "Never")
            try await waitUntil("ready") { fixture.isReady("a") }
            try await fixture.runtime.exit("main", code: 4, shownAfter: .milliseconds(150))
            try await waitUntil("the end", within: .seconds(30)) { fixture.status("a")["phase"] == "Failed" }
            #expect(fixture.status("a")["containerStatuses"]?[0]?["state", "terminated", "exitCode"] == 4)
        }
    }

    @Test func aFullNodeIsReadySoonAndDoesNotMixUpPods() async throws {
        let fixture = Fixture()
        try await fixture.withAgent { _ in
            for index in 0..<250 { try await fixture.create("p\(index)") }
            try await waitUntil("all ready", within: .seconds(30)) {
                (0..<250).allSatisfy { fixture.isReady("p\($0)") }
            }
            let addresses = (0..<250).map { fixture.status("p\($0)")["podIP"]?.string ?? "" }
            #expect(Set(addresses).count == 250)
        }
    }

    @Test func aDrainThatNeverConfirmsHoldsNoLongerThanTheGracePeriod() async throws {
        let drain = RecordingDrain()
        drain.hold()
        var fixture = Fixture()
        fixture.drains = [drain, RecordingDrain()]
        let started = fixture
        try await started.withAgent { _ in
            try await started.create("a", grace: 5)
            try await waitUntil("ready") { started.isReady("a") }
            _ = try await started.cluster.delete(.pods, namespace: "default", name: "a")
            try await waitUntil("withdrawal") { !drain.addresses.isEmpty }
            #expect(!started.runtime.calls.contains { $0.hasPrefix("stopContainer") })
            try await waitUntil("gone", within: .seconds(30)) {
                started.cluster.find(.pods, namespace: "default", name: "a") == nil
            }
            #expect(started.runtime.calls.contains("stopContainer 2"))
        }
    }

    @Test func aGracefulShutdownLeavesContainersAlone() async throws {
        let fixture = Fixture()
        defer { try? FileManager.default.removeItem(atPath: fixture.home) }
        let agent = fixture.makeAgent()
        let group = ServiceGroup(services: [agent], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            try await fixture.create("a")
            try await waitUntil("ready") { fixture.isReady("a") }
            try await waitUntil("the lease") {
                fixture.cluster.find(.leases, namespace: "kube-node-lease", name: "node-1") != nil
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
        #expect(fixture.runtime.state.withLock { $0.containers.map(\.state) } == [.running])
        #expect(fixture.cluster.find(.leases, namespace: "kube-node-lease", name: "node-1") != nil)
    }

    @Test func aRuntimeThatIsAwayMakesTheNodeNotReadyAndLosesNothing() async throws {
        let fixture = Fixture()
        try await fixture.withAgent { _ in
            try await fixture.create("a")
            try await waitUntil("ready") { fixture.isReady("a") }
            fixture.runtime.setDown(true)
            func nodeReady() -> JSON? {
                fixture.cluster.find(.nodes, name: "node-1")?["status", "conditions"]?.array?
                    .first { $0["type"] == "Ready" }?["status"]
            }
            try await waitUntil("not ready", within: .seconds(20)) { nodeReady() == "False" }
            try await fixture.create("b")
            fixture.runtime.setDown(false)
            try await waitUntil("ready again", within: .seconds(10)) { nodeReady() == "True" && fixture.isReady("b") }
            #expect(fixture.status("a")["containerStatuses"]?[0]?["restartCount"] == 0)
        }
    }
}
