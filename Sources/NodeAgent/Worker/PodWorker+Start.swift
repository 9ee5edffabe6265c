import Foundation
import KubernetesClient
import KubernetesModel
import Logging
import Synchronization

extension PodWorker {
    // MARK: - Sandbox

    /// Prepares the volumes and makes the sandbox; a failure is told by an event and tried again later.
    func createSandbox(attempt: Int) async -> Bool {
        do {
            try await prepareVolumes()
            let specification = try sandboxSpecification(attempt: attempt)
            let id = try await context.runtime.runSandbox(specification)
            context.claim([id], for: uid)
            state.withLock { state in
                state.setupFailures = 0
                state.memory.setupRetry = nil
                state.preparedSandbox = nil
            }
            logger.info("Sandbox runs", metadata: ["sandbox": "\(id)", "attempt": "\(attempt)"])
            return true
        } catch let error as RuntimeError {
            setupFailed("FailedCreatePodSandBox", "Failed to create pod sandbox: \(error.message)")
        } catch {
            setupFailed("FailedMount", "\(error)")
        }
        return false
    }

    /// Half a second after the first failure, at most half a minute.
    private func setupFailed(_ reason: String, _ message: String) {
        let now = context.now()
        state.withLock { state in
            let delay = min(30_000, Int64(500) << min(state.setupFailures, 10))
            state.setupFailures += 1
            state.memory.setupRetry = now.adding(milliseconds: delay)
        }
        logger.warning("Pod could not be set up", metadata: ["reason": "\(reason)", "message": "\(message)"])
        context.events.record(.warning, pod.json, reason: reason, message)
    }

    private func prepareVolumes() async throws {
        let (former, facts) = state.withLock { state in
            (state.volumes, context.facts(about: state.pod, addresses: state.memory.addresses))
        }
        var volumes = former
        let prepared = try await volumes.prepare(facts)
        let used = volumes
        state.withLock { state in
            state.volumes = used
            state.preparedVolumes = prepared
        }
    }

    func sandboxSpecification(attempt: Int) throws -> SandboxSpecification {
        let specification = SandboxSpecification(pod, attempt: attempt, context: context)
        try FileManager.default.createDirectory(atPath: specification.logDirectory, withIntermediateDirectories: true)
        return specification
    }

    // MARK: - Container

    /// Pulls the image, creates and starts the container and runs its hook; answers `false` when later containers must wait.
    func start(_ name: String, attempt: Int) async throws -> Bool {
        guard let definition = pod.container(name) else { return false }
        guard let image = try await ensureImage(definition) else { return !definition.isInit }
        do {
            try await prepareSandboxFiles()
            let id = try await create(definition, attempt: attempt, image: image)
            try await startCreated(id, definition)
            await runPostStartHook(id, definition)
        } catch let error as ConfigurationError {
            creationFailed(definition, "CreateContainerConfigError", error.description)
        } catch let error as RuntimeError where error.code != .unavailable {
            creationFailed(definition, "CreateContainerError", error.message)
        }
        return !definition.isInit
    }

    private func creationFailed(_ definition: ContainerDefinition, _ reason: String, _ message: String) {
        let retry = context.now().adding(seconds: 2)
        state.withLock { state in
            state.memory.retries[definition.name] = retry
            state.memory.waiting[definition.name] = .init(reason: reason, message: message)
        }
        context.events.record(.warning, pod.json, reason: "Failed", "Error: \(message)")
    }

    /// After a restart of the agent or of the sandbox, volumes and files are made known and up to date before a container uses them.
    private func prepareSandboxFiles() async throws {
        let (sandbox, prepared) = state.withLock { ($0.observed.currentSandbox, $0.preparedSandbox) }
        guard let sandbox, sandbox.id != prepared else { return }
        try await prepareVolumes()
        let pod = pod
        let directory = context.configuration.podDirectory(uid)
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let text = HostsFile.text(
            for: pod,
            addresses: sandbox.addresses,
            hostName: SandboxSpecification.hostName(of: pod, context: context),
            domain: context.configuration.clusterDomain
        )
        try text.write(toFile: "\(directory)/etc-hosts", atomically: true, encoding: .utf8)
        state.withLock { $0.preparedSandbox = sandbox.id }
    }

