import KubernetesClient
import KubernetesModel
import Logging
import Synchronization

/// Waits until what a release applied does its work, and finds out why it does not.
struct RolloutWatch: Sendable {
    let client: any ClusterClient
    let namespace: String
    let clock: any Clock<Duration>
    /// How long a release may take altogether.
    let deadline: Duration
    /// How long a pod may stay unscheduled.
    let schedulingGrace: Duration
    let logger: Logger

    /// Returns when all workloads of `bundle` are ready; throws ``ReleaseError`` with the reason as soon as it is clear that they will
    /// not become so, at the latest at the deadline.
    func wait(for bundle: ReleaseBundle, _ output: ProgressOutput) async throws {
        let workloads = bundle.identities.filter { Readiness.workloads.contains($0.resource.kind) }
        guard !workloads.isEmpty else { return }
        let resources = Set(workloads.map(\.resource)).union([.pods, .replicaSets, .events])
        let view = ClusterView(resources.map { Informer(client, $0, namespace: namespace, logger: logger) })
        try await withThrowingTaskGroup(of: Void.self) { group in
            for informer in view.informers { group.addTask { try await informer.run() } }
            group.addTask { try await tick(view) }
            defer { group.cancelAll() }
            for informer in view.informers { try await informer.waitUntilSynced() }
            try await follow(workloads, in: view, output)
        }
    }

    // MARK: - Private

    /// Wakes the waiting up for what only time decides.
    private func tick(_ view: ClusterView) async throws {
        while true {
            try await clock.sleep(for: .milliseconds(500))
            view.advance(by: .milliseconds(500))
        }
    }

    private func follow(_ workloads: [ObjectIdentity], in view: ClusterView, _ output: ProgressOutput) async throws {
        var unscheduled: [String: Duration] = [:]
        var said: [ObjectIdentity: String] = [:]
        for await _ in view.changes {
            let elapsed = view.elapsed
            var isReady = true
            for workload in workloads {
                let (text, isDone) = try await judge(workload, in: view, &unscheduled, elapsed)
                if said.updateValue(text, forKey: workload) != text { output.line("\(workload.description): \(text)") }
                isReady = isReady && isDone
            }
            if isReady { return }
            if elapsed >= deadline { throw try await timeout(workloads, in: view) }
        }
        try Task.checkCancellation()
    }

    /// What to say about the workload, and whether it is ready; throws when it never will be.
    private func judge(
        _ workload: ObjectIdentity,
        in view: ClusterView,
        _ unscheduled: inout [String: Duration],
        _ elapsed: Duration
    ) async throws -> (text: String, isDone: Bool) {
        guard let object = view.object(workload, namespace) else { return ("waiting", false) }
        let readiness = Readiness(of: object)
        if readiness == .ready { return ("ready", true) }
        var passing = ""
        for (pod, trouble) in troubles(of: object, in: view) {
            let since = trouble.severity == .lasting ? unscheduled[pod.name, default: elapsed] : elapsed
            unscheduled[pod.name] = trouble.severity == .lasting ? since : nil
            let isFinal =
                trouble.severity == .final || (trouble.severity == .lasting && elapsed - since >= schedulingGrace)
            if isFinal { throw ReleaseError(await explanation(of: trouble, pod, workload, in: view)) }
            passing = "; \(trouble.reason): \(trouble.message)"
        }
        switch readiness {
        case .failed(let reason):
            let why = passing.isEmpty ? warning(about: object, in: view) : passing
            throw ReleaseError("\(workload.description) failed: \(reason)\(why)")
        case .waiting(let what):
            let why = passing.isEmpty ? warning(about: object, in: view) : passing
            return (what + why, false)
        case .ready: return ("ready", true)
        }
    }

    private func troubles(of workload: JSON, in view: ClusterView) -> [(AnyObjectView, PodTrouble)] {
        let replicaSets = view.all(.replicaSets, namespace)
        return WorkloadPods.of(workload, pods: view.all(.pods, namespace), replicaSets: replicaSets).compactMap { pod in
            PodTrouble.of(pod).map { (AnyObjectView(pod), $0) }
        }
    }

