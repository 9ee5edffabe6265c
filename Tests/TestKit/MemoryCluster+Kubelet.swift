import KubernetesClient
package import KubernetesModel
import Synchronization

/// Plays scheduler and node for a ``MemoryCluster``: gives pods a node and an address, makes them ready (or whatever `decide` says) and
/// removes them when they are to be deleted.
package final class FakeKubelet: Sendable {
    package enum Outcome: Sendable {
        case ready
        /// Runs, but is not ready.
        case running
        /// Stays as it is.
        case pending
        case succeeded
        case failed
    }

    private let cluster: MemoryCluster
    private let decide: @Sendable (JSON) -> Outcome
    private let nextAddress = Mutex(0)

    package init(_ cluster: MemoryCluster, decide: @escaping @Sendable (JSON) -> Outcome = { _ in .ready }) {
        self.cluster = cluster
        self.decide = decide
    }

    /// Follows the pods until the task is cancelled.
    package func run() async throws {
        for pod in cluster.all(.pods) { handle(pod) }
        let watch = try await cluster.watch(.pods, namespace: nil, options: ListOptions())
        // Those that came between the two calls.
        for pod in cluster.all(.pods) { handle(pod) }
        for try await event in watch {
            switch event {
            case .added(let pod), .modified(let pod): handle(pod)
            case .deleted, .bookmark: break
            }
        }
    }

    private func handle(_ pod: JSON) {
        let view = AnyObjectView(pod)
        if view.isBeingDeleted {
            if view.finalizers.isEmpty { cluster.remove(.pods, namespace: view.namespace, name: view.name) }
        } else if pod["status", "phase"]?.string ?? "Pending" == "Pending" {
            set(decide(pod), view)
        }
    }

    private func set(_ outcome: Outcome, _ pod: AnyObjectView) {
        switch outcome {
        case .pending: return
        case .ready: cluster.setPod(namespace: pod.namespace, name: pod.name, isReady: true, ip: takeAddress())
        case .running: cluster.setPod(namespace: pod.namespace, name: pod.name, isReady: false, ip: takeAddress())
        case .succeeded: cluster.finishPod(namespace: pod.namespace, name: pod.name, exitCode: 0)
        case .failed: cluster.finishPod(namespace: pod.namespace, name: pod.name, exitCode: 1)
        }
    }

    private func takeAddress() -> String {
        let number = nextAddress.withLock { number in
            number += 1
            return number
        }
        return "10.42.\(number / 250).\(number % 250 + 2)"
    }
}

extension MemoryCluster {
    /// Makes the pod run on node `node`, ready or not.
    package func setPod(
        namespace: String,
        name: String,
        isReady: Bool,
        ip: String? = nil,
        node: String = "node",
        since time: Timestamp = .present
    ) {
        modify(.pods, namespace: namespace, name: name) { pod in
            if pod["spec", "nodeName"] == nil { pod["spec", "nodeName"] = .string(node) }
            pod["status", "phase"] = "Running"
            if let ip { pod["status", "podIP"] = .string(ip) }
            if let ip { pod["status", "podIPs"] = [["ip": .string(ip)]] }
            let others = pod["status", "conditions"]?.array?.filter { $0["type"]?.string != "Ready" } ?? []
            pod["status", "conditions"] = .array(
                others + [
                    [
                        "type": "Ready", "status": isReady ? "True" : "False",
                        "lastTransitionTime": .string(time.description),
                    ]
                ]
            )
        }
    }

    /// Ends all containers of the pod with `exitCode`; the pod is Succeeded or Failed.
    package func finishPod(namespace: String, name: String, exitCode: Int) {
        modify(.pods, namespace: namespace, name: name) { pod in
            if pod["spec", "nodeName"] == nil { pod["spec", "nodeName"] = "node" }
            pod["status", "phase"] = exitCode == 0 ? "Succeeded" : "Failed"
            let others = pod["status", "conditions"]?.array?.filter { $0["type"]?.string != "Ready" } ?? []
            pod["status", "conditions"] = .array(others + [["type": "Ready", "status": "False"]])
            pod["status", "containerStatuses"] = .array(
                (pod["spec", "containers"]?.array ?? []).map { container in
                    [
                        "name": container["name"] ?? "", "ready": false, "restartCount": 0,
                        "state": ["terminated": ["exitCode": JSON(exitCode), "finishedAt": .string(Timestamp.now())]],
                    ]
                }
            )
        }
    }
}
