package import KubernetesClient
import KubernetesModel
package import Logging
import ServiceLifecycle

/// Rolls Deployments out: makes a ReplicaSet for each template and moves pods from the old to the new one.
package struct DeploymentController: Service {
    private let client: any ClusterClient
    private let deployments: Informer
    private let replicaSets: Informer
    private let pods: Informer
    private let recorder: EventRecorder
    private let queue: WorkQueue<ObjectKey>

    package init(client: any ClusterClient, informers: Informers, recorder: EventRecorder, logger: Logger) {
        self.client = client
        self.recorder = recorder
        deployments = informers[.deployments]
        replicaSets = informers[.replicaSets]
        pods = informers[.pods]
        queue = WorkQueue("deployment", logger: logger)
        follow()
    }

    package func run() async throws {
        try await Controller(queue: queue, informers: [deployments, replicaSets, pods], reconcile: reconcile).run()
    }

    private func follow() {
        let (queue, deployments, replicaSets) = (queue, deployments, replicaSets)
        deployments.onChange { old, new in
            if let object = new ?? old { queue.add(AnyObjectView(object).key) }
        }
        replicaSets.onChange { old, new in
            queue.addController(of: old, kind: "Deployment")
            queue.addController(of: new, kind: "Deployment")
            guard let new, AnyObjectView(new).controllerReference == nil else { return }
            let view = AnyObjectView(new)
            for candidate in deployments.list(namespace: view.namespace).map(DeploymentView.init)
            where candidate.selector?.matches(view.labels) ?? false {
                queue.add(candidate.key)
            }
        }
        // The Recreate strategy waits for the last old pod to go.
        pods.onChange { old, new in
            guard new == nil, let old, let owner = AnyObjectView(old).controllerReference else { return }
            let key = ObjectKey(namespace: AnyObjectView(old).namespace, name: owner.name)
            queue.addController(of: replicaSets.get(key), kind: "Deployment")
        }
    }

    private func reconcile(_ key: ObjectKey) async throws {
        guard var deployment = deployments.get(key).map(DeploymentView.init), let selector = deployment.selector,
            !selector.isEmpty
        else { return }
        let owned = try await claimReplicaSets(of: deployment, selector: selector)
        let ownedPods = owned.map { ($0.uid, pods.controlled(by: $0.uid).map(PodView.init)) }
        let plan = DeploymentPlan(
            deployment,
            replicaSets: owned,
            pods: Dictionary(ownedPods, uniquingKeysWith: { first, _ in first }),
            now: .present
        )
        for action in plan.actions { try await perform(action, for: deployment) }
        deployment = try await setRevision(plan.revision, of: deployment)
        try await client.writeStatus(plan.status, of: deployment, .deployments)
        if let next = plan.nextLook { queue.add(key, after: .present(until: next)) }
    }

    private func perform(_ action: DeploymentPlan.Action, for deployment: DeploymentView) async throws {
        switch action {
        case .create(let replicaSet):
            try await create(replicaSet, for: deployment)
            recordScaling(of: replicaSet, from: 0, for: deployment)
        case .update(let replicaSet, let before):
            _ = try await client.update(.replicaSets, replicaSet.json)
            recordScaling(of: replicaSet, from: before, for: deployment)
        case .delete(let replicaSet):
            _ = try await client.delete(
                .replicaSets,
                namespace: replicaSet.namespace,
                name: replicaSet.name,
                options: DeleteOptions(
                    propagationPolicy: .background,
                    uid: replicaSet.uid,
                    resourceVersion: replicaSet.resourceVersion
                )
            )
        }
    }

    private func recordScaling(of replicaSet: ReplicaSetView, from before: Int, for deployment: DeploymentView) {
        guard replicaSet.replicas != before else { return }
        let direction = replicaSet.replicas > before ? "up" : "down"
        recorder.record(
            .normal,
            deployment.json,
            reason: "ScalingReplicaSet",
            "Scaled \(direction) replica set \(replicaSet.name) from \(before) to \(replicaSet.replicas)"
        )
    }

    /// Creates the ReplicaSet. When its name is taken, either it is ours and the informer is late, or other content has the same hash:
    /// then the next round names it anew.
    private func create(_ replicaSet: ReplicaSetView, for deployment: DeploymentView) async throws {
        do {
            _ = try await client.create(.replicaSets, namespace: replicaSet.namespace, replicaSet.json)
        } catch let error as StatusError where error.isAlreadyExists {
            let key = (replicaSet.namespace, replicaSet.name)
            guard let found = try await client.find(.replicaSets, namespace: key.0, name: key.1) else { throw error }
            let existing = ReplicaSetView(found)
            let isOurs = existing.controllerReference?.uid == deployment.uid
            if isOurs, PodTemplate.areEqual(existing.template, deployment.template) {
                throw StatusError.modified(.replicaSets, replicaSet.name)
            }
            var status = deployment.status
            status["collisionCount"] = JSON(deployment.collisionCount + 1)
            try await client.writeStatus(status, of: deployment, .deployments)
            throw StatusError.modified(.deployments, deployment.name)
        } catch {
            recorder.record(
                .warning,
                deployment.json,
                reason: "ReplicaSetCreateError",
                "Failed to create new replica set \"\(replicaSet.name)\": \(error)"
            )
            throw error
        }
    }

    private func setRevision(_ revision: String?, of deployment: DeploymentView) async throws -> DeploymentView {
        guard let revision, deployment.annotations[DeploymentAnnotation.revision] != revision else {
            return deployment
        }
        let metadata: JSON = [
            "resourceVersion": .string(deployment.resourceVersion),
            "annotations": [DeploymentAnnotation.revision: .string(revision)],
        ]
        let patched = try await client.patch(
            .deployments,
            namespace: deployment.namespace,
            name: deployment.name,
            .merge(["metadata": metadata])
        )
        return DeploymentView(patched)
    }

    private func claimReplicaSets(
        of deployment: DeploymentView,
        selector: LabelSelector
    ) async throws -> [ReplicaSetView] {
        let candidates =
            replicaSets.controlled(by: deployment.uid) + replicaSets.uncontrolled(namespace: deployment.namespace)
        let claim = Ownership(
            of: candidates.map(ReplicaSetView.init),
            uid: deployment.uid,
            selector: selector,
            canAdopt: !deployment.isBeingDeleted
        )
        for replicaSet in claim.releasable { try await client.release(replicaSet, .replicaSets, by: deployment) }
        var owned = claim.owned
        for replicaSet in claim.adoptable {
            let adopted = try await client.adopt(
                replicaSet,
                .replicaSets,
                by: deployment,
                ownerResource: .deployments
            )
            owned.append(ReplicaSetView(adopted))
        }
        return owned
    }
}
