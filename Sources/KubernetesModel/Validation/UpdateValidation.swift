/// Checks what an update may not change.
enum UpdateValidation {
    static func errors(in new: JSON, from old: JSON, of resource: Resource) -> [FieldError] {
        metadataErrors(new, old) + (rules["\(resource.group)/\(resource.kind)"]?(new, old) ?? [])
    }

    private typealias Rule = @Sendable (JSON, JSON) -> [FieldError]

    private static let rules: [String: Rule] = [
        "/Pod": podErrors,
        "/ConfigMap": { immutableDataErrors($0, $1, ["data", "binaryData"]) },
        "/Secret": { immutableDataErrors($0, $1, ["data"]) + unchanged(["type"], $0, $1) },
        "/Service": serviceErrors,
        "/PersistentVolumeClaim": {
            unchanged(["spec", "storageClassName"], $0, $1) + unchanged(["spec", "accessModes"], $0, $1)
        },
        "apps/Deployment": { unchanged(["spec", "selector"], $0, $1) },
        "apps/ReplicaSet": { unchanged(["spec", "selector"], $0, $1) },
        "apps/DaemonSet": { unchanged(["spec", "selector"], $0, $1) },
        "apps/StatefulSet": statefulSetErrors,
        "batch/Job": jobErrors,
        "rbac.authorization.k8s.io/RoleBinding": { unchanged(["roleRef"], $0, $1) },
        "rbac.authorization.k8s.io/ClusterRoleBinding": { unchanged(["roleRef"], $0, $1) },
        "discovery.k8s.io/EndpointSlice": { unchanged(["addressType"], $0, $1) },
        "scheduling.k8s.io/PriorityClass": { unchanged(["value"], $0, $1) },
        "storage.k8s.io/StorageClass": { unchanged(["provisioner"], $0, $1) + unchanged(["parameters"], $0, $1) },
        "apiextensions.k8s.io/CustomResourceDefinition": {
            unchanged(["spec", "group"], $0, $1) + unchanged(["spec", "names", "plural"], $0, $1)
                + unchanged(["spec", "names", "kind"], $0, $1) + unchanged(["spec", "scope"], $0, $1)
        },
    ]

    // MARK: - All kinds

    private static func metadataErrors(_ new: JSON, _ old: JSON) -> [FieldError] {
        var errors: [FieldError] = []
        for field in ["name", "namespace", "uid", "creationTimestamp"] {
            errors += unchanged(["metadata", field], new, old)
        }
        guard old["metadata", "deletionTimestamp"] != nil else { return errors }
        let before = old["metadata", "finalizers"]?.array ?? []
        let added = (new["metadata", "finalizers"]?.array ?? []).filter { !before.contains($0) }
        if !added.isEmpty {
            errors.append(
                .forbidden("metadata.finalizers", "no new finalizers can be added if the object is being deleted")
            )
        }
        return errors
    }

    private static func unchanged(_ path: [String], _ new: JSON, _ old: JSON) -> [FieldError] {
        let value = new[path: path] ?? .null
        guard !value.isSameValue(as: old[path: path] ?? .null) else { return [] }
        return [.invalid(path.joined(separator: "."), value, "field is immutable")]
    }

    /// Objects that say so can be deleted, but neither changed nor made changeable again.
    private static func immutableDataErrors(_ new: JSON, _ old: JSON, _ fields: [String]) -> [FieldError] {
        guard old["immutable"]?.bool == true else { return [] }
        guard new["immutable"]?.bool == true else {
            return [.forbidden("immutable", "field is immutable when `immutable` is set")]
        }
        return fields.filter { !(new[$0] ?? [:]).isSameValue(as: old[$0] ?? [:]) }
            .map { .forbidden($0, "field is immutable when `immutable` is set") }
    }

    // MARK: - Workloads

    private static let podMessage =
        "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
        + "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
        + "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"

    private static func podErrors(_ new: JSON, _ old: JSON) -> [FieldError] {
        guard let newSpec = new["spec"], let oldSpec = old["spec"] else { return [] }
        let before = oldSpec["tolerations"]?.array ?? []
        let after = newSpec["tolerations"]?.array ?? []
        if !before.allSatisfy(after.contains) {
            return [
                .forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
            ]
        }
        guard fixedPart(ofPod: newSpec).isSameValue(as: fixedPart(ofPod: oldSpec)) else {
            return [.forbidden("spec", podMessage)]
        }
        return []
    }

    private static func fixedPart(ofPod spec: JSON) -> JSON {
        var spec = spec
        for field in ["activeDeadlineSeconds", "tolerations", "nodeName", "ephemeralContainers", "schedulingGates"] {
            spec[field] = nil
        }
        for list in ["containers", "initContainers"] {
            guard let containers = spec[list]?.array else { continue }
            spec[list] = .array(
                containers.map { container in
                    var container = container
                    container["image"] = nil
                    return container
                }
            )
        }
        return spec
    }

    private static func statefulSetErrors(_ new: JSON, _ old: JSON) -> [FieldError] {
        let allowed = [
            "replicas", "ordinals", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
            "revisionHistoryLimit",
        ]
        func fixed(_ object: JSON) -> JSON {
            var spec = object["spec"] ?? [:]
            for field in allowed { spec[field] = nil }
            return spec
        }
        guard !fixed(new).isSameValue(as: fixed(old)) else { return [] }
        let names = allowed.map { "'\($0)'" }.joined(separator: ", ")
        return [.forbidden("spec", "updates to statefulset spec for fields other than \(names) are forbidden")]
    }

    /// A suspended job that has not started may still get another template.
    private static func jobErrors(_ new: JSON, _ old: JSON) -> [FieldError] {
        var errors = unchanged(["spec", "selector"], new, old) + unchanged(["spec", "completionMode"], new, old)
        if old["spec", "completionMode"]?.string != "Indexed" {
            errors += unchanged(["spec", "completions"], new, old)
        }
        let isWaiting = old["spec", "suspend"]?.bool == true && old["status", "startTime"] == nil
        if !isWaiting { errors += unchanged(["spec", "template"], new, old) }
        return errors
    }

    private static func serviceErrors(_ new: JSON, _ old: JSON) -> [FieldError] {
        let before = old["spec", "clusterIP"]?.string ?? ""
        let staysExternal = [new, old].contains { $0["spec", "type"]?.string == "ExternalName" }
        guard !before.isEmpty, !staysExternal, new["spec", "clusterIP"]?.string != before else { return [] }
        return [.invalid("spec.clusterIPs[0]", new["spec", "clusterIP"] ?? .null, "may not change once set")]
    }
}
