import KubernetesClient
import KubernetesModel

/// The Release objects of a cluster.
struct ReleaseStore: Sendable {
    let client: any ClusterClient

    /// The environment's own releases: the namespace may still be another project's, which had this one's name.
    func history(of environment: ReleaseEnvironment) async throws -> ReleaseHistory {
        let releases = try await client.list(.releases, namespace: environment.namespace).items.map(Release.init)
        return ReleaseHistory(releases.filter { $0.projectID == environment.project.id })
    }

    /// All releases that were neither finished nor given up, of all environments.
    func unfinished() async throws -> [Release] {
        try await client.list(.releases, namespace: nil).items.map(Release.init).filter { !$0.phase.isFinished }
            .sorted { $0.number < $1.number }
    }

    func create(_ release: Release) async throws -> Release {
        Release(try await client.create(.releases, namespace: release.namespace, release.json))
    }

    func mark(_ release: Release, _ phase: Release.Phase, _ message: String) async throws {
        let status: JSON = [
            "status": [
                "phase": .string(phase.rawValue), "message": .string(message), "changedAt": .string(Timestamp.now()),
            ]
        ]
        _ = try await client.patch(
            .releases,
            namespace: release.namespace,
            name: release.name,
            subresource: "status",
            .merge(status)
        )
    }

    func delete(_ release: Release) async throws {
        do {
            _ = try await client.delete(.releases, namespace: release.namespace, name: release.name)
        } catch let error as StatusError where error.isNotFound {
            return
        }
    }
}
