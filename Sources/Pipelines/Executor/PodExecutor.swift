package import KubernetesClient
import KubernetesModel
package import Logging

/// Runs every job as one pod of a cluster.
///
/// A pod prepares (init container `prepare`), runs the script in the job's own image (`build`), and sends artifacts (`finish`). The end of
/// `build` in the pod's status is the truth about a job, so that a restart of this program loses nothing.
package struct PodExecutor: JobExecutor {
    package struct Configuration: Sendable {
        package var namespace = "sampan-jobs"
        /// The image of ``HelperImage``.
        package var helperImage: String
        /// How long the rest of a log may take to arrive after its container ended.
        package var logDrain = Duration.seconds(5)
        /// How long sending artifacts may take.
        package var uploadTimeout = Duration.seconds(600)

        package init(helperImage: String) {
            self.helperImage = helperImage
        }
    }

    /// A section without text: the trace remembers with it that the pod was made.
    private static let podMark = "pod"

    private let client: any ClusterClient
    private let access: (any EnvironmentAccess)?
    private let configuration: Configuration
    private let logger: Logger
    private let clock: any Clock<Duration>

    package init(
        client: any ClusterClient,
        access: (any EnvironmentAccess)? = nil,
        configuration: Configuration,
        logger: Logger,
        clock: any Clock<Duration> = ContinuousClock()
    ) {
        self.client = client
        self.access = access
        self.configuration = configuration
        self.logger = logger
        self.clock = clock
    }

    package func start(keeping jobIDs: Set<Int>) async throws {
        try await ensureNamespace()
        for resource in [Resource.pods, .secrets] {
            let options = ListOptions(labelSelector: JobPod.jobLabel)
            let found = try await client.list(resource, namespace: configuration.namespace, options: options).items
            for object in found.map(AnyObjectView.init) {
                guard let id = object.labels[JobPod.jobLabel].flatMap({ Int($0) }), !jobIDs.contains(id) else {
                    continue
                }
                logger.info("removing what an ended job left", metadata: ["job": "\(id)", "object": "\(object.name)"])
                try await delete(resource, object.name, gracePeriod: 0)
            }
        }
    }

    package func stop(jobID: Int) async throws {
        try await delete(.pods, JobPod.name(jobID), gracePeriod: 10)
    }

    package func remove(jobID: Int) async throws {
        try await delete(.pods, JobPod.name(jobID), gracePeriod: 0)
        for name in JobPod.secretNames(jobID) { try await delete(.secrets, name, gracePeriod: nil) }
    }

    package func run(_ assignment: JobAssignment, trace: JobTrace, isResuming: Bool) async throws -> JobOutcome {
        let name = JobPod.name(assignment.jobID)
        if try await client.find(.pods, namespace: configuration.namespace, name: name) == nil {
            // Only a pod that was there can be gone: a crash may have come before it was made.
            guard !(isResuming && trace.hasSection(Self.podMark)) else { return .gone }
            try await create(assignment)
        }
        _ = try trace.beginSection(Self.podMark)
        let box = PodBox()
        return try await withThrowingTaskGroup(of: JobOutcome?.self) { group in
            group.addTask { try await watch(name, box) }
            group.addTask { try await follow(assignment, box, trace) }
            group.addTask { try await expire(assignment) }
            defer { group.cancelAll() }
            while let outcome = try await group.next() {
                if let outcome { return outcome }
            }
            return .gone
        }
    }

    // MARK: - Objects

    private func ensureNamespace() async throws {
        let object: JSON = [
            "apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(configuration.namespace)],
        ]
        do {
            _ = try await client.create(.namespaces, object)
        } catch let error as StatusError where error.isAlreadyExists {}
    }

    private func create(_ assignment: JobAssignment) async throws {
        if let account = assignment.account {
            try await access?.prepare(account, jobsNamespace: configuration.namespace)
        }
        let objects = JobPod(
            assignment: assignment,
            namespace: configuration.namespace,
            helperImage: configuration.helperImage
        )
        for secret in objects.secrets {
            do {
                _ = try await client.create(.secrets, namespace: configuration.namespace, secret)
            } catch let error as StatusError where error.isAlreadyExists {
                // From a try that a crash cut off: the token inside may be an older one.
                _ = try await client.update(.secrets, secret)
            }
        }
        do {
            _ = try await client.create(.pods, namespace: configuration.namespace, objects.pod)
        } catch let error as StatusError where error.isAlreadyExists {}
    }

    private func delete(_ resource: Resource, _ name: String, gracePeriod: Int?) async throws {
        do {
            _ = try await client.delete(
                resource,
                namespace: configuration.namespace,
                name: name,
                options: DeleteOptions(gracePeriodSeconds: gracePeriod)
            )
        } catch let error as StatusError where error.isNotFound {}
    }

    // MARK: - Following

    /// Keeps `box` up to date; ends only when the pod is gone.
    private func watch(_ name: String, _ box: PodBox) async throws -> JobOutcome? {
        while true {
            do {
                guard let pod = try await client.find(.pods, namespace: configuration.namespace, name: name) else {
                    box.set(.gone)
                    return nil
                }
                box.set(.pod(pod))
                var options = ListOptions(fieldSelector: "metadata.name=\(name)")
                options.resourceVersion = AnyObjectView(pod).resourceVersion
                let events = try await client.watch(.pods, namespace: configuration.namespace, options: options)
                for try await event in events { box.receive(event, name: name) }
            } catch let error as CancellationError {
                throw error
            } catch {
                logger.warning("the watch of a job's pod broke", metadata: ["pod": "\(name)", "error": "\(error)"])
            }
            if box.isGone { return nil }
            try await clock.sleep(for: .milliseconds(200))
        }
    }

    private func expire(_ assignment: JobAssignment) async throws -> JobOutcome? {
        try await clock.sleep(for: .seconds(max(0, assignment.timeout)))
        let message = "execution took longer than \(assignment.timeout) seconds"
        return .failed(.jobExecutionTimeout, exitCode: nil, message: message)
    }

    /// Copies the logs of the containers in the order in which they run, and says how the job ended.
    private func follow(_ assignment: JobAssignment, _ box: PodBox, _ trace: JobTrace) async throws -> JobOutcome? {
        let containers = ["prepare", "build"] + (assignment.files.needsFinish ? ["finish"] : [])
        for container in containers {
            let observed = await box.first { $0.hasStarted(container) || $0.outcome != nil || $0.isOver }
            guard let observed else { return .gone }
            guard observed.hasStarted(container) else { break }
            try await copyLog(of: container, assignment, box, trace)
            guard try await end(of: container, box) != nil else {
                return container == "finish" ? await box.current?.buildOutcome ?? .gone : .gone
            }
        }
        guard let last = await box.first(where: { $0.outcome != nil }) else { return .gone }
        return last.outcome
    }

    /// The status in which the container has ended; `nil` when the pod went away or sending the artifacts took too long.
    private func end(of container: String, _ box: PodBox) async throws -> JobPodStatus? {
        let ended: @Sendable (JobPodStatus) -> Bool = { $0.hasEnded(container) || $0.isOver }
        guard container == "finish" else { return await box.first(where: ended) }
        return try await withThrowingTaskGroup(of: JobPodStatus?.self) { group in
            group.addTask { await box.first(where: ended) }
            group.addTask {
                try await clock.sleep(for: configuration.uploadTimeout)
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
    }

    /// Copies one container's log until it ends, or until the container has ended and nothing more came for a while.
    private func copyLog(
        of container: String,
        _ assignment: JobAssignment,
        _ box: PodBox,
        _ trace: JobTrace
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await pump(container, assignment, box, trace) }
            group.addTask {
                _ = await box.first { $0.hasEnded(container) || $0.isOver }
                try await clock.sleep(for: configuration.logDrain)
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// A log may break off while its container runs, as when the platform starts again; a section that is begun once more leaves out
    /// what the trace has. Only a log that was opened after the container's end is whole.
    private func pump(
        _ container: String,
        _ assignment: JobAssignment,
        _ box: PodBox,
        _ trace: JobTrace
    ) async throws {
        while true {
            let isOver = await box.current.map { $0.hasEnded(container) || $0.isOver } ?? true
            try await copyOnce(container, assignment, trace)
            if isOver { return }
            try await Task.sleep(for: .milliseconds(25))
        }
    }

    private func copyOnce(_ container: String, _ assignment: JobAssignment, _ trace: JobTrace) async throws {
        var section = try TraceSection(container, of: trace, secrets: assignment.secrets)
        do {
            let bytes = try await client.logs(
                namespace: configuration.namespace,
                pod: JobPod.name(assignment.jobID),
                options: LogOptions(container: container, follow: true)
            )
            for try await chunk in bytes { try section.append(chunk) }
        } catch let error as StatusError {
            logger.warning("a job's log broke off", metadata: ["job": "\(assignment.jobID)", "error": "\(error)"])
        }
        try Task.checkCancellation()
        try section.finish()
    }
}
