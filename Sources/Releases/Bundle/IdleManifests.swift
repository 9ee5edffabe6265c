import KubernetesModel

/// The manifests that the cluster would store without ever acting on them. Pure.
struct IdleManifests {
    /// One line for each object that does nothing and that nothing of the release waits for.
    let notes: [String]

    /// Throws for workloads whose pods nobody would make, and for workloads whose pods would wait forever.
    init(_ documents: [ManifestDocument], _ kinds: KindsWithoutController) throws {
        var (problems, notes) = ([String](), [String]())
        let claims = Self.unboundClaims(documents, kinds)
        for document in documents {
            let definition = ResourceCatalog.builtin.definition(apiVersion: document.apiVersion, kind: document.kind)
            guard let resource = definition?.resource else { continue }
            if let warning = kinds.warning(about: resource) {
                let line = "\(document.source): \(document.kind) \"\(document.name)\": \(warning)"
                if PodTemplate.path(ofKind: document.kind, apiVersion: document.apiVersion) != nil {
                    problems.append(line)
                } else {
                    notes.append("warning: \(line)")
                }
            }
            for claim in PodTemplate.claims(in: document.object) {
                guard let warning = claims[claim] else { continue }
                problems.append(
                    "\(document.source): \(document.kind) \"\(document.name)\" would wait for the claim \"\(claim)\": \(warning)"
                )
            }
        }
        guard problems.isEmpty else { throw ReleaseError(problems.joined(separator: "\n")) }
        self.notes = notes
    }

    /// The claims of the release that nobody would bind, with the warning about them.
    private static func unboundClaims(
        _ documents: [ManifestDocument],
        _ kinds: KindsWithoutController
    ) -> [String: String] {
        let claims = documents.filter { $0.apiVersion == "v1" && $0.kind == "PersistentVolumeClaim" }
        guard let resource = claims.first.flatMap({ ObjectIdentity($0.object) })?.resource,
            let warning = kinds.warning(about: resource)
        else { return [:] }
        let unbound = claims.filter { ($0.object["spec", "volumeName"]?.string ?? "").isEmpty }
        return Dictionary(unbound.map { ($0.name, warning) }, uniquingKeysWith: { first, _ in first })
    }
}
