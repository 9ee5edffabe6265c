package import KubernetesClient
import KubernetesModel
package import Logging
import ServiceLifecycle
import Synchronization

/// Gives every pod that has none a node, or says why it cannot.
///
/// Pods are decided on one after the other, each seeing the decisions before it; binding, which waits for the cluster, goes on beside.
package struct Scheduler: Service {
    /// The name that pods ask for in `spec.schedulerName`.
    package static let name = "default-scheduler"

    private let client: any ClusterClient
    private let pods: Informer
    private let nodes: Informer
    private let recorder: EventRecorder
    private let logger: Logger
    private let queue: WorkQueue<ObjectKey>
    private let assumed = AssumedPods()
    private let unschedulable = UnschedulablePods()

    package init(client: any ClusterClient, informers: Informers, logger: Logger) {
        self.client = client
        self.logger = logger
        pods = informers[.pods]
        nodes = informers[.nodes]
        recorder = EventRecorder(client, component: Self.name, logger: logger)
        queue = WorkQueue("scheduler", logger: logger, maximumBackoff: .seconds(10))
        follow()
    }

    package func run() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { try await recorder.run() }
            group.addTask { await cancelWhenGracefulShutdown { await work() } }
        }
    }

    private func work() async {
        guard (try? await nodes.waitUntilSynced()) != nil, (try? await pods.waitUntilSynced()) != nil else { return }
        await queue.run(workers: 8) { try await schedule($0) }
    }

    private func follow() {
        let (queue, assumed, unschedulable) = (queue, assumed, unschedulable)
        pods.onChange { old, new in
            if let old, new?["metadata", "uid"] != old["metadata", "uid"] { assumed.forget(AnyObjectView(old).uid) }
            if let new, Self.needsNode(new) {
                queue.add(AnyObjectView(new).key)
                return
            }
            guard let object = new ?? old else { return }
            let pod = AnyObjectView(object)
            assumed.forget(pod.uid)
            unschedulable.remove(pod.key)
            let isFreed = new == nil || ["Succeeded", "Failed"].contains(object["status", "phase"]?.string)
            let hasMoved = old?["spec", "nodeName"] != new?["spec", "nodeName"]
            let isRelabeled = old?["metadata", "labels"] != new?["metadata", "labels"]
            if isFreed || hasMoved || isRelabeled { unschedulable.takeAll().forEach(queue.add) }
        }
        nodes.onChange { old, new in
            let fields = [["metadata", "labels"], ["spec"], ["status", "allocatable"]]
            guard fields.contains(where: { old?[path: $0] != new?[path: $0] }) else { return }
            unschedulable.takeAll().forEach(queue.add)
        }
    }

    static func needsNode(_ json: JSON) -> Bool {
        let scheduler = json["spec", "schedulerName"]?.string ?? name
        return (json["spec", "nodeName"]?.string ?? "").isEmpty && scheduler == name
            && !AnyObjectView(json).isBeingDeleted
            && !["Succeeded", "Failed"].contains(json["status", "phase"]?.string)
            && (json["spec", "schedulingGates"]?.array ?? []).isEmpty
    }

    // MARK: - Scheduling

    private func schedule(_ key: ObjectKey) async throws {
        guard let json = pods.get(key), Self.needsNode(json) else { return }
        // Before looking: a change that comes while the decision is made must find it.
        unschedulable.insert(key)
        let decision = assumed.decide(json, nodes: nodes.snapshot(), pods: pods.snapshot())
        switch decision {
        case nil: unschedulable.remove(key)  // already on its way
        case .bind(let node)?:
            unschedulable.remove(key)
            try await bind(json, to: node)
        case .unschedulable(let message)?: try await refuse(json, message)
        }
    }

    private func bind(_ json: JSON, to node: String) async throws {
        let pod = AnyObjectView(json)
        let binding: JSON = [
            "apiVersion": "v1", "kind": "Binding",
            "metadata": [
                "name": .string(pod.name), "namespace": .string(pod.namespace), "uid": .string(pod.uid),
            ],
            "target": ["apiVersion": "v1", "kind": "Node", "name": .string(node)],
        ]
        do {
            _ = try await client.post(.pods, namespace: pod.namespace, name: pod.name, subresource: "binding", binding)
        } catch let error as StatusError where error.isNotFound || error.isConflict {
            assumed.forget(pod.uid)  // gone, or somebody else gave it a node
            return
        } catch {
            assumed.forget(pod.uid)
            throw error
        }
        recorder.record(
            .normal,
            json,
            reason: "Scheduled",
            "Successfully assigned \(pod.key) to \(node)"
        )
    }

    private func refuse(_ json: JSON, _ message: String) async throws {
        let pod = AnyObjectView(json)
        let conditions = json["status", "conditions"]?.array ?? []
        let current = conditions.first { $0["type"]?.string == "PodScheduled" }
        if current?["reason"]?.string == "Unschedulable", current?["message"]?.string == message { return }
        recorder.record(.warning, json, reason: "FailedScheduling", message)
        let isTransition = current?["status"]?.string != "False"
        let condition: JSON = [
            "type": "PodScheduled", "status": "False",
            "lastTransitionTime": isTransition
                ? .string(Timestamp.now()) : current?["lastTransitionTime"] ?? .string(Timestamp.now()),
            "reason": "Unschedulable", "message": .string(message),
        ]
        let others = conditions.filter { $0["type"]?.string != "PodScheduled" }
        let patch: JSON = [
            "metadata": ["uid": .string(pod.uid), "resourceVersion": .string(pod.resourceVersion)],
            "status": ["conditions": .array(others + [condition])],
        ]
        do {
            _ = try await client.patch(
                .pods,
                namespace: pod.namespace,
                name: pod.name,
                subresource: "status",
                .merge(patch)
            )
        } catch let error as StatusError where error.isNotFound || error.isConflict {
            return  // its own change brings it back
        }
    }
}

/// Pods that were given a node which the informer does not show yet.
private final class AssumedPods: Sendable {
    private let nodes = Mutex<[String: (pod: JSON, node: String)]>([:])

    /// Decides on `json` in the light of all decisions before, and remembers the outcome; `nil` when it was decided on already.
    func decide(_ json: JSON, nodes allNodes: [JSON], pods: [JSON]) -> SchedulingDecision? {
        nodes.withLock { assumed in
            let pod = SchedulablePod(json)
            guard assumed[pod.uid] == nil else { return nil }
            let placed = pods.map { json in
                guard let node = assumed[AnyObjectView(json).uid]?.node else { return json }
                var placed = json
                placed["spec", "nodeName"] = .string(node)
                return placed
            }
            let decision = SchedulingDecision(for: pod, in: SchedulerSnapshot(nodes: allNodes, pods: placed))
            if case .bind(let node) = decision { assumed[pod.uid] = (json, node) }
            return decision
        }
    }

    func forget(_ uid: String) {
        nodes.withLock { $0[uid] = nil }
    }
}

/// Pods that wait for the cluster to change.
private final class UnschedulablePods: Sendable {
    private let keys = Mutex<Set<ObjectKey>>([])

    func insert(_ key: ObjectKey) {
        keys.withLock { _ = $0.insert(key) }
    }

    func remove(_ key: ObjectKey) {
        keys.withLock { _ = $0.remove(key) }
    }

    func takeAll() -> Set<ObjectKey> {
        keys.withLock { keys in
            defer { keys = [] }
            return keys
        }
    }
}
