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

    /// Its success is not asked for: the program ends with the exit code of the process, and the next removal tells whether it is gone.
    func end(socketPath: String) async throws {
        _ = try await Subprocess.run(
            .name("ctr"),
            arguments: ["-a", socketPath, "-n", "k8s.io", "tasks", "delete", "--force", container],
            output: .discarded,
            error: .discarded
        )
    }
}
