import Foundation
package import KubernetesClient
import KubernetesModel

// What the API server asks of the node: logs and streams of single containers.

extension NodeAgent {
    /// The bytes of a container's log, from the file that the runtime writes.
    ///
    /// - Throws: ``StatusError`` in the words of Kubernetes: 404 for an unknown pod, 400 for a container that is unknown, was not
    ///   named, or has not started.
    package func logs(namespace: String, pod name: String, options: LogOptions) async throws -> ByteStream {
        let (pod, worker) = try find(namespace, name)
        let definition = try container(options.container, of: pod)
        let observed = worker?.observed ?? PodObservation()
        guard let run = options.previous ? observed.previous(definition.name) : observed.latest(definition.name) else {
            throw missingLog(of: definition, in: pod, isPrevious: options.previous, worker)
        }
        guard run.startedAt != nil || run.state == .exited else {
            throw missingLog(of: definition, in: pod, isPrevious: options.previous, worker)
        }
        let path = "\(context.configuration.logsDirectory)/\(pod.logFolder)/\(definition.name)/\(run.attempt).log"
        let reader = LogReader(path: path, options: options, now: context.now()) { [weak worker] in
            worker?.observed.running.contains { $0.id == run.id } ?? false
        }
        return ByteStream(unfolding: { try await reader.next() })
    }

    private func missingLog(
        of definition: ContainerDefinition,
        in pod: Pod,
        isPrevious: Bool,
        _ worker: PodWorker?
    ) -> StatusError {
        if isPrevious {
            return .badRequest("previous terminated container \"\(definition.name)\" in pod \"\(pod.name)\" not found")
        }
        let reason = worker?.memory.waiting[definition.name]?.reason ?? "ContainerCreating"
        return .badRequest(
            "container \"\(definition.name)\" in pod \"\(pod.name)\" is waiting to start: \(reason)"
        )
    }

    // MARK: - Streams

    /// What a stream to a container is for.
    package enum Stream: Hashable, Sendable {
        case execute(command: [String], isTerminal: Bool, stdin: Bool, stdout: Bool, stderr: Bool)
        case attach(isTerminal: Bool, stdin: Bool, stdout: Bool, stderr: Bool)
        case portForward(ports: [Int])
    }

    /// The URL on the runtime's streaming server, on a loopback address, that serves the stream once and soon: it speaks SPDY and
    /// WebSocket as the API does, so the request is passed on as it is.
    ///
    /// - Throws: ``StatusError`` when the pod or container does not exist or does not run.
    package func streamingURL(
        namespace: String,
        pod name: String,
        container: String,
        _ stream: Stream
    ) async throws -> String {
        let (pod, worker) = try find(namespace, name)
        let observed = worker?.observed ?? PodObservation()
        do {
            return try await context.runtime.streamingURL(try request(stream, container, pod, observed))
        } catch let error as RuntimeError {
            throw StatusError.internalError("the runtime refused: \(error.message)")
        }
    }

    private func request(
        _ stream: Stream,
        _ name: String,
        _ pod: Pod,
        _ observed: PodObservation
    ) throws -> StreamingRequest {
        if case .portForward(let ports) = stream {
            guard let sandbox = observed.currentSandbox else {
                throw StatusError.badRequest(
                    "unable to forward port because pod is not running. Current status=\(pod.phase)"
                )
            }
            return .portForward(sandboxID: sandbox.id, ports: ports)
        }
        let definition = try container(name, of: pod)
        guard let run = observed.latest(definition.name), run.state == .running else {
            throw StatusError.internalError("container not found (\"\(definition.name)\")")
        }
        switch stream {
        case .execute(let command, let isTerminal, let stdin, let stdout, let stderr):
            return .execute(
                containerID: run.id,
                command: command,
                isTerminal: isTerminal,
                stdin: stdin,
                stdout: stdout,
                stderr: stderr && !isTerminal
            )
        case .attach(let isTerminal, let stdin, let stdout, let stderr):
            return .attach(
                containerID: run.id,
                isTerminal: isTerminal,
                stdin: stdin,
                stdout: stdout,
                stderr: stderr && !isTerminal
            )
        case .portForward: preconditionFailure("port forwarding needs no container and was handled above")
        }
    }

    // MARK: - Statistics

    /// What a container uses now.
    package struct Usage: Hashable, Sendable {
        package var namespace: String
        package var pod: String
        package var container: String
        /// Since the container started.
        package var cpuNanoseconds: UInt64
        package var workingSetBytes: UInt64
    }

    package func usage() async throws -> [Usage] {
        try await context.runtime.statistics().map { entry in
            Usage(
                namespace: entry.labels[Label.podNamespace] ?? "",
                pod: entry.labels[Label.podName] ?? "",
                container: entry.labels[Label.containerName] ?? "",
                cpuNanoseconds: entry.cpuNanoseconds,
                workingSetBytes: entry.workingSetBytes
            )
        }
    }

    // MARK: - Private

    private func find(_ namespace: String, _ name: String) throws -> (Pod, PodWorker?) {
        guard let object = pods.get(namespace: namespace, name: name) else { throw StatusError.notFound(.pods, name) }
        let pod = Pod(object)
        return (pod, worker(uid: pod.uid))
    }

    private func container(_ name: String, of pod: Pod) throws -> ContainerDefinition {
        let annotation = pod.annotations["kubectl.kubernetes.io/default-container"]
        let only = pod.mainContainers.count == 1 ? pod.mainContainers.first?.name : annotation
        guard let wanted = name.isEmpty ? only : name else {
            let names = pod.containers.map(\.name).joined(separator: " ")
            throw StatusError.badRequest(
                "a container name must be specified for pod \(pod.name), choose one of: [\(names)]"
            )
        }
        guard let definition = pod.container(wanted) else {
            throw StatusError.badRequest("container \(wanted) is not valid for pod \(pod.name)")
        }
        return definition
    }
}
