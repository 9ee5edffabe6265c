import KubernetesModel

/// What keeps a pod from working, as far as its status tells. Pure.
struct PodTrouble: Hashable, Sendable {
    enum Severity: Hashable, Sendable {
        /// May go away by itself.
        case passing
        /// Final if it lasts, such as a pod that fits on no node.
        case lasting
        /// Waiting longer changes nothing.
        case final
    }

    var severity: Severity
    /// The reason in the words of Kubernetes: `ImagePullBackOff`.
    var reason: String
    var message: String
    /// The container whose last log lines explain it; empty when none do.
    var container = ""
    /// The log is that of the container's last run.
    var isRestarted = false

    /// A container that was restarted so often and is not ready will not become so.
    static let restartLimit = 2

    private static let finalReasons: Set = [
        "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    ]
    private static let passingReasons: Set = ["ErrImagePull", "CrashLoopBackOff"]

    /// The worst trouble of `pod`, or `nil` when nothing is wrong with it.
    static func of(_ pod: JSON) -> PodTrouble? {
        let status = pod["status"] ?? [:]
        let containers = (status["initContainerStatuses"]?.array ?? []) + (status["containerStatuses"]?.array ?? [])
        let troubles = containers.compactMap(trouble(ofContainer:))
        return troubles.first { $0.severity == .final } ?? troubles.first ?? scheduling(status)
    }

    // MARK: - Private

    private static func trouble(ofContainer status: JSON) -> PodTrouble? {
        guard status["ready"]?.bool != true else { return nil }
        let name = status["name"]?.string ?? ""
        let restarts = status["restartCount"]?.int ?? 0
        let reason = status["state", "waiting", "reason"]?.string ?? ""
        let message = status["state", "waiting", "message"]?.string ?? ""
        if finalReasons.contains(reason) {
            return PodTrouble(severity: .final, reason: reason, message: "container \(name): \(message)")
        }
        if reason == "ErrImagePull" {
            return PodTrouble(severity: .passing, reason: reason, message: "container \(name): \(message)")
        }
        let ended = status["lastState", "terminated"] ?? status["state", "terminated"]
        guard let ended, (ended["exitCode"]?.int ?? 0) != 0 || passingReasons.contains(reason) || restarts > 0 else {
            return nil
        }
        return PodTrouble(
            severity: restarts >= restartLimit ? .final : .passing,
            reason: passingReasons.contains(reason) ? reason : ended["reason"]?.string ?? "Error",
            message:
                "container \(name) ended with exit code \(ended["exitCode"]?.int ?? 0) and was restarted \(restarts) times",
            container: name,
            isRestarted: status["state", "terminated"] == nil
        )
    }

    private static func scheduling(_ status: JSON) -> PodTrouble? {
        let condition = status["conditions"]?.array?.first { $0["type"]?.string == "PodScheduled" }
        guard let condition, condition["status"]?.string == "False" else { return nil }
        return PodTrouble(severity: .lasting, reason: "FailedScheduling", message: condition["message"]?.string ?? "")
    }
}