    private func timeout(_ workloads: [ObjectIdentity], in view: ClusterView) async throws -> ReleaseError {
        for workload in workloads {
            guard let object = view.object(workload, namespace), case .waiting(let what) = Readiness(of: object) else {
                continue
            }
            if let (pod, trouble) = troubles(of: object, in: view).first {
                return ReleaseError(await explanation(of: trouble, pod, workload, in: view))
            }
            return ReleaseError(
                "\(workload.description) is not ready after \(deadline.components.seconds) s (\(what))\(warning(about: object, in: view))"
            )
        }
        return ReleaseError("the release is not ready after \(deadline.components.seconds) s")
    }

    /// The newest warning about a pod of the workload, such as what its readiness probe answered: `; Unhealthy: …`.
    private func warning(about workload: JSON, in view: ClusterView) -> String {
        let replicaSets = view.all(.replicaSets, namespace)
        let pods = WorkloadPods.of(workload, pods: view.all(.pods, namespace), replicaSets: replicaSets)
        let warning = pods.lazy.compactMap { view.lastWarning(about: AnyObjectView($0), namespace) }.first
        return warning.map { "; \($0)" } ?? ""
    }

    private func explanation(
        of trouble: PodTrouble,
        _ pod: AnyObjectView,
        _ workload: ObjectIdentity,
        in view: ClusterView
    ) async -> String {
        var text = "\(workload.description) cannot start: \(trouble.reason): \(trouble.message) (pod \(pod.name))"
        if trouble.container.isEmpty {
            if let warning = view.lastWarning(about: pod, namespace), !trouble.message.contains(warning) {
                text += "\n  \(warning)"
            }
            return text
        }
        let log = await lastLines(of: trouble, pod)
        return log.isEmpty ? text : "\(text); its last lines:\n\(log.map { "  | \($0)" }.joined(separator: "\n"))"
    }

    private func lastLines(of trouble: PodTrouble, _ pod: AnyObjectView) async -> [Substring] {
        let options = LogOptions(container: trouble.container, previous: trouble.isRestarted, tailLines: 10)
        var bytes: [UInt8] = []
        do {
            for try await part in try await client.logs(namespace: namespace, pod: pod.name, options: options) {
                bytes += part
                guard bytes.count < 64 << 10 else { break }
            }
        } catch {
            logger.info("No log to explain a failed release", metadata: ["pod": "\(pod.name)", "error": "\(error)"])
        }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").suffix(10)
    }
}

/// What informers know of a namespace, and when it changes.
private final class ClusterView: Sendable {
    let informers: [Informer]
    /// Wakes up after a change of objects and with time.
    let changes: AsyncStream<Void>
    private let change: AsyncStream<Void>.Continuation
    private let time = Mutex(Duration.zero)

    init(_ informers: [Informer]) {
        self.informers = informers
        let (changes, change) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.changes = changes
        self.change = change
        for informer in informers { informer.onChange { _, _ in change.yield() } }
        change.yield()
    }

    /// Since the waiting began.
    var elapsed: Duration { time.withLock { $0 } }

    func advance(by step: Duration) {
        time.withLock { $0 += step }
        change.yield()
    }

    func all(_ resource: Resource, _ namespace: String) -> [JSON] {
        informers.first { $0.resource == resource }?.list(namespace: namespace) ?? []
    }

    func object(_ identity: ObjectIdentity, _ namespace: String) -> JSON? {
        informers.first { $0.resource == identity.resource }?.get(namespace: namespace, name: identity.name)
    }

    /// The newest warning event about the pod: `FailedMount: …`.
    func lastWarning(about pod: AnyObjectView, _ namespace: String) -> String? {
        func time(_ event: JSON) -> String { event["lastTimestamp"]?.string ?? event["eventTime"]?.string ?? "" }
        let warnings = all(.events, namespace).filter {
            $0["type"]?.string == "Warning" && $0["involvedObject", "uid"]?.string == pod.uid
        }
        return warnings.max { time($0) < time($1) }.map {
            "\($0["reason"]?.string ?? "Warning"): \($0["message"]?.string ?? "")"
        }
    }
}
