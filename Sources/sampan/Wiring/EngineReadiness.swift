import APIServer
import Host
import KubernetesClient
import KubernetesModel
import Logging
import NodeAgent
import ServiceLifecycle

/// Tells the board when the parts of the engine have started.
struct EngineReadiness: Service {
    let apiServer: APIServer
    let runtime: ContainerdConfiguration
    let informers: Informers
    let board: ReadinessBoard
    let logger: Logger

    func run() async throws {
        try? await cancelWhenGracefulShutdown {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await watchRuntime() }
                group.addTask { try await watchAPI() }
                group.addTask { try await watchNode() }
                group.addTask { try await watchNetwork() }
                try await group.waitForAll()
            }
        }
    }

    private func watchRuntime() async throws {
        try await runtime.waitUntilReady()
        try await runtime.importPauseImage()
        board.set("containerd", ready: true, runtime.socketPath)
    }

    private func watchAPI() async throws {
        while apiServer.port == nil { try await Task.sleep(for: .milliseconds(10)) }
        board.set("kubernetes", ready: true, "port \(apiServer.port ?? 0)")
    }

    private func watchNode() async throws {
        try await informers[.nodes].waitUntilSynced()
        while true {
            let isReady = informers[.nodes].snapshot().contains { node in
                (node["status", "conditions"]?.array ?? []).contains {
                    $0["type"]?.string == "Ready" && $0["status"]?.string == "True"
                }
            }
            board.set("node", ready: isReady, isReady ? "ready" : "not registered yet")
            try await Task.sleep(for: isReady ? .seconds(2) : .milliseconds(20))
        }
    }

    private func watchNetwork() async throws {
        try await informers[.services].waitUntilSynced()
        try await informers[.endpointSlices].waitUntilSynced()
        board.set("network", ready: true, "services follow the cluster")
    }
}
