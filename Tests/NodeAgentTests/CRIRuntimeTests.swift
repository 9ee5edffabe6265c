import Foundation
import Glibc
import NIOCore
import TestKit
import Testing

@testable import NodeAgent

@Suite struct CRIRuntimeTests {
    @Test(.timeLimit(.minutes(2)))
    func runsASandboxAndMoreThanAThousandCallsOnOneConnection() async throws {
        try await ContainerdFixture.with { fixture in
            let runtime = try CRIRuntime(socketPath: fixture.configuration.socketPath)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await runtime.run() }
                let specification = SandboxSpecification(
                    name: "one",
                    namespace: "default",
                    podUID: "uid-1",
                    attempt: 0,
                    hostName: "one",
                    logDirectory: "\(fixture.home)/logs",
                    dns: .init(),
                    labels: [Label.podUID: "uid-1"],
                    cgroupParent: "/sampan-\(fixture.identifier)"
                )
                let id = try await runtime.runSandbox(specification)
                let sandboxes = try await runtime.sandboxes(podUID: "uid-1")
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
            #expect(fixture.shims().isEmpty)
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func aContainerWhoseStartWasCutOffHasNotRun() async throws {
        try await ContainerdFixture.with { fixture in
            let runtime = try CRIRuntime(socketPath: fixture.configuration.socketPath)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await runtime.run() }
                let sandbox = SandboxSpecification(
                    name: "cut",
                    namespace: "default",
                    podUID: "uid-2",
                    attempt: 0,
                    hostName: "cut",
                    logDirectory: "\(fixture.home)/logs",
                    dns: .init(),
                    labels: [Label.podUID: "uid-2"],
                    cgroupParent: "/sampan-\(fixture.identifier)"
                )
                let sandboxID = try await runtime.runSandbox(sandbox)
                for number in 0..<24 {
                    let container = ContainerSpecification(
                        name: "c\(number)",
                        attempt: 0,
                        image: ContainerdFixture.image,
                        command: ["/bin/sleep", "600"],
                        labels: [Label.podUID: "uid-2"],
                        logPath: "c\(number).log"
                    )
                    let id = try await runtime.createContainer(container, sandboxID: sandboxID, sandbox: sandbox)
                    let start = Task { try await runtime.startContainer(id) }
                    try await Task.sleep(for: .milliseconds(number * 3))
                    start.cancel()
                    _ = await start.result
                }
                let containers = try await runtime.containers(podUID: "uid-2")
                #expect(containers.count == 24)
                #expect(containers.contains { $0.state == .created })
                #expect(
                    containers.allSatisfy { $0.state == .created || $0.state == .running },
                    "\(containers.map { ($0.name, $0.state, $0.message) })"
                )
                // A start that was cut off goes on for a moment in the runtime, and nothing is removed meanwhile.
                try await waitUntil("the sandbox is gone", within: .seconds(20)) {
                    guard (try? await runtime.stopSandbox(sandboxID)) != nil else { return false }
                    return (try? await runtime.removeSandbox(sandboxID)) != nil
                }
                group.cancelAll()
            }
            #expect(fixture.shims().isEmpty)
        }
    }
}
