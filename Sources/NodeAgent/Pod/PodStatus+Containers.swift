import KubernetesModel

extension PodStatus {
    /// An entry of `containerStatuses`.
    func containerStatus(_ definition: ContainerDefinition) -> JSON {
        let last = observed.latest(definition.name)
        var status: JSON = [
            "name": .string(definition.name), "ready": .bool(isContainerReady(definition, last)),
            "started": .bool(last.map { memory.isStarted($0, definition) } ?? false),
            "restartCount": JSON(last?.attempt ?? 0), "image": .string(definition.image),
            "imageID": .string(last?.imageReference ?? ""),
        ]
        if let last { status["containerID"] = .string("containerd://\(last.id)") }
        let (state, lastState) = states(definition, last)
        status["state"] = state
        status["lastState"] = lastState
        return status
    }

    /// A finished init container counts as ready, as does a running container whose probes agree.
    private func isContainerReady(_ definition: ContainerDefinition, _ last: Container?) -> Bool {
        guard let last else { return false }
        if definition.isInit, !definition.isSidecar { return last.state == .exited && last.exitCode == 0 }
        return memory.isReady(last, definition)
    }

    private func states(_ definition: ContainerDefinition, _ last: Container?) -> (state: JSON, lastState: JSON) {
        let former = observed.previous(definition.name).map(terminated) ?? [:]
        guard let last else { return (waiting(definition), [:]) }
        switch last.state {
        case .running: return (["running": ["startedAt": time(last.startedAt)]], former)
        case .created: return (waiting(definition), former)
        case .exited, .unknown:
            if let waiting = waitsForRestart(definition, last) { return (waiting, terminated(last)) }
            return (terminated(last), former)
        }
    }

    // MARK: - Waiting

    private func waiting(_ definition: ContainerDefinition) -> JSON {
        if let known = memory.waiting[definition.name] { return waiting(known.reason, known.message) }
        let isInitializing =
            !definition.isInit
            && pod.initContainers.contains { definition in
                guard let last = observed.latest(definition.name) else { return true }
                return definition.isSidecar
                    ? !memory.isStarted(last, definition) : last.state != .exited || last.exitCode != 0
            }
        return waiting(isInitializing || isBehindInit(definition) ? "PodInitializing" : "ContainerCreating", "")
    }

    /// An init container that waits for the ones before it.
    private func isBehindInit(_ definition: ContainerDefinition) -> Bool {
        definition.isInit && pod.initContainers.first?.name != definition.name
    }

    /// `nil` when the container stays as it is.
    private func waitsForRestart(_ definition: ContainerDefinition, _ last: Container) -> JSON? {
        guard !pod.isBeingDeleted, !pod.isFinished, phase == "Running" || phase == "Pending" else { return nil }
        let failed = last.finishedAt ?? last.createdAt
        if let known = memory.waiting[definition.name] { return waiting(known.reason, known.message) }
        guard memory.restarts.nextTry(definition.name, after: failed, now: now) != nil else { return nil }
        let delay = memory.restarts.delay(definition.name, after: failed)
        return waiting(
            "CrashLoopBackOff",
            "back-off \(Self.delayText(delay)) restarting failed container=\(definition.name) pod=\(pod.fullName)"
        )
    }

    private func waiting(_ reason: String, _ message: String) -> JSON {
        var fields: JSON = ["reason": .string(reason)]
        if !message.isEmpty { fields["message"] = .string(message) }
        return ["waiting": fields]
    }

    /// In the form of Go's durations: `10s`, `2m40s`.
    static func delayText(_ seconds: Int64) -> String {
        seconds < 60 ? "\(seconds)s" : "\(seconds / 60)m\(seconds % 60)s"
    }

    // MARK: - Terminated

    private func terminated(_ container: Container) -> JSON {
        var fields: JSON = [
            "exitCode": JSON(container.exitCode), "reason": .string(reason(of: container)),
            "startedAt": time(container.startedAt), "finishedAt": time(container.finishedAt),
            "containerID": .string("containerd://\(container.id)"),
        ]
        if !container.message.isEmpty { fields["message"] = .string(container.message) }
        return ["terminated": fields]
    }

    private func reason(of container: Container) -> String {
        if container.state == .unknown { return "ContainerStatusUnknown" }
        if memory.outOfMemory.contains(container.id) { return "OOMKilled" }
        guard container.reason.isEmpty else { return container.reason }
        return container.exitCode == 0 ? "Completed" : "Error"
    }

    private func time(_ timestamp: Timestamp?) -> JSON { timestamp.map { .string($0.description) } ?? .null }
}
