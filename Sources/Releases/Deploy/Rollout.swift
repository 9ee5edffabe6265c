import KubernetesClient
import KubernetesModel
import Logging

/// Carries out one release in one environment: store, apply, wait, and put the earlier one back when it fails.
struct Rollout: Sendable {
    let applier: BundleApplier
    let store: ReleaseStore
    let watch: RolloutWatch
    let observer: (any ReleaseObserver)?
    let output: ProgressOutput
    let gatewayPort: Int
    let logger: Logger

    private var environment: ReleaseEnvironment { applier.environment }

    /// Renders, checks, stores and rolls out a new release. A request that made one already is told what became of that.
    func deploy(
        _ manifests: [ManifestDocument],
        _ renderer: BundleRenderer,
        pullLogin: RegistryLogin,
        request: String = ""
    ) async throws {
        try await applier.prepareNamespace()
        let history = try await store.history(of: environment)
        if !request.isEmpty, let made = history.releases.last(where: { $0.request == request }) {
            return try await finish(made)
        }
        let number = history.nextNumber
        let rendering = try renderer.render(manifests, release: Release.name(number))
        rendering.notes.forEach(output.line)
        let settings = renderer.settings
        try await applier.writePullSecret(settings.pullSecret, registry: settings.registry, pullLogin)
        try await applier.check(rendering)
        let release = try await store.create(
            Release(
                number: number,
                environment: environment,
                origin: renderer.origin,
                images: renderer.images,
                bundle: rendering.bundle,
                request: request
            )
        )
        output.line(
            "release \(number) of \(environment.project.path) to \(environment.name) (namespace \(environment.namespace))"
        )
        try await rollOut(release)
    }

    /// Brings an earlier release back under a new number.
    func rollBack(to number: Int?, origin: ReleaseOrigin) async throws {
        let history = try await store.history(of: environment)
        let target = try history.rollbackTarget(number)
        var made = target.origin
        made.userID = origin.userID
        var release = Release(
            number: history.nextNumber,
            environment: environment,
            origin: made,
            images: [],
            bundle: target.bundle.withoutJobs.labelled(release: Release.name(history.nextNumber)),
            rollbackOf: target.rollbackOf ?? target.number
        )
        release.json["spec", "images"] = target.spec["images"]
        output.line(
            "release \(release.number): back to release \(release.rollbackOf ?? 0) (\(target.origin.commit.prefix(8)))"
        )
        try await rollOut(try await store.create(release))
    }

    /// Goes on with a release that the platform had not finished when it stopped, unless somebody else did meanwhile.
    func resume(_ release: Release) async throws {
        let history = try await store.history(of: environment)
        guard let current = history.unfinished.first(where: { $0.number == release.number }) else { return }
        try await rollOut(current, note: Self.resumed)
    }

    private func finish(_ release: Release) async throws {
        switch release.phase {
        case .pending, .deploying:
            output.line("release \(release.number) goes on where the platform was interrupted")
            try await rollOut(release, note: Self.resumed)
        case .deployed, .superseded: sayDeployed(release)
        case .failed: throw ReleaseError(release.message)
        }
    }

    // MARK: - Private

    private static let resumed = "; resumed after a restart of the platform"

    private func rollOut(_ release: Release, note: String = "") async throws {
        do {
            try await store.mark(release, .deploying, "applying" + note)
            await tell(release, .running)
            try await applier.apply(release.bundle)
            try await watch.wait(for: release.bundle, output)
        } catch let error as CancellationError {
            throw error  // the platform stops: the release stays unfinished and is resumed
        } catch {
            try await untilTheClusterTakesIt { try await fail(release, "\(error)", note) }
            throw error
        }
        try await untilTheClusterTakesIt { try await succeed(release, note) }
    }

