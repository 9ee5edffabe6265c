import Foundation
import Glibc
import KubernetesClient
import KubernetesModel

/// The folders that a pod's volumes are, below the pod's own folder.
///
/// Secrets and tokens are kept in memory file systems only. ``prepare(_:)`` may be called again: it brings files up to date.
struct PodVolumes: Sendable {
    let client: any ClusterClient
    let podDirectory: String

    /// Where a volume is on the node.
    struct Prepared: Hashable, Sendable {
        var path: String
        var isReadOnly = false
    }

    private struct Token: Sendable {
        var text: String
        var refreshAt: Int64
    }
    private var tokens: [VolumeProjection.TokenRequest: Token] = [:]

    init(client: any ClusterClient, podDirectory: String) {
        self.client = client
        self.podDirectory = podDirectory
    }

    /// Makes all volumes of the pod ready.
    ///
    /// - Throws: ``ConfigurationError`` naming the volume and what is wrong with it.
    mutating func prepare(_ facts: DownwardFacts) async throws -> [String: Prepared] {
        var prepared: [String: Prepared] = [:]
        for volume in facts.pod.spec["volumes"]?.array ?? [] {
            let name = volume["name"]?.string ?? ""
            do {
                prepared[name] = try await prepare(volume, name, facts)
            } catch let error as ConfigurationError {
                throw ConfigurationError("MountVolume.SetUp failed for volume \"\(name)\" : \(error.description)")
            } catch let error as FileError {
                throw ConfigurationError("MountVolume.SetUp failed for volume \"\(name)\" : \(error.description)")
            }
        }
        return prepared
    }

    /// Brings the files of objects up to date, and nothing else.
    mutating func refresh(_ facts: DownwardFacts) async throws {
        for volume in facts.pod.spec["volumes"]?.array ?? [] where Self.isProjection(volume) {
            _ = try await prepare(volume, volume["name"]?.string ?? "", facts)
        }
    }

    /// Unmounts and removes everything.
    func tearDown() {
        MountTable.unmountAll(below: podDirectory)
        try? FileManager.default.removeItem(atPath: podDirectory)
    }

    static func isProjection(_ volume: JSON) -> Bool {
        ["configMap", "secret", "downwardAPI", "projected"].contains { volume[$0] != nil }
    }

    // MARK: - Kinds

    private mutating func prepare(_ volume: JSON, _ name: String, _ facts: DownwardFacts) async throws -> Prepared {
        if let empty = volume["emptyDir"] { return try prepareEmpty(empty, name, facts) }
        if Self.isProjection(volume) { return try await prepareProjection(volume, name, facts) }
        if let host = volume["hostPath"] {
            try HostPath(host).prepare()
            return Prepared(path: HostPath(host).path)
        }
        if let claim = volume["persistentVolumeClaim"] { return try await prepareClaim(claim, facts) }
        let kind = volume.object?.keys.first { $0 != "name" } ?? "without a source"
        throw ConfigurationError("volumes of the kind \(kind) are not supported on this node")
    }

    private func prepareEmpty(_ empty: JSON, _ name: String, _ facts: DownwardFacts) throws -> Prepared {
        let path = try folder("empty-dir", name)
        if empty["medium"]?.string == "Memory" {
            try MountTable.mountMemory(at: path, size: Quantity(empty["sizeLimit"]).map { Int($0.value) })
        }
        chmod(path, 0o777)
        setGroup(path, facts)
        return Prepared(path: path)
    }

