import Foundation
import KubernetesModel

/// What the runtime holds of one pod. Both lists are newest first.
struct PodObservation: Hashable, Sendable {
    var sandboxes: [Sandbox] = []
    var containers: [Container] = []

    /// The sandbox in which the pod lives now.
    var currentSandbox: Sandbox? { sandboxes.first { $0.isReady } }

    /// The last run of a container.
    func latest(_ name: String) -> Container? { containers.first { $0.name == name } }

    /// The run before the last one.
    func previous(_ name: String) -> Container? { containers.filter { $0.name == name }.dropFirst().first }

    /// The last run of a container in the current sandbox.
    func latestInSandbox(_ name: String) -> Container? {
        containers.first { $0.name == name && $0.sandboxID == currentSandbox?.id }
    }

    var running: [Container] { containers.filter { $0.state == .running } }
    var address: String? { currentSandbox?.addresses.first }
}

/// What the agent knows of one pod beside the specification and the runtime.
struct PodMemory: Hashable, Sendable {
    struct Waiting: Hashable, Sendable {
        var reason: String
        var message: String
    }

    /// By container name.
    var restarts = BackOff()
    /// By image.
    var pulls = BackOff()
    /// When the last pull of an image failed.
    var failedPulls: [String: Timestamp] = [:]
    /// Containers, by name, that could not be made and when to try again.
    var retries: [String: Timestamp] = [:]
    /// The volumes or the sandbox could not be made: when to try again.
    var setupRetry: Timestamp?
    /// Why a container is not there, by its name.
    var waiting: [String: Waiting] = [:]
    /// Containers, by id, whose startup probe has succeeded.
    var started: Set<String> = []
    /// Containers, by id, whose readiness probe succeeds.
    var ready: Set<String> = []
    /// Containers, by id, that failed their liveness or startup probe, and why.
    var unhealthy: [String: String] = [:]
    /// Containers, by id, that the kernel killed for lack of memory.
    var outOfMemory: Set<String> = []
    /// The addresses of the pod's last sandbox.
    var addresses: [String] = []

    init() {}

    /// What the published status tells of containers that an agent before this one has watched.
    init(adopting pod: Pod) {
        let fields = ["containerStatuses", "initContainerStatuses"]
        for status in fields.flatMap({ pod.status[$0]?.array ?? [] }) {
            guard let name = status["containerID"]?.string, let slashes = name.range(of: "://") else { continue }
            let id = String(name[slashes.upperBound...])
            if status["ready"]?.bool == true { ready.insert(id) }
            if status["started"]?.bool == true { started.insert(id) }
        }
        addresses = pod.status["podIPs"]?.array?.compactMap { $0["ip"]?.string } ?? []
    }

    func isStarted(_ container: Container, _ definition: ContainerDefinition) -> Bool {
        container.state == .running && (definition.probe(.startup) == nil || started.contains(container.id))
    }

    func isReady(_ container: Container, _ definition: ContainerDefinition) -> Bool {
        isStarted(container, definition) && (definition.probe(.readiness) == nil || ready.contains(container.id))
    }
}
