import Foundation
import KubernetesModel
import Logging

/// Keeps the logs of running containers to five files of ten megabytes.
struct LogRotation: Sendable {
    static let maximumBytes = 10 << 20
    static let maximumFiles = 5

    let runtime: any ContainerRuntime
    let logger: Logger
    var maximumBytes = Self.maximumBytes

    func rotate(_ containers: [Container], now: Timestamp) async {
        for container in containers where container.state == .running && isTooLong(container.logPath) {
            do {
                try await rotate(container, now)
            } catch {
                logger.warning("Log was not rotated", metadata: ["path": "\(container.logPath)", "error": "\(error)"])
            }
        }
    }

    private func isTooLong(_ path: String) -> Bool {
        let size = try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int
        return size.map { $0 >= maximumBytes } ?? false
    }

    /// The runtime goes on writing to the renamed file until it has opened the new one.
    private func rotate(_ container: Container, _ now: Timestamp) async throws {
        let former = "\(container.logPath).\(now.seconds)"
        try FileManager.default.moveItem(atPath: container.logPath, toPath: former)
        do {
            try await runtime.reopenLog(container.id)
        } catch {
            try? FileManager.default.moveItem(atPath: former, toPath: container.logPath)
            throw error
        }
        try removeOldest(container.logPath)
    }

    private func removeOldest(_ path: String) throws {
        let folder = (path as NSString).deletingLastPathComponent
        let prefix = "\((path as NSString).lastPathComponent)."
        let former = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasPrefix(prefix) }
        for name in former.sorted().dropLast(Self.maximumFiles - 1) {
            try FileManager.default.removeItem(atPath: "\(folder)/\(name)")
        }
    }
}
