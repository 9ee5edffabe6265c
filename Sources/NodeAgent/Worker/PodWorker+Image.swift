import Foundation
import KubernetesClient
import KubernetesModel
import Logging
import Synchronization

extension PodWorker {
    /// The image of a container, pulled when its policy asks for it; `nil` when it is not to be had now.
    func ensureImage(_ definition: ContainerDefinition) async throws -> RuntimeImage? {
        let present = try await context.runtime.image(definition.image)
        switch (definition.pullPolicy, present) {
        case (.ifNotPresent, let image?), (.never, let image?):
            if isFirstUse(of: definition) { tellPresent(definition) }
            return image
        case (.never, nil):
            imageIsMissing(definition)
            return nil
        case (.ifNotPresent, nil), (.always, _): return try await pull(definition)
        }
    }

    private func isFirstUse(of definition: ContainerDefinition) -> Bool { observed.latest(definition.name) == nil }

    private func tellPresent(_ definition: ContainerDefinition) {
        context.events.record(
            .normal,
            pod.json,
            reason: "Pulled",
            "Container image \"\(definition.image)\" already present on machine"
        )
    }

    private func imageIsMissing(_ definition: ContainerDefinition) {
        let message = "Container image \"\(definition.image)\" is not present with pull policy of Never"
        context.events.record(.warning, pod.json, reason: "ErrImageNeverPull", message)
        failed(definition, reason: "ErrImageNeverPull", message)
    }

    // MARK: - Pulling

    private func pull(_ definition: ContainerDefinition) async throws -> RuntimeImage? {
        context.events.record(.normal, pod.json, reason: "Pulling", "Pulling image \"\(definition.image)\"")
        let start = ContinuousClock.now
        do {
            let pulled = try await termination.unlessOpened { try await self.pullPatiently(definition.image) }
            guard let reference = pulled else { return nil }
            state.withLock { state in
                state.memory.pulls.forget(definition.image)
                state.memory.failedPulls[definition.image] = nil
            }
            let elapsed = ContinuousClock.now - start
            context.events.record(
                .normal,
                pod.json,
                reason: "Pulled",
                "Successfully pulled image \"\(definition.image)\" in \(Self.text(elapsed))"
            )
            return try await context.runtime.image(reference)
        } catch let error as RuntimeError {
            await pullFailed(definition, error.message)
            return nil
        }
    }

    /// Gives a registry that refuses connections a moment: this platform's own does so while it starts, and a pull that failed
    /// would fail the job or the release that the pod belongs to.
    private func pullPatiently(_ image: String) async throws -> String {
        let deadline = ContinuousClock.now + .seconds(10)
        while true {
            do {
                return try await pullWithAnyCredentials(image)
            } catch let error as RuntimeError where error.isRefusedConnection && ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(250))
            }
        }
    }

    /// Tries the secrets that know the registry, then without any.
    private func pullWithAnyCredentials(_ image: String) async throws -> String {
        let registry = ImageReference(image).registry
        var failure: RuntimeError?
        for credentials in try await credentials(for: registry) + [nil] {
            do {
                return try await context.runtime.pullImage(image, credentials: credentials)
            } catch let error as RuntimeError {
                failure = failure ?? error
            }
        }
        throw failure ?? RuntimeError(code: .other, message: "no way to pull \(image)")
    }

    /// From the pull secrets of the pod and of its service account.
    private func credentials(for registry: String) async throws -> [RegistryCredentials?] {
        let pod = pod
        var names = pod.spec["imagePullSecrets"]?.array?.compactMap { $0["name"]?.string } ?? []
        let account = try await context.client.find(
            .serviceAccounts,
            namespace: pod.namespace,
            name: pod.serviceAccountName
        )
        names += account?["imagePullSecrets"]?.array?.compactMap { $0["name"]?.string } ?? []
        let secrets = try await context.client.named(Set(names), .secrets, in: pod.namespace)
        return names.compactMap { secrets[$0] }.compactMap { RegistryCredentials(secret: $0, registry: registry) }
    }

    private func pullFailed(_ definition: ContainerDefinition, _ message: String) async {
        context.events.record(
            .warning,
            pod.json,
            reason: "Failed",
            "Failed to pull image \"\(definition.image)\": \(message)"
        )
        context.events.record(.warning, pod.json, reason: "Failed", "Error: ErrImagePull")
        logger.warning("Image could not be pulled", metadata: ["image": "\(definition.image)", "error": "\(message)"])
        failed(definition, reason: "ErrImagePull", message)
        await publishStatus()
        let backOff = "Back-off pulling image \"\(definition.image)\""
        state.withLock { $0.memory.waiting[definition.name] = .init(reason: "ImagePullBackOff", message: backOff) }
        context.events.record(.normal, pod.json, reason: "BackOff", backOff)
    }

    private func failed(_ definition: ContainerDefinition, reason: String, _ message: String) {
        let now = context.now()
        state.withLock { state in
            state.memory.pulls.note(definition.image, failedAt: now)
            state.memory.failedPulls[definition.image] = now
            state.memory.waiting[definition.name] = .init(reason: reason, message: message)
        }
    }

    private static func text(_ duration: Duration) -> String {
        let milliseconds = duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000
        return milliseconds < 1000 ? "\(milliseconds)ms" : "\(Double(milliseconds / 100) / 10)s"
    }
}

extension RegistryCredentials {
    /// The entry for `registry` in a secret of the type `kubernetes.io/dockerconfigjson` or `kubernetes.io/dockercfg`.
    init?(secret: JSON, registry: String) {
        let data = SecretData(secret).bytes
        let entries: JSON?
        if let bytes = data[".dockerconfigjson"] {
            entries = (try? JSON(parsing: bytes))?["auths"]
        } else {
            entries = data[".dockercfg"].flatMap { try? JSON(parsing: $0) }
        }
        let match = entries?.object?.first { Self.host(of: $0.key) == registry }
        guard let entry = match?.value else { return nil }
        self.init(
            userName: entry["username"]?.string ?? "",
            password: entry["password"]?.string ?? "",
            auth: entry["auth"]?.string ?? "",
            identityToken: entry["identitytoken"]?.string ?? ""
        )
    }

    /// Keys are hosts or whole URLs; Docker Hub has several names.
    private static func host(of key: String) -> String {
        var rest = key[...]
        if let scheme = rest.range(of: "://") { rest = rest[scheme.upperBound...] }
        let host = String(rest.prefix { $0 != "/" })
        return ["index.docker.io", "registry-1.docker.io"].contains(host) ? "docker.io" : host
    }
}
