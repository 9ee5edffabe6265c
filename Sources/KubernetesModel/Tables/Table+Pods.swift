extension TablePrinter {
    static let podPrinters: [String: TablePrinter] = ["pods": pods]

    private static let pods = TablePrinter(
        columns: [
            .name, Column("Ready"), Column("Status"), Column("Restarts"), .age, .wide("IP"), .wide("Node"),
            .wide("Nominated Node"), .wide("Readiness Gates"),
        ]
    ) { pod, now in
        let summary = PodSummary(pod)
        return [
            Cell.name(pod), .string("\(summary.readyContainers)/\(summary.totalContainers)"),
            .string(summary.reason), .string(summary.restartText(now)), Cell.age(pod, now),
            Cell.text(pod, "status", "podIP"), Cell.text(pod, "spec", "nodeName"),
            Cell.text(pod, "status", "nominatedNodeName"), readinessGates(pod),
        ]
    }

    private static func readinessGates(_ pod: JSON) -> JSON {
        let gates = (pod["spec", "readinessGates"]?.array ?? []).compactMap { $0["conditionType"]?.string }
        guard !gates.isEmpty else { return "<none>" }
        let open = gates.count { gate in PodSummary.condition(gate, of: pod)?["status"]?.string == "True" }
        return .string("\(open)/\(gates.count)")
    }
}

/// What a pod is doing, in the words of `kubectl get pods`.
package struct PodSummary: Sendable {
    /// `Running`, `CrashLoopBackOff`, `Init:0/1`, `Completed`, `Terminating`, …
    package private(set) var reason: String
    package private(set) var readyContainers = 0
    /// The containers that should be ready: sidecars count.
    package private(set) var totalContainers: Int
    package private(set) var restarts = 0
    private var lastRestart: Timestamp?

    package init(_ pod: JSON) {
        let phase = pod["status", "phase"]?.string ?? "Unknown"
        let statusReason = pod["status", "reason"]?.string ?? ""
        reason = statusReason.isEmpty ? phase : statusReason
        totalContainers = pod["spec", "containers"]?.array?.count ?? 0
        if Self.condition("PodScheduled", of: pod)?["reason"]?.string == "SchedulingGated" {
            reason = "SchedulingGated"
        }
        let isInitializing = readInitContainers(pod)
        if !isInitializing || Self.condition("Initialized", of: pod)?["status"]?.string == "True" {
            readContainers(pod)
        }
        guard pod["metadata", "deletionTimestamp"] != nil else { return }
        if statusReason == "NodeLost" {
            reason = "Unknown"
        } else if phase != "Succeeded", phase != "Failed" {
            reason = "Terminating"
        }
    }

    /// `3 (2m ago)`
    func restartText(_ now: Int64) -> String {
        guard restarts > 0, let lastRestart else { return String(restarts) }
        return "\(restarts) (\(HumanDuration.text(seconds: now - lastRestart.seconds)) ago)"
    }

    static func condition(_ type: String, of object: JSON) -> JSON? {
        object["status", "conditions"]?.array?.first { $0["type"]?.string == type }
    }

    // MARK: - Private

    /// - Returns: Whether an init container is still to be waited for.
    private mutating func readInitContainers(_ pod: JSON) -> Bool {
        let specifications = pod["spec", "initContainers"]?.array ?? []
        let sidecars = Set(
            specifications.filter { $0["restartPolicy"]?.string == "Always" }.compactMap { $0["name"]?.string }
        )
        totalContainers += sidecars.count
        var sidecarRestarts = 0
        var sidecarRestart: Timestamp?
        var waiting: String?
        for (index, status) in (pod["status", "initContainerStatuses"]?.array ?? []).enumerated() {
            let isSidecar = sidecars.contains(status["name"]?.string ?? "")
            count(restartsOf: status)
            if isSidecar {
                sidecarRestarts += status["restartCount"]?.int ?? 0
                sidecarRestart = Self.later(sidecarRestart, Self.lastFinish(status))
            }
            waiting = Self.initReason(status, isSidecar: isSidecar, "\(index)/\(specifications.count)")
            if waiting != nil { break }
            if isSidecar, status["ready"]?.bool == true { readyContainers += 1 }
        }
        if let waiting {
            reason = "Init:\(waiting)"
            return true
        }
        restarts = sidecarRestarts
        lastRestart = sidecarRestart
        return false
    }

    /// Why this init container keeps the others waiting, or `nil` when it does not.
    private static func initReason(_ status: JSON, isSidecar: Bool, _ progress: String) -> String? {
        let state = status["state"] ?? [:]
        if let end = state["terminated"] {
            return end["exitCode"]?.int == 0 ? nil : terminationReason(end)
        }
        if isSidecar, status["started"]?.bool == true { return nil }
        if let why = state["waiting"]?["reason"]?.string, !why.isEmpty, why != "PodInitializing" { return why }
        return progress
    }

    private mutating func readContainers(_ pod: JSON) {
        var isRunning = false
        for status in (pod["status", "containerStatuses"]?.array ?? []).reversed() {
            count(restartsOf: status)
            let state = status["state"] ?? [:]
            if let why = state["waiting"]?["reason"]?.string, !why.isEmpty {
                reason = why
            } else if let end = state["terminated"] {
                reason = Self.terminationReason(end)
            } else if status["ready"]?.bool == true, state["running"] != nil {
                isRunning = true
                readyContainers += 1
            }
        }
        guard reason == "Completed", isRunning else { return }
        reason = Self.condition("Ready", of: pod)?["status"]?.string == "True" ? "Running" : "NotReady"
    }

    private mutating func count(restartsOf status: JSON) {
        restarts += status["restartCount"]?.int ?? 0
        lastRestart = Self.later(lastRestart, Self.lastFinish(status))
    }

    private static func lastFinish(_ status: JSON) -> Timestamp? {
        status["lastState", "terminated", "finishedAt"]?.string.flatMap(Timestamp.init)
    }

    private static func later(_ left: Timestamp?, _ right: Timestamp?) -> Timestamp? {
        [left, right].compactMap(\.self).max()
    }

    private static func terminationReason(_ end: JSON) -> String {
        if let reason = end["reason"]?.string, !reason.isEmpty { return reason }
        if let signal = end["signal"]?.int, signal != 0 { return "Signal:\(signal)" }
        return "ExitCode:\(end["exitCode"]?.int ?? 0)"
    }
}