    private func create(_ definition: ContainerDefinition, attempt: Int, image: RuntimeImage) async throws -> String {
        let (pod, observed, volumes, addresses) = state.withLock { state in
            (state.pod, state.observed, state.preparedVolumes, state.memory.addresses)
        }
        guard let sandbox = observed.currentSandbox else { throw ConfigurationError("the sandbox is gone") }
        let references = ContainerEnvironment.references(of: definition)
        let environment = ContainerEnvironment(
            definition: definition,
            facts: context.facts(about: pod, addresses: addresses),
            configMaps: try await context.client.named(references.configMaps, .configMaps, in: pod.namespace),
            secrets: try await context.client.named(references.secrets, .secrets, in: pod.namespace),
            service: try await context.serviceVariables(for: pod)
        )
        let specification = try ContainerSpecification(
            definition,
            in: pod,
            attempt: attempt,
            image: image,
            environment: try environment.variables(),
            volumes: volumes,
            context: context
        )
        try prepareFiles(of: specification, attempt: attempt)
        noteRestart(definition, observed)
        let id = try await context.runtime.createContainer(
            specification,
            sandboxID: sandbox.id,
            sandbox: try sandboxSpecification(attempt: sandbox.attempt)
        )
        context.claim([id], for: uid)
        context.events.record(.normal, pod.json, reason: "Created", "Created container: \(definition.name)")
        return id
    }

    private func prepareFiles(of specification: ContainerSpecification, attempt: Int) throws {
        let directory = context.configuration.podDirectory(uid)
        let message = TerminationMessage.path(
            podDirectory: directory,
            container: specification.name,
            attempt: attempt
        )
        let folders = [
            (message as NSString).deletingLastPathComponent,
            "\(context.configuration.logsDirectory)/\(pod.logFolder)/\(specification.name)",
        ]
        for folder in folders {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        }
        try Data().write(to: URL(fileURLWithPath: message))
        try FileManager.default.setAttributes([.posixPermissions: 0o666], ofItemAtPath: message)
    }

    /// The back-off grows with every start after an exit.
    private func noteRestart(_ definition: ContainerDefinition, _ observed: PodObservation) {
        state.withLock { state in
            state.memory.retries[definition.name] = nil
            state.memory.waiting[definition.name] = nil
            guard let last = observed.latest(definition.name), let failed = last.finishedAt else { return }
            state.memory.restarts.note(definition.name, failedAt: failed)
        }
    }

    private func startCreated(_ id: String, _ definition: ContainerDefinition) async throws {
        do {
            try await context.runtime.startContainer(id)
        } catch let error as RuntimeError {
            // The runtime keeps the container as one that has exited, so the back-off of restarts applies.
            context.events.record(.warning, pod.json, reason: "Failed", "Error: \(error.message)")
            return
        }
        logger.info("Container runs", metadata: ["container": "\(definition.name)", "id": "\(id)"])
        context.events.record(.normal, pod.json, reason: "Started", "Started container \(definition.name)")
    }

    private func runPostStartHook(_ id: String, _ definition: ContainerDefinition) async {
        guard let hook = definition.hook("postStart") else { return }
        try? await observe()
        let target = target(id, definition)
        let outcome = try? await termination.unlessOpened {
            await self.context.prober.perform(ProbeAction(hook), on: target, timeout: .seconds(3600))
        }
        guard let result = outcome, !result.isSuccess else { return }
        context.events.record(
            .warning,
            pod.json,
            reason: "FailedPostStartHook",
            "PostStartHook failed: \(result.message)"
        )
        state.withLock { $0.memory.unhealthy[id] = "FailedPostStartHook" }
    }

    func target(_ id: String, _ definition: ContainerDefinition) -> Prober.Target {
        let address = state.withLock { state in
            state.pod.namespaces.usesHostNetwork
                ? context.configuration.address : state.memory.addresses.first ?? context.configuration.address
        }
        return Prober.Target(containerID: id, definition: definition, podAddress: address)
    }
}
