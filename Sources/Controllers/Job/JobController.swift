package import KubernetesClient
import KubernetesModel
package import Logging
import ServiceLifecycle

/// Runs the pods of Jobs until enough of them succeeded or too many failed.
package struct JobController: Service {
    private let client: any ClusterClient
    private let jobs: Informer
    private let pods: Informer
    private let recorder: EventRecorder
    private let control: PodControl
    private let queue: WorkQueue<ObjectKey>

    package init(client: any ClusterClient, informers: Informers, recorder: EventRecorder, logger: Logger) {
        self.client = client
        self.recorder = recorder
        jobs = informers[.jobs]
        pods = informers[.pods]
        control = PodControl(client: client, recorder: recorder, unseen: UnseenWrites(pods))
        queue = WorkQueue("job", logger: logger)
        let queue = queue
        jobs.onChange { old, new in
            if let object = new ?? old { queue.add(AnyObjectView(object).key) }
        }
        pods.onChange { old, new in
            queue.addController(of: old, kind: "Job")
            queue.addController(of: new, kind: "Job")
        }
    }

    package func run() async throws {
        try await Controller(queue: queue, informers: [jobs, pods], reconcile: reconcile).run()
    }

    private func reconcile(_ key: ObjectKey) async throws {
        guard let job = jobs.get(key).map(JobView.init) else { return }
        try await control.forgetLostCreations(of: job)
        let unseen = control.unseen.creations(of: job.uid)
        let plan = JobPlan(job, pods: ownedPods(of: job), unseenCreations: unseen, now: .present)
        if plan.isExpired { return try await delete(job) }
        if !plan.deletions.isEmpty, !plan.isOver {
            // The reason to stop must be known before the pods are gone.
            try await client.writeStatus(plan.status, of: job, .jobs)
            try await control.delete(plan.deletions, of: job)
            return
        }
        try await control.delete(plan.deletions, of: job)
        try await control.create(plan.creations, for: job, resource: .jobs, labels: job.podLabels) { number, pod in
            if job.isIndexed { JobIndex.assign(plan.creationIndexes[number], to: &pod, of: job.name) }
        }
        for pod in plan.marks { try await mark(pod) }
        try await client.writeStatus(plan.status, of: job, .jobs)
        report(plan, for: job)
        if let next = plan.nextLook { queue.add(key, after: .present(until: next)) }
        if unseen > 0 { queue.add(key, after: .seconds(6)) }
    }

    /// The pods of the Job, as they will be seen when all that was deleted shows.
    private func ownedPods(of job: JobView) -> [PodView] {
        pods.controlled(by: job.uid).map(PodView.init).map { pod in
            guard control.unseen.isDeleted(pod), !pod.isBeingDeleted else { return pod }
            var stopping = pod
            stopping.json["metadata", "deletionTimestamp"] = .string(Timestamp.now())
            return stopping
        }
    }

    /// Says on the pod that it is counted.
    private func mark(_ pod: PodView) async throws {
        let change: JSON = ["metadata": ["annotations": [JobTally.mark: "true"]]]
        do {
            _ = try await client.patch(.pods, namespace: pod.namespace, name: pod.name, .merge(change))
        } catch let error as StatusError where error.isNotFound {
            return
        }
    }

    private func delete(_ job: JobView) async throws {
        _ = try await client.delete(
            .jobs,
            namespace: job.namespace,
            name: job.name,
            options: DeleteOptions(
                propagationPolicy: .foreground,
                uid: job.uid,
                resourceVersion: job.resourceVersion
            )
        )
    }

    private func report(_ plan: JobPlan, for job: JobView) {
        guard !job.isFinished else { return }
        let conditions = Conditions(plan.status["conditions"])
        if conditions.isTrue("Complete") {
            recorder.record(.normal, job.json, reason: "Completed", "Job completed")
        } else if conditions.isTrue("Failed"), let failed = conditions["Failed"] {
            recorder.record(
                .warning,
                job.json,
                reason: failed["reason"]?.string ?? "Failed",
                failed["message"]?.string ?? ""
            )
        }
    }
}

extension JobPlan {
    fileprivate var isOver: Bool {
        let conditions = Conditions(status["conditions"])
        return conditions.isTrue("Complete") || conditions.isTrue("Failed")
    }
}
