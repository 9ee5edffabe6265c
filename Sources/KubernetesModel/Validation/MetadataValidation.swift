/// Checks what the metadata of every object must be.
enum MetadataValidation {
    /// The most bytes that all annotations of an object may have.
    static let maximumAnnotationBytes = 256 * 1024

    static func errors(in object: JSON, of resource: Resource) -> [FieldError] {
        let metadata = object["metadata"] ?? [:]
        return nameErrors(metadata, resource)
            + namespaceErrors(metadata, resource)
            + labelErrors(metadata["labels"], "metadata.labels")
            + annotationErrors(metadata["annotations"], "metadata.annotations")
            + ownerErrors(metadata["ownerReferences"]?.array ?? [])
            + finalizerErrors(metadata["finalizers"]?.array ?? [])
    }

    static func labelErrors(_ labels: JSON?, _ path: String) -> [FieldError] {
        (labels?.object ?? [:]).flatMap { key, value -> [FieldError] in
            var errors: [FieldError] = []
            if let problem = NameSyntax.problem(inQualifiedName: key) {
                errors.append(.invalid(path, .string(key), problem))
            }
            if let text = value.string, let problem = NameSyntax.problem(inLabelValue: text) {
                errors.append(.invalid(path, value, problem))
            }
            return errors
        }
    }

    static func annotationErrors(_ annotations: JSON?, _ path: String) -> [FieldError] {
        let fields = annotations?.object ?? [:]
        var errors = fields.keys.compactMap { key in
            NameSyntax.problem(inQualifiedName: key.lowercased()).map {
                FieldError.invalid(path, .string(key), $0)
            }
        }
        let size = fields.reduce(0) { $0 + $1.key.utf8.count + ($1.value.string?.utf8.count ?? 0) }
        if size > maximumAnnotationBytes {
            let message = "Too long: may not be more than \(maximumAnnotationBytes) bytes"
            errors.append(FieldError(path: path, kind: .invalid, message: message))
        }
        return errors
    }

    /// What is wrong with the name of an object of this kind.
    static func problem(inName name: String, of resource: Resource) -> String? {
        switch (resource.group, resource.kind) {
        case ("", "Namespace"): NameSyntax.problem(inLabel: name)
        case ("", "Service"): NameSyntax.problem(inServiceName: name)
        case ("rbac.authorization.k8s.io", _): NameSyntax.problem(inPathSegment: name)
        default: NameSyntax.problem(inSubdomain: name)
        }
    }

    // MARK: - Private

    private static func nameErrors(_ metadata: JSON, _ resource: Resource) -> [FieldError] {
        guard let name = metadata["name"]?.string, !name.isEmpty else {
            return [.required("metadata.name", "name or generateName is required")]
        }
        return problem(inName: name, of: resource).map { [.invalid("metadata.name", .string(name), $0)] } ?? []
    }

    private static func namespaceErrors(_ metadata: JSON, _ resource: Resource) -> [FieldError] {
        let namespace = metadata["namespace"]?.string ?? ""
        if !resource.isNamespaced {
            return namespace.isEmpty ? [] : [.forbidden("metadata.namespace", "not allowed on this type")]
        }
        guard !namespace.isEmpty else { return [.required("metadata.namespace")] }
        return NameSyntax.problem(inLabel: namespace)
            .map { [.invalid("metadata.namespace", .string(namespace), $0)] } ?? []
    }

    private static func ownerErrors(_ owners: [JSON]) -> [FieldError] {
        var errors: [FieldError] = []
        for (index, owner) in owners.enumerated() {
            for field in ["apiVersion", "kind", "name", "uid"] where owner[field]?.string?.isEmpty ?? true {
                errors.append(.required("metadata.ownerReferences[\(index)].\(field)", "must not be empty"))
            }
        }
        if owners.count(where: { $0["controller"]?.bool == true }) > 1 {
            errors.append(
                .invalid(
                    "metadata.ownerReferences",
                    .array(owners),
                    "Only one reference can have Controller set to true"
                )
            )
        }
        return errors
    }

    private static func finalizerErrors(_ finalizers: [JSON]) -> [FieldError] {
        finalizers.compactMap { finalizer in
            guard let name = finalizer.string, let problem = NameSyntax.problem(inQualifiedName: name) else {
                return nil
            }
            return .invalid("metadata.finalizers", finalizer, problem)
        }
    }
}
