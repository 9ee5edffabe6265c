import RegexBuilder
import Subprocess

/// A process that containerd made for a container whose start it then gave up. CRI knows nothing of it and can neither stop nor remove it,
/// nor the container; containerd's own program can.
struct StrayTask {
    let container: String

    /// The one that is in the way of what failed, if that is why it failed.
    init?(blamedBy message: String) {
        let blame = Regex {
            "cannot delete running task "
            Capture { Repeat(.hexDigit, count: 64) }
        }
        guard let found = message.firstMatch(of: blame) else { return nil }
        container = String(found.1)
    }

    func end(socketPath: String) async throws {
        let result = try await Subprocess.run(
            .name("ctr"),
            arguments: ["-a", socketPath, "-n", "k8s.io", "tasks", "delete", "--force", container],
            output: .discarded,
            error: .string(limit: 65_536)
        )
        // Its own exit code becomes that of the command: what is gone is told by the next try.
        guard result.terminationStatus.isSuccess || !result.standardError.contains("level=fatal") else {
            throw ContainerdError("ctr could not end the task \(container): \(result.standardError)")
        }
    }
}
