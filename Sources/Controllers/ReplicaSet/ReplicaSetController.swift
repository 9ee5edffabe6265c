package import KubernetesClient
import KubernetesModel
package import Logging
import ServiceLifecycle

/// Keeps as many pods of each ReplicaSet as it asks for.
package struct ReplicaSetController: Service {
    private let client: any ClusterClient
    private let replicaSets: Informer
    private let pods: Informer
    private let control: PodControl
    private let queue: WorkQueue<ObjectKey>

    package init(client: any ClusterClient, informers: Informers, recorder: EventRecorder, logger: Logger) {
        self.client = client
        replicaSets = informers[.replicaSets]
        pods = informers[.pods]
        control = PodControl(client: client, recorder: recorder, unseen: UnseenWrites(pods))
        queue = WorkQueue("replicaset", logger: logger)
        follow()
    }

    package func run() async throws {
        try await Controller(queue: queue, informers: [replicaSets, pods], workers: 8, reconcile: reconcile).run()
    }

    private func follow() {
        let (queue, replicaSets) = (queue, replicaSets)
        replicaSets.onChange { old, new in
            if let object = new ?? old { queue.add(AnyObjectView(object).key) }
        }
        pods.onChange { old, new in
            queue.addController(of: old, kind: "ReplicaSet")
            queue.addController(of: new, kind: "ReplicaSet")
            guard let new, AnyObjectView(new).controllerReference == nil else { return }
            // Nobody's pod: any ReplicaSet that chooses it may adopt it.
            let labels = AnyObjectView(new).labels
            for candidate in replicaSets.list(namespace: AnyObjectView(new).namespace).map(ReplicaSetView.init)
            where candidate.selector?.matches(labels) ?? false {
                queue.add(candidate.key)
            }
        }
    }

    private func reconcile(_ key: ObjectKey) async throws {
        guard let replicaSet = replicaSets.get(key).map(ReplicaSetView.init), let selector = replicaSet.selector else {
            return
        }
        try await control.forgetLostCreations(of: replicaSet)
        let owned = try await claimPods(of: replicaSet, selector: selector)
        let unseen = control.unseen.creations(of: replicaSet.uid)
        let plan = ReplicaSetPlan(replicaSet, pods: owned, unseenCreations: unseen, now: .present)
        do {
            try await control.create(plan.creations, for: replicaSet, resource: .replicaSets)
        } catch {
            try await report(ReplicaFailure(reason: "FailedCreate", message: "\(error)"), replicaSet, owned)
            throw error
        }
        try await control.delete(plan.deletions, of: replicaSet)
        try await client.writeStatus(plan.status, of: replicaSet, .replicaSets)
        if let next = plan.nextLook { queue.add(key, after: .present(until: next)) }
        if unseen > 0 { queue.add(key, after: .seconds(6)) }
    }

    private func report(_ failure: ReplicaFailure, _ replicaSet: ReplicaSetView, _ owned: [PodView]) async throws {
        let plan = ReplicaSetPlan(replicaSet, pods: owned, failure: failure, now: .present)
        try await client.writeStatus(plan.status, of: replicaSet, .replicaSets)
    }

    /// The pods of `replicaSet`, after it adopted and released what it must.
    private func claimPods(of replicaSet: ReplicaSetView, selector: LabelSelector) async throws -> [PodView] {
        let candidates = (pods.controlled(by: replicaSet.uid) + pods.uncontrolled(namespace: replicaSet.namespace))
            .map(PodView.init).filter { !control.unseen.isDeleted($0) }
        let claim = Ownership(
            of: candidates,
            uid: replicaSet.uid,
            selector: selector,
            canAdopt: !replicaSet.isBeingDeleted
        )
        for pod in claim.releasable { try await client.release(pod, .pods, by: replicaSet) }
        var owned = claim.owned
        for pod in claim.adoptable where pod.isActive {
            let adopted = try await client.adopt(pod, .pods, by: replicaSet, ownerResource: .replicaSets)
            owned.append(PodView(adopted))
        }
        return owned
    }
}

extension Duration {
    /// The time from the present until `time`, and a little more so that it has surely come; never negative.
    static func present(until time: Timestamp, from now: Timestamp = .present) -> Duration {
        let seconds = Duration.seconds(time.seconds - now.seconds)
        let nanoseconds = Duration.nanoseconds(Int(time.nanoseconds) - Int(now.nanoseconds))
        return max(.zero, seconds + nanoseconds) + .milliseconds(1)
    }
}
