import Foundation
import Glibc

/// Shims that stand for nothing any more: containerd started them for a sandbox, the request for that was cut off with the server that had
/// made it, and containerd forgot them. No request of CRI or of containerd's own program reaches them.
struct StrayShims {
    /// Of the containerd whose shims are meant.
    let socketPath: String
    /// Since when each was seen without anything that it could stand for.
    private var unknownSince: [String: ContinuousClock.Instant] = [:]

    init(socketPath: String) { self.socketPath = socketPath }

    /// Ends those that have stood for nothing during `patience`: the sandbox of a shim is listed only when it runs.
    /// - Parameter known: the ids of all sandboxes and containers.
    mutating func end(except known: Set<String>, patience: Duration = .seconds(60), now: ContinuousClock.Instant = .now)
    {
        let strays = running.filter { !known.contains($0.key) }
        unknownSince = unknownSince.filter { strays[$0.key] != nil }
        for (id, process) in strays {
            let since = unknownSince[id] ?? now
            unknownSince[id] = since
            if now - since >= patience { kill(process, SIGKILL) }
        }
    }

    /// Waits a while for those that are ending, then ends the rest. For a home without sandboxes.
    func endAll(grace: Duration = .seconds(2)) async {
        let deadline = ContinuousClock.now + grace
        while !running.isEmpty, ContinuousClock.now < deadline { try? await Task.sleep(for: .milliseconds(20)) }
        for process in running.values { kill(process, SIGKILL) }
        while !running.isEmpty, ContinuousClock.now < deadline + grace { try? await Task.sleep(for: .milliseconds(20)) }
    }

    /// The processes, by the id of what they were started for.
    var running: [String: pid_t] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        var found: [String: pid_t] = [:]
        for process in names.compactMap({ pid_t($0) }) {
            let arguments = Self.arguments(of: process)
            guard arguments.first?.hasSuffix("containerd-shim-runc-v2") == true,
                Self.value(of: "-address", in: arguments) == socketPath, let id = Self.value(of: "-id", in: arguments)
            else { continue }
            found[id] = process
        }
        return found
    }

    // MARK: - Private

    private static func arguments(of process: pid_t) -> [String] {
        let bytes = FileManager.default.contents(atPath: "/proc/\(process)/cmdline") ?? Data()
        return bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    }

    private static func value(of option: String, in arguments: [String]) -> String? {
        guard let index = arguments.firstIndex(of: option), index + 1 < arguments.count else { return nil }
        return arguments[index + 1]
    }
}
