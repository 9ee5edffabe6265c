import KubernetesModel

/// Where a release goes.
struct ReleaseEnvironment: Hashable, Sendable {
    var project: ReleaseProject
    var name: String
    /// Kept for as long as the environment lives, whatever becomes of the project's name.
    let namespace: String

    /// - Parameter namespace: the one that the environment has; without it the one that a new environment gets.
    init(project: ReleaseProject, name: String, namespace: String? = nil) {
        self.project = project
        self.name = name
        self.namespace = namespace ?? Self.namespace(project: project, name: name)
    }

    /// `group-project-environment`; names that are too long for a namespace end in a hash.
    private static func namespace(project: ReleaseProject, name: String) -> String {
        let parts = [project.path.slug, name.slug].joined(separator: "-")
        guard parts.utf8.count > 63 else { return parts }
        return "\(parts.prefix(52))-\(ConfigurationNames.hash(of: ["path": .string("\(project.path)/\(name)")]))"
    }

    /// On everything that a release applies.
    var labels: [String: String] {
        [
            "app.kubernetes.io/managed-by": "sampan",
            "sampan.dev/project": project.path.replacing("/", with: ".").labelValue,
            "sampan.dev/environment": name.replacing("/", with: ".").labelValue,
        ]
    }
}

/// Makes a bundle of manifests and images. Pure: equal input gives equal bytes.
struct BundleRenderer {
    struct Settings: Hashable, Sendable {
        /// Host and port of the registry, as nodes reach it.
        var registry: String
        /// Applications answer at `<namespace>.<domain>`.
        var domain: String
        var pullSecret = "sampan-registry"
        var gateway = ObjectKey(namespace: "sampan-system", name: "sampan")
    }

    struct Rendering: Hashable, Sendable {
        var bundle: ReleaseBundle
        /// Which manifest an object comes from, for messages.
        var sources: [ObjectIdentity: String]
        /// What the person who deploys should know.
        var notes: [String]
    }

    var environment: ReleaseEnvironment
    var settings: Settings
    var origin: ReleaseOrigin
    var images: [ImageBuild]
    /// What the cluster says that nobody in it acts on.
    var kindsWithoutController = KindsWithoutController()

    /// Renders `manifests`, or what an application with these images needs when there are none.
    func render(_ manifests: [ManifestDocument], release: String) throws -> Rendering {
        let generated = manifests.isEmpty ? try generate() : (documents: manifests, notes: [])
        try generated.documents.forEach(validate)
        try refuseDuplicates(generated.documents)
        let idle = try IdleManifests(generated.documents, kindsWithoutController)
        var objects = generated.documents.map { complete($0.object) }
        ConfigurationNames.apply(to: &objects)
        for index in objects.indices { mark(&objects[index], release: release) }
        let sources = zip(objects, generated.documents).compactMap { object, document in
            ObjectIdentity(object).map { ($0, document.source) }
        }
        let bundle = ReleaseBundle(objects: ApplyOrder.sort(objects))
        try checkSize(bundle)
        return Rendering(
            bundle: bundle,
            sources: Dictionary(sources, uniquingKeysWith: { first, _ in first }),
            notes: generated.notes + idle.notes + imageHints(manifests)
        )
    }

    /// Names the images that are not of this pipeline, where one that it built is used by nothing: mostly a name is misspelt.
    private func imageHints(_ documents: [ManifestDocument]) -> [String] {
        let substitution = ImageSubstitution(images, project: environment.project, registry: settings.registry)
        var used: Set<String> = []
        var others: [(source: String, image: String)] = []
        for document in documents {
            for image in PodTemplate.images(in: document.object) {
                if let pinned = substitution.reference(for: image) {
                    used.insert(pinned)
                } else {
                    others.append((document.source, image))
                }
            }
        }
        let unused = images.filter { !used.contains("\($0.reference)@\($0.digest)") }
        guard !unused.isEmpty else { return [] }
        let names = unused.map { $0.name.isEmpty ? environment.project.imageRepository : $0.name }.sorted()
        return others.map { source, image in
            "hint: \(source): the image \(image) is none that this pipeline built; built and used by no manifest: "
                + names.joined(separator: ", ")
        }
    }

    // MARK: - Checks