    private mutating func prepareProjection(
        _ volume: JSON,
        _ name: String,
        _ facts: DownwardFacts
    ) async throws -> Prepared {
        let references = VolumeProjection.References(of: volume)
        let namespace = facts.pod.namespace
        var projection = VolumeProjection(facts: facts)
        projection.configMaps = try await client.named(references.configMaps, .configMaps, in: namespace)
        projection.secrets = try await client.named(references.secrets, .secrets, in: namespace)
        for request in references.tokens { projection.tokens[request] = try await token(request, facts.pod) }
        let files = try projection.files(of: volume)
        let path = try folder("projected", name)
        if !references.secrets.isEmpty || !references.tokens.isEmpty {
            try MountTable.mountMemory(at: path, size: nil)
        }
        chmod(path, 0o755)
        let group = facts.pod.securityContext["fsGroup"]?.int.map(gid_t.init)
        try ProjectedDirectory(path: path, group: group).update(files)
        return Prepared(path: path, isReadOnly: true)
    }

    /// A claim that is bound to a volume of this machine.
    private func prepareClaim(_ claim: JSON, _ facts: DownwardFacts) async throws -> Prepared {
        let name = claim["claimName"]?.string ?? ""
        guard let object = try await client.find(.persistentVolumeClaims, namespace: facts.pod.namespace, name: name)
        else { throw ConfigurationError("persistentvolumeclaim \"\(name)\" not found") }
        guard let volumeName = object["spec", "volumeName"]?.string,
            let volume = try await client.find(.persistentVolumes, namespace: nil, name: volumeName)
        else { throw ConfigurationError("persistentvolumeclaim \"\(name)\" is not bound") }
        guard let source = volume["spec", "hostPath"] ?? volume["spec", "local"] else {
            throw ConfigurationError("persistentvolume \"\(volumeName)\" is not on this machine")
        }
        try HostPath(["path": source["path"] ?? "", "type": "DirectoryOrCreate"]).prepare()
        setGroup(source["path"]?.string ?? "", facts)
        return Prepared(path: source["path"]?.string ?? "", isReadOnly: claim["readOnly"]?.bool ?? false)
    }

    // MARK: - Private

    private func folder(_ kind: String, _ name: String) throws -> String {
        let path = "\(podDirectory)/volumes/\(kind)/\(name)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    /// The folder and what is made in it belong to the pod's `fsGroup`.
    private func setGroup(_ path: String, _ facts: DownwardFacts) {
        guard let group = facts.pod.securityContext["fsGroup"]?.int else { return }
        chown(path, UInt32.max, gid_t(group))
        chmod(path, 0o2777)
    }

    /// A token that is good for at least a fifth of its life.
    private mutating func token(_ request: VolumeProjection.TokenRequest, _ pod: Pod) async throws -> String {
        let now = Timestamp.present.seconds
        if let held = tokens[request], held.refreshAt > now { return held.text }
        let answer = try await client.post(
            .serviceAccounts,
            namespace: pod.namespace,
            name: pod.serviceAccountName,
            subresource: "token",
            [
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                "spec": [
                    "audiences": request.audience.isEmpty ? [] : [.string(request.audience)],
                    "expirationSeconds": JSON(request.expirationSeconds),
                    "boundObjectRef": [
                        "kind": "Pod", "apiVersion": "v1", "name": .string(pod.name), "uid": .string(pod.uid),
                    ],
                ],
            ]
        )
        guard let text = answer["status", "token"]?.string else {
            throw ConfigurationError("the API gave no token for service account \(pod.serviceAccountName)")
        }
        tokens[request] = Token(text: text, refreshAt: now + Int64(request.expirationSeconds) * 4 / 5)
        return text
    }
}

extension Resource {
    static let persistentVolumeClaims = Resource(plural: "persistentvolumeclaims", kind: "PersistentVolumeClaim")
    static let persistentVolumes = Resource(plural: "persistentvolumes", kind: "PersistentVolume", isNamespaced: false)
}

extension ClusterClient {
    /// The objects of these names as far as they exist.
    func named(_ names: Set<String>, _ resource: Resource, in namespace: String) async throws -> [String: JSON] {
        var objects: [String: JSON] = [:]
        for name in names { objects[name] = try await find(resource, namespace: namespace, name: name) }
        return objects
    }
}
