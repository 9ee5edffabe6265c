import KubernetesModel

/// Derives a pod's `status` from what runs. Pure.
struct PodStatus {
    let pod: Pod
    let observed: PodObservation
    let memory: PodMemory
    let hostAddress: String
    let now: Timestamp

    /// The whole status; fields that others write are kept.
    var json: JSON {
        var status = pod.status
        status["phase"] = .string(phase)
        status["hostIP"] = .string(hostAddress)
        status["hostIPs"] = [["ip": .string(hostAddress)]]
        let addresses = pod.namespaces.usesHostNetwork ? [hostAddress] : memory.addresses
        status["podIP"] = addresses.first.map(JSON.string)
        status["podIPs"] = addresses.isEmpty ? nil : .array(addresses.map { ["ip": .string($0)] })
        if status["startTime"] == nil { status["startTime"] = .string(now.description) }
        if status["qosClass"] == nil { status["qosClass"] = .string(pod.qualityOfService) }
        if pod.generation > 0 { status["observedGeneration"] = JSON(pod.generation) }
        let initStatuses = pod.initContainers.map(containerStatus)
        status["initContainerStatuses"] = initStatuses.isEmpty ? nil : .array(initStatuses)
        status["containerStatuses"] = .array(pod.mainContainers.map(containerStatus))
        status["conditions"] = .array(conditions)
        if plan.isOverdue, !pod.isFinished, phase == "Failed" {
            status["reason"] = "DeadlineExceeded"
            status["message"] = "Pod was active on the node longer than the specified deadline"
        }
        return status
    }

    // MARK: - Phase

    private var plan: PodPlan { PodPlan(pod: pod, observed: observed, memory: memory, now: now) }

    var phase: String {
        if pod.isFinished { return pod.phase }
        let runs = pod.mainContainers.map { observed.latest($0.name) }
        if plan.isFinished, observed.running.isEmpty {
            let hasFailed =
                plan.isOverdue || plan.failedInit != nil || runs.contains { $0.map { $0.exitCode != 0 } ?? false }
            return hasFailed ? "Failed" : "Succeeded"
        }
        if pod.isBeingDeleted, observed.running.isEmpty, runs.contains(where: { $0?.state == .exited }) {
            return runs.contains { $0.map { $0.exitCode != 0 } ?? false } ? "Failed" : "Succeeded"
        }
        return runs.allSatisfy { $0 == nil || $0?.state == .created } ? "Pending" : "Running"
    }

    // MARK: - Conditions

    private var conditions: [JSON] {
        let old = pod.status["conditions"]?.array ?? []
        let ours = [readyToStart, initialized, ready, containersReady]
        let names = ours.map(\.type)
        let kept = old.filter { !names.contains($0["type"]?.string ?? "") }
        return ours.map { condition in condition.json(previous: old.first { $0["type"]?.string == condition.type }, now)
        }
            + kept
    }

    private struct Condition {
        var type: String
        var isTrue: Bool
        var reason = ""
        var message = ""

        /// The transition time stays while the state stays.
        func json(previous: JSON?, _ now: Timestamp) -> JSON {
            let status = isTrue ? "True" : "False"
            let isSame = previous?["status"]?.string == status
            var json: JSON = ["type": .string(type), "status": .string(status), "lastProbeTime": .null]
            json["lastTransitionTime"] =
                isSame ? previous?["lastTransitionTime"] ?? .string(now.description) : .string(now.description)
            if !reason.isEmpty { json["reason"] = .string(reason) }
            if !message.isEmpty { json["message"] = .string(message) }
            return json
        }
    }

    private var readyToStart: Condition {
        let isUp = observed.currentSandbox != nil && (pod.namespaces.usesHostNetwork || observed.address != nil)
        return Condition(type: "PodReadyToStartContainers", isTrue: isUp)
    }

    private var initialized: Condition {
        let missing = pod.initContainers.filter { definition in
            guard let last = observed.latest(definition.name) else { return true }
            if definition.isSidecar { return !memory.isStarted(last, definition) && last.startedAt == nil }
            return last.state != .exited || last.exitCode != 0
        }
        if missing.isEmpty || hasStartedMain {
            return Condition(
                type: "Initialized",
                isTrue: true,
                reason: phase == "Succeeded" ? "PodCompleted" : ""
            )
        }
        return Condition(
            type: "Initialized",
            isTrue: false,
            reason: "ContainersNotInitialized",
            message: "containers with incomplete status: [\(missing.map(\.name).joined(separator: " "))]"
        )
    }

    private var hasStartedMain: Bool { pod.mainContainers.contains { observed.latest($0.name) != nil } }

    private var containersReady: Condition {
        if phase == "Succeeded" { return Condition(type: "ContainersReady", isTrue: false, reason: "PodCompleted") }
        if phase == "Failed" { return Condition(type: "ContainersReady", isTrue: false, reason: "PodFailed") }
        let watched = pod.initContainers.filter(\.isSidecar) + pod.mainContainers
        let unready = watched.filter { !isReady($0) }.map(\.name)
        guard !unready.isEmpty else { return Condition(type: "ContainersReady", isTrue: true) }
        return Condition(
            type: "ContainersReady",
            isTrue: false,
            reason: "ContainersNotReady",
            message: "containers with unready status: [\(unready.joined(separator: " "))]"
        )
    }

    /// All containers are ready, and what `spec.readinessGates` asks for is true.
    private var ready: Condition {
        var condition = containersReady
        condition.type = "Ready"
        guard condition.isTrue else { return condition }
        let old = pod.status["conditions"]?.array ?? []
        let gates = pod.spec["readinessGates"]?.array?.compactMap { $0["conditionType"]?.string } ?? []
        let closed = gates.filter { gate in
            !old.contains { $0["type"]?.string == gate && $0["status"]?.string == "True" }
        }
        guard !closed.isEmpty else { return condition }
        return Condition(
            type: "Ready",
            isTrue: false,
            reason: "ReadinessGatesNotReady",
            message: closed.map { "corresponding condition of pod readiness gate \"\($0)\" does not exist." }
                .joined(separator: ", ")
        )
    }

    private func isReady(_ definition: ContainerDefinition) -> Bool {
        observed.latest(definition.name).map { memory.isReady($0, definition) } ?? false
    }
}
