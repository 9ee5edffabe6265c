/// What configuration and permissions must be.
enum ConfigurationRules {
    /// The most bytes of data in one ConfigMap or Secret.
    static let maximumDataBytes = 1024 * 1024

    static let rules: [String: SemanticValidation.Rule] = [
        "core.v1.ConfigMap": { object, _ in configMapErrors(object) },
        "core.v1.Secret": { object, _ in secretErrors(object) },
        "rbac.v1.RoleBinding": { object, _ in bindingErrors(object) },
        "rbac.v1.ClusterRoleBinding": { object, _ in bindingErrors(object) },
        "rbac.v1.PolicyRule": ruleErrors,
        "core.v1.PodTemplateSpec": { template, path in
            MetadataValidation.labelErrors(template["metadata", "labels"], "\(path).metadata.labels")
                + MetadataValidation.annotationErrors(
                    template["metadata", "annotations"],
                    "\(path).metadata.annotations"
                )
        },
    ]

    private static func configMapErrors(_ object: JSON) -> [FieldError] {
        let data = object["data"]?.object ?? [:]
        let binary = object["binaryData"]?.object ?? [:]
        var errors = keyErrors(data, "data") + keyErrors(binary, "binaryData")
        for key in binary.keys where data[key] != nil {
            errors.append(.invalid("data[\(key)]", .string(key), "duplicate of key present in binaryData"))
        }
        return errors + sizeErrors([data, binary], "")
    }

    private static func secretErrors(_ object: JSON) -> [FieldError] {
        let data = object["data"]?.object ?? [:]
        let required: [String: [String]] = [
            "kubernetes.io/dockerconfigjson": [".dockerconfigjson"], "kubernetes.io/tls": ["tls.crt", "tls.key"],
            "kubernetes.io/ssh-auth": ["ssh-privatekey"], "kubernetes.io/dockercfg": [".dockercfg"],
        ]
        let missing = (required[object["type"]?.string ?? ""] ?? []).filter { data[$0] == nil }
        return keyErrors(data, "data") + missing.map { .required("data[\($0)]") } + sizeErrors([data], "data")
    }

    private static func keyErrors(_ data: JSONObject, _ path: String) -> [FieldError] {
        data.keys.compactMap { key in
            NameSyntax.problem(inConfigKey: key).map { .invalid("\(path)[\(key)]", .string(key), $0) }
        }
    }

    private static func sizeErrors(_ data: [JSONObject], _ path: String) -> [FieldError] {
        let size = data.flatMap(\.values).reduce(0) { $0 + ($1.string?.utf8.count ?? 0) }
        guard size > maximumDataBytes else { return [] }
        return [
            FieldError(
                path: path,
                kind: .invalid,
                message: "Too long: may not be more than \(maximumDataBytes) bytes"
            )
        ]
    }

    private static func bindingErrors(_ binding: JSON) -> [FieldError] {
        let kind = binding["roleRef", "kind"] ?? .null
        var errors: [FieldError] = []
        if !["Role", "ClusterRole"].contains(kind.string ?? "") {
            errors.append(.unsupported("roleRef.kind", kind, ["ClusterRole", "Role"]))
        }
        if binding["roleRef", "name"]?.string?.isEmpty ?? true { errors.append(.required("roleRef.name")) }
        for (index, subject) in (binding["subjects"]?.array ?? []).enumerated() {
            errors += subjectErrors(subject, "subjects[\(index)]", binding)
        }
        return errors
    }

    private static func subjectErrors(_ subject: JSON, _ path: String, _ binding: JSON) -> [FieldError] {
        var errors: [FieldError] = subject["name"]?.string?.isEmpty ?? true ? [.required("\(path).name")] : []
        switch subject["kind"]?.string {
        case "User", "Group": break
        case "ServiceAccount":
            if binding["kind"]?.string == "ClusterRoleBinding", subject["namespace"]?.string?.isEmpty ?? true {
                errors.append(.required("\(path).namespace"))
            }
        default:
            errors.append(.unsupported("\(path).kind", subject["kind"] ?? .null, ["Group", "ServiceAccount", "User"]))
        }
        return errors
    }

    private static func ruleErrors(_ rule: JSON, _ path: String) -> [FieldError] {
        func isEmpty(_ field: String) -> Bool { rule[field]?.array?.isEmpty ?? true }
        if isEmpty("verbs") { return [.required("\(path).verbs", "verbs must contain at least one value")] }
        if isEmpty("nonResourceURLs"), isEmpty("resources") {
            return [.required("\(path).resources", "resource rules must supply at least one resource")]
        }
        return []
    }
}