    /// Does `work` again while the cluster cannot answer or store, as on a full disk: how a release ended must not stay open. What the
    /// cluster refuses is refused at once.
    private func untilTheClusterTakesIt(_ work: () async throws -> Void) async throws {
        var backoff = Backoff()
        while true {
            do {
                return try await work()
            } catch let error as StatusError where error.code >= 500 {
                output.line("waiting for the cluster: \(error.message)")
                logger.warning("The end of a release cannot be stored yet", metadata: ["error": "\(error)"])
            }
            try await watch.clock.sleep(for: backoff.next())
        }
    }

    private func succeed(_ release: Release, _ note: String) async throws {
        let before = try await store.history(of: environment)
        for earlier in before.releases where earlier.phase == .deployed && earlier.number != release.number {
            try await store.mark(earlier, .superseded, "superseded by release \(release.number)")
        }
        try await store.mark(release, .deployed, "deployed" + note)
        let history = try await store.history(of: environment)
        try await removeLeftovers(of: history, keeping: release.bundle)
        for outdated in history.outdated { try await store.delete(outdated) }
        await tell(release, .success)
        sayDeployed(release)
        logger.info("Release deployed", metadata: metadata(release))
    }

    private func sayDeployed(_ release: Release) {
        let url = release.url(gatewayPort: gatewayPort)
        output.line("release \(release.number) is deployed\(url.isEmpty ? "" : ": \(url)")")
    }

    private func fail(_ release: Release, _ reason: String, _ note: String) async throws {
        let history = try await store.history(of: environment)
        if let previous = history.deployed, previous.number != release.number {
            output.line("release \(release.number) failed; release \(previous.number) is put back")
            try await applier.apply(previous.bundle.withoutJobs)
            try await removeLeftovers(of: history, keeping: previous.bundle)
        } else {
            output.line(
                "release \(release.number) failed; there is no earlier one, so what was applied stays for you to look at"
            )
        }
        try await store.mark(release, .failed, reason + note)
        await tell(release, .failed, reason: reason)
        logger.info("Release failed", metadata: metadata(release))
    }

    private func removeLeftovers(of history: ReleaseHistory, keeping bundle: ReleaseBundle) async throws {
        let leftovers = bundle.pruned(
            after: history.releases.reversed().map(\.bundle),
            retained: history.retained.map(\.bundle)
        )
        try await applier.remove(leftovers, output)
    }

    private func metadata(_ release: Release) -> Logger.Metadata {
        [
            "project": "\(environment.project.path)", "environment": "\(environment.name)",
            "release": "\(release.number)",
        ]
    }

    private func tell(_ release: Release, _ step: ReleaseProgress.Step, reason: String = "") async {
        let progress = ReleaseProgress(
            project: environment.project,
            environment: environment.name,
            origin: release.origin,
            number: release.number,
            isRollback: release.rollbackOf != nil,
            step: step,
            url: release.url(gatewayPort: gatewayPort),
            reason: reason
        )
        do {
            try await observer?.releaseChanged(progress)
        } catch {
            logger.error("A release could not be reported", metadata: ["error": "\(error)"])
        }
    }
}

extension ReleaseBundle {
    /// The bundle with its objects labelled as those of another release.
    func labelled(release: String) -> ReleaseBundle {
        ReleaseBundle(
            objects: objects.map { object in
                var object = object
                if object["metadata", "labels", "sampan.dev/release"] != nil {
                    object["metadata", "labels", "sampan.dev/release"] = .string(release)
                }
                return object
            }
        )
    }
}

extension Release {
    /// Where the application answers: the first host name of its first route; empty without one.
    func url(gatewayPort: Int) -> String {
        let routes = bundle.objects.filter { $0["kind"]?.string == "HTTPRoute" }
        let host = routes.lazy.compactMap { $0["spec", "hostnames"]?.array?.first?.string }.first
        let port = gatewayPort == 80 ? "" : ":\(gatewayPort)"
        return host.map { "http://\($0)\(port)" } ?? ""
    }
}