    private func validate(_ document: ManifestDocument) throws {
        let definition = ResourceCatalog.builtin.definition(apiVersion: document.apiVersion, kind: document.kind)
        guard let definition, definition.isStored else {
            throw ReleaseError(
                "\(document.source): \(document.apiVersion) \(document.kind) is not served by this cluster; check apiVersion and kind"
            )
        }
        guard definition.resource.isNamespaced else {
            throw ReleaseError(
                "\(document.source): \(document.kind) belongs to the whole cluster; a release holds only objects of its namespace"
            )
        }
        let namespace = document.object["metadata", "namespace"]?.string
        guard namespace == nil || namespace == environment.namespace else {
            throw ReleaseError(
                """
                \(document.source): metadata.namespace is "\(namespace ?? "")", but this environment's is \
                "\(environment.namespace)"; leave the field out
                """
            )
        }
    }

    private func refuseDuplicates(_ documents: [ManifestDocument]) throws {
        var places: [ObjectIdentity: String] = [:]
        for document in documents {
            guard let identity = ObjectIdentity(document.object) else { continue }
            if let first = places.updateValue(document.source, forKey: identity) {
                throw ReleaseError(
                    "\(document.source): \(document.kind) \"\(document.name)\" is already declared at \(first)"
                )
            }
        }
    }

    private func checkSize(_ bundle: ReleaseBundle) throws {
        let size = bundle.json.encoded().count
        guard size <= ReleaseBundle.sizeLimit else {
            throw ReleaseError(
                "the release has \(size) bytes, at most \(ReleaseBundle.sizeLimit) can be kept; move large files out of ConfigMaps and Secrets"
            )
        }
    }

    // MARK: - Changes

    private func complete(_ object: JSON) -> JSON {
        var object = object
        object["status"] = nil
        object["metadata", "namespace"] = .string(environment.namespace)
        ImageSubstitution(images, project: environment.project, registry: settings.registry).apply(to: &object)
        PodTemplate.change(&object, attachPullSecret)
        if object["kind"]?.string == "HTTPRoute" || object["kind"]?.string == "GRPCRoute" { completeRoute(&object) }
        return object
    }

    private func attachPullSecret(_ spec: inout JSON) {
        var isNeeded = false
        PodTemplate.changeContainers(&spec) { container in
            isNeeded = isNeeded || container["image"]?.string?.hasPrefix("\(settings.registry)/") == true
        }
        let secrets = spec["imagePullSecrets"]?.array ?? []
        guard isNeeded, !secrets.contains(where: { $0["name"]?.string == settings.pullSecret }) else { return }
        spec["imagePullSecrets"] = .array(secrets + [["name": .string(settings.pullSecret)]])
    }

    private func completeRoute(_ route: inout JSON) {
        if (route["spec", "hostnames"]?.array ?? []).isEmpty {
            route["spec", "hostnames"] = [.string("\(environment.namespace).\(settings.domain)")]
        }
        if (route["spec", "parentRefs"]?.array ?? []).isEmpty {
            route["spec", "parentRefs"] = [
                ["name": .string(settings.gateway.name), "namespace": .string(settings.gateway.namespace)]
            ]
        }
    }

    /// Says on the object who made it. Pod templates stay untouched: only what changed is rolled out.
    private func mark(_ object: inout JSON, release: String) {
        for (name, value) in environment.labels.sorted(by: { $0.key < $1.key }) {
            object["metadata", "labels", name] = .string(value)
        }
        // Configuration outlives its release, and equal configuration must stay equal.
        guard !["ConfigMap", "Secret"].contains(object["kind"]?.string) else { return }
        object["metadata", "labels", "sampan.dev/release"] = .string(release)
        let facts = [
            ("commit", origin.commit), ("pipeline", origin.pipelineID == 0 ? "" : String(origin.pipelineID)),
            ("job", origin.jobID == 0 ? "" : String(origin.jobID)),
        ]
        for (name, value) in facts where !value.isEmpty {
            object["metadata", "annotations", "sampan.dev/\(name)"] = .string(value)
        }
    }
}

extension String {
    /// The text as a label's value: at most 63 letters, digits, `-`, `_` and `.`, the first and last a letter or digit.
    fileprivate var labelValue: String {
        func isAlphanumeric(_ character: Character) -> Bool {
            character.isASCII && (character.isLetter || character.isNumber)
        }
        let allowed = map { isAlphanumeric($0) || "-_.".contains($0) ? $0 : "-" }.prefix(63)
        let trimmed = allowed.drop { !isAlphanumeric($0) }.reversed().drop { !isAlphanumeric($0) }.reversed()
        return String(trimmed)
    }
}
