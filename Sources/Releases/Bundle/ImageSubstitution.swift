import KubernetesModel

/// Puts the images that were built into pod specifications, by digest.
struct ImageSubstitution {
    private var references: [String: String] = [:]

    /// A manifest may name a built image by its name (`web`), by the project's name for the image of the project itself, by its
    /// repository (`group/project/web`), by its full reference, or with `$CI_REGISTRY_IMAGE`; with any tag or none.
    init(_ images: [ImageBuild], project: ReleaseProject, registry: String) {
        let repository = project.imageRepository
        for image in images {
            let pinned = "\(image.reference)@\(image.digest)"
            let suffix = image.name.isEmpty ? "" : "/\(image.name)"
            let variable = ["$CI_REGISTRY_IMAGE", "${CI_REGISTRY_IMAGE}", "CI_REGISTRY_IMAGE"].map { $0 + suffix }
            for name in variable + [repository + suffix, "\(registry)/\(repository)\(suffix)", image.reference] {
                references[name] = pinned
            }
            if !image.name.isEmpty { references[image.name] = pinned }
        }
        let projectName = repository.split(separator: "/").last.map(String.init) ?? repository
        if references[projectName] == nil { references[projectName] = references[repository] }
    }

    /// The pinned reference for `image`, or `nil` where it names none of the images built.
    func reference(for image: String) -> String? {
        guard !image.contains("@") else { return nil }
        return references[image] ?? references[Self.withoutTag(image)]
    }

    func apply(to object: inout JSON) {
        PodTemplate.change(&object) { spec in
            PodTemplate.changeContainers(&spec) { $0.changeText("image") { reference(for: $0) ?? $0 } }
        }
    }

    private static func withoutTag(_ image: String) -> String {
        guard let colon = image.lastIndex(of: ":"), !image[colon...].contains("/") else { return image }
        return String(image[..<colon])
    }
}
