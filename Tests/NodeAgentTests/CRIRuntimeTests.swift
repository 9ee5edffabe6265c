import Foundation
import Glibc
import NIOCore
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
}
