import KubernetesModel

/// What a job's pod says about the job. Pure.
struct JobPodStatus: Hashable {
    enum Container: Hashable {
        /// `reason` as the node gives it, such as `ImagePullBackOff`.
        case waiting(reason: String, message: String)
        case running
        case terminated(exitCode: Int, reason: String, message: String)
    }

    private static let pullFailures: Set<String> = [
        "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
        "RegistryUnavailable",
    ]
    private static let startFailures: Set<String> = [
        "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError", "ContainerCannotRun",
    ]

    private let containers: [String: Container]
    private let images: [String: String]
    let phase: String
    private let reason: String
    private let message: String
    private let needsFinish: Bool

    init(_ pod: JSON) {
        let status = pod["status"] ?? [:]
        phase = status["phase"]?.string ?? "Pending"
        reason = status["reason"]?.string ?? ""
        message = status["message"]?.string ?? ""
        var containers: [String: Container] = [:]
        for list in ["initContainerStatuses", "containerStatuses"] {
            for entry in status[list]?.array ?? [] {
                containers[entry["name"]?.string ?? ""] = Self.container(entry["state"] ?? [:])
            }
        }
        let specs = (pod["spec", "initContainers"]?.array ?? []) + (pod["spec", "containers"]?.array ?? [])
        images = specs.reduce(into: [:]) { $0[$1["name"]?.string ?? ""] = $1["image"]?.string }
        needsFinish = images["finish"] != nil
        self.containers = containers
    }

    private static func container(_ state: JSON) -> Container {
        if let ended = state["terminated"], !ended.isNull {
            return .terminated(
                exitCode: ended["exitCode"]?.int ?? -1,
                reason: ended["reason"]?.string ?? "",
                message: ended["message"]?.string ?? ""
            )
        }
        if let running = state["running"], !running.isNull { return .running }
        return .waiting(
            reason: state["waiting", "reason"]?.string ?? "",
            message: state["waiting", "message"]?.string ?? ""
        )
    }

    var isOver: Bool { phase == "Succeeded" || phase == "Failed" }

    func hasStarted(_ container: String) -> Bool {
        switch containers[container] {
        case .running, .terminated: true
        case .waiting, nil: false
        }
    }

    func hasEnded(_ container: String) -> Bool { exitCode(container) != nil }

    private func exitCode(_ container: String) -> Int? {
        if case .terminated(let code, _, _) = containers[container] { code } else { nil }
    }

    /// How the job ended, or `nil` while it goes on.
    var outcome: JobOutcome? {
        if let failure = startFailure { return failure }
        if wasStartCutOff { return .gone }
        if let code = exitCode("prepare"), code != 0 {
            return .failed(.runnerSystemFailure, exitCode: nil, message: "preparation failed")
        }
        if let build = buildOutcome {
            guard needsFinish, build == .success || !hasEnded("finish") else { return build }
            guard let finish = exitCode("finish") else { return isOver ? build : nil }
            return finish == 0
                ? build : .failed(.dataIntegrityFailure, exitCode: nil, message: "the artifacts were not uploaded")
        }
        guard isOver else { return nil }
        if reason == "DeadlineExceeded" {
            return .failed(.jobExecutionTimeout, exitCode: nil, message: "execution took too long")
        }
        let why = [reason, message].filter { !$0.isEmpty }.joined(separator: ": ")
        return .failed(
            .runnerSystemFailure,
            exitCode: nil,
            message: "the pod ended early\(why.isEmpty ? "" : " (\(why))")"
        )
    }

    /// The platform went away in the middle of a container's start, and the runtime gave the start up.
    private var wasStartCutOff: Bool {
        containers.values.contains { container in
            guard case .terminated(_, "StartError", let message) = container else { return false }
            return message.contains("context canceled")
        }
    }

    /// The outcome of the script alone.
    var buildOutcome: JobOutcome? {
        guard case .terminated(let code, let reason, let message) = containers["build"] else { return nil }
        if code == 0 { return .success }
        if Self.startFailures.contains(reason) {
            return .failed(.runnerSystemFailure, exitCode: nil, message: "the container could not start: \(message)")
        }
        let why = reason == "OOMKilled" ? "out of memory (exit code \(code))" : "exit code \(code)"
        return .failed(.scriptFailure, exitCode: code, message: why)
    }

    private var startFailure: JobOutcome? {
        for (name, container) in containers.sorted(by: { $0.key < $1.key }) {
            guard case .waiting(let reason, let message) = container else { continue }
            let detail = message.isEmpty ? reason : "\(reason): \(message)"
            if Self.pullFailures.contains(reason) {
                let text = "the image \(images[name] ?? name) could not be pulled: \(detail)"
                return .failed(.imagePullFailure, exitCode: nil, message: text)
            }
            if Self.startFailures.contains(reason) {
                return .failed(
                    .runnerSystemFailure,
                    exitCode: nil,
                    message: "container \(name) could not start: \(detail)"
                )
            }
        }
        return nil
    }
}
