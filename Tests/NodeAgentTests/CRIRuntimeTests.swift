import Foundation
import Glibc
import NIOCore
import TestKit
import Testing

@testable import NodeAgent

@Suite(.serialized) struct CRIRuntimeTests {
    @Test(.timeLimit(.minutes(2)))
    func runsASandboxAndMoreThanAThousandCallsOnOneConnection() async throws {
        try await ContainerdFixture.with { fixture in
            let runtime = try CRIRuntime(socketPath: fixture.configuration.socketPath)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await runtime.run() }
                let specification = fixture.sandbox("one")
                let id = try await runtime.runSandbox(specification)
                let sandboxes = try await runtime.sandboxes(podUID: "uid-one")
                #expect(sandboxes.map(\.id) == [id])
                #expect(sandboxes.first?.isReady == true)
                #expect(sandboxes.first?.addresses.count == 1)
                for _ in 0..<1_200 { _ = try await runtime.version() }
                #expect(try await runtime.sandboxes(podUID: "other").isEmpty)
                try await runtime.stopSandbox(id)
                try await runtime.removeSandbox(id)
                #expect(try await runtime.sandboxes(podUID: nil).isEmpty)
                group.cancelAll()
            }
            try await waitUntil("the shims are gone") { fixture.shims().isEmpty }
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func aContainerWhoseStartWasCutOffHasNotRun() async throws {
        try await ContainerdFixture.with { fixture in
            let runtime = try CRIRuntime(socketPath: fixture.configuration.socketPath)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await runtime.run() }
                let sandbox = fixture.sandbox("cut")
                let sandboxID = try await runtime.runSandbox(sandbox)
                for number in 0..<24 {
                    let container = fixture.sleeper("c\(number)", in: sandbox)
                    let id = try await runtime.createContainer(container, sandboxID: sandboxID, sandbox: sandbox)
                    let start = Task { try await runtime.startContainer(id) }
                    try await Task.sleep(for: .milliseconds(number * 3))
                    start.cancel()
                    _ = await start.result
                }
                let containers = try await runtime.containers(podUID: sandbox.podUID)
                #expect(containers.count == 24)
                #expect(containers.contains { $0.state == .created })
                // Behind the creation of its task a start may have taken effect: such a container has ended.
                let ended = containers.filter { $0.state == .exited }
                #expect(
                    ended.allSatisfy { $0.message.hasPrefix("failed to start containerd task") },
                    "\(ended.map { ($0.name, $0.message) })"
                )
                // A start that was cut off goes on for a moment in the runtime, and nothing is removed meanwhile.
                try await waitUntil("the sandbox is gone", within: .seconds(20)) {
                    guard (try? await runtime.stopSandbox(sandboxID)) != nil else { return false }
                    return (try? await runtime.removeSandbox(sandboxID)) != nil
                }
                group.cancelAll()
            }
            try await waitUntil("the shims are gone") { fixture.shims().isEmpty }
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func removesAContainerWhoseTaskCRIDoesNotKnow() async throws {
        try await ContainerdFixture.with { fixture in
            let runtime = try CRIRuntime(socketPath: fixture.configuration.socketPath)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await runtime.run() }
                let sandbox = fixture.sandbox("stray")
                let sandboxID = try await runtime.runSandbox(sandbox)
                for name in ["alone", "in-its-sandbox"] {
                    let container = fixture.sleeper(name, in: sandbox)
                    let id = try await runtime.createContainer(container, sandboxID: sandboxID, sandbox: sandbox)
                    try await Shell.run(
                        "ctr",
                        [
                            "-a", fixture.configuration.socketPath, "-n", "k8s.io", "tasks", "start", "-d", "--null-io",
                            id,
                        ]
                    )
                    if name == "alone" { try await runtime.removeContainer(id) }
                }
                #expect(try await runtime.containers(podUID: sandbox.podUID).map(\.name) == ["in-its-sandbox"])
                try await runtime.stopSandbox(sandboxID)
                try await runtime.removeSandbox(sandboxID)
                #expect(try await runtime.containers(podUID: nil).isEmpty)
                group.cancelAll()
            }
            try await waitUntil("the shims are gone") { fixture.shims().isEmpty }
        }
    }
}

extension ContainerdFixture {
    fileprivate func sandbox(_ name: String) -> SandboxSpecification {
        SandboxSpecification(
            name: name,
            namespace: "default",
            podUID: "uid-\(name)",
            attempt: 0,
            hostName: name,
            logDirectory: "\(home)/logs",
            dns: .init(),
            labels: [Label.podUID: "uid-\(name)"],
            cgroupParent: "/sampan-\(identifier)"
        )
    }

    fileprivate func sleeper(_ name: String, in sandbox: SandboxSpecification) -> ContainerSpecification {
        ContainerSpecification(
            name: name,
            attempt: 0,
            image: Self.image,
            command: ["/bin/sleep", "600"],
            labels: sandbox.labels,
            logPath: "\(name).log"
        )
    }
}
