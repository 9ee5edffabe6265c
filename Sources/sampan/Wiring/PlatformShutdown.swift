import Foundation
import Host
import Logging
import NodeAgent
import ServiceNetwork
import SystemPackage

/// `sampan down`: ends the processes of a home, and on request everything they run.
struct PlatformShutdown: Sendable {
    let home: Home
    let settings: Settings
    private let logger = Logger(label: "sampan", factory: { _ in SwiftLogNoOpLogHandler() })

    func stopServer() async throws {
        await DetachedProcess.find(pidFile: home.pidFile("server"))?.stop(grace: .seconds(20))
        await OrphanedPrograms(home: home).end()
        try? FileManager.default.removeItem(atPath: home.controlSocket.string)
    }

    /// Removes all containers and the network; containerd is started for it where it does not run.
    func removeWorkloads() async throws {
        let network = Engine.network(home, settings)
        let runtime = Engine.containerdConfiguration(home, settings)
        if FileManager.default.fileExists(atPath: runtime.configurationPath) {
            _ = try await Engine.containerdProcess(home, runtime, logger).adoptOrStart()
            try await runtime.waitUntilReady()
            try await NodeAgent.removeEverything(Engine.nodeConfiguration(home, settings, network, runtime))
        }
        try await PodBridge(network).removeEverything()
    }

    /// The gateway first, so that it finishes what is in flight while its back ends still run.
    func stopPrograms() async {
        await DetachedProcess.find(pidFile: home.pidFile("gateway"))?.stop(grace: .seconds(15))
        await DetachedProcess.find(pidFile: home.pidFile("containerd"))?.stop(grace: .seconds(15))
        try? FileManager.default.removeItem(atPath: home.run.string)
    }
}
