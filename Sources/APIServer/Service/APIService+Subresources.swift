import KubernetesClient
import KubernetesModel

// MARK: - Scale

extension APIService {
    /// The `autoscaling/v1` Scale of an object.
    func scale(_ definition: ResourceDefinition, namespace: String?, name: String) throws -> JSON {
        try scale(of: get(definition, namespace: namespace, name: name).json(), definition)
    }

    /// Sets an object's replicas by a Scale, whole (`patch` is `nil`) or patched.
    func updateScale(
        _ definition: ResourceDefinition,
        namespace: String?,
        name: String,
        _ body: JSON,
        patch: Patch.Format? = nil,
        context: RequestContext
    ) async throws -> WriteResult {
        guard let paths = definition.scale else { throw StatusError.noSuchResource() }
        let modification = Modification(definition: definition, namespace: namespace, name: name, context: context)
        let version = AnyObjectView(body).resourceVersion
        var result = try await modify(modification, isConditional: !version.isEmpty) { old in
            let scale = try patched(scale(of: old, definition), body, patch)
            guard let replicas = scale["spec", "replicas"]?.int ?? (scale["spec"]?["replicas"] == nil ? 0 : nil),
                replicas >= 0
            else {
                let error = FieldError.invalid("spec.replicas", scale["spec", "replicas"] ?? .null, "must be 0 or more")
                throw StatusError.invalid(.scales, name, [error])
            }
            var new = old
            new[path: paths.specReplicas] = JSON(replicas)
            new["metadata", "resourceVersion"] = scale["metadata", "resourceVersion"]
            return new
        }
        result.object = try scale(of: result.object, definition)
        return result
    }

    private func patched(_ scale: JSON, _ body: JSON, _ format: Patch.Format?) throws -> JSON {
        switch format {
        case nil: body
        case .json: try JSONPatch.apply(body, to: scale)
        // A Scale has no lists, so the other formats are the same to it.
        default: MergePatch.apply(body, to: scale)
        }
    }

    private func scale(of object: JSON, _ definition: ResourceDefinition) throws -> JSON {
        guard let paths = definition.scale else { throw StatusError.noSuchResource() }
        let view = AnyObjectView(object)
        var scale: JSON = [
            "kind": "Scale", "apiVersion": "autoscaling/v1",
            "metadata": ["name": .string(view.name), "namespace": .string(view.namespace)],
            "spec": ["replicas": JSON(object[path: paths.specReplicas]?.int ?? 0)],
            "status": ["replicas": JSON(object[path: paths.statusReplicas]?.int ?? 0)],
        ]
        for field in ["uid", "resourceVersion", "creationTimestamp"] {
            scale["metadata", field] = object["metadata", field]
        }
        if let path = paths.labelSelector, let selector = object[path: path] {
            scale["status", "selector"] = .string(selector.string ?? Self.text(ofSelector: selector))
        }
        return scale
    }

    /// The object form of a selector in the syntax of `kubectl -l`.
    private static func text(ofSelector selector: JSON) -> String {
        let labels = (selector["matchLabels"]?.stringMap ?? [:]).sorted { $0.key < $1.key }.map {
            "\($0.key)=\($0.value)"
        }
        let expressions = (selector["matchExpressions"]?.array ?? []).map { expression in
            let key = expression["key"]?.string ?? ""
            let values = (expression["values"]?.array ?? []).compactMap(\.string).joined(separator: ",")
            return switch expression["operator"]?.string {
            case "In": "\(key) in (\(values))"
            case "NotIn": "\(key) notin (\(values))"
            case "DoesNotExist": "!\(key)"
            default: key
            }
        }
        return (labels + expressions).joined(separator: ",")
    }
}

extension Resource {
    static let scales = Resource(group: "autoscaling", plural: "scales", kind: "Scale")
}

// MARK: - Subresources that are posted

extension APIService {
    func post(
        _ definition: ResourceDefinition,
        namespace: String?,
        name: String,
        subresource: String,
        _ body: JSON,
        context: RequestContext
    ) async throws -> JSON {
        switch (definition.resource, subresource) {
        case (.pods, "binding"): try await bind(definition, namespace, name, body, context)
        case (.pods, "eviction"): try await evict(definition, namespace, name, body, context)
        case (.serviceAccounts, "token"): try issueToken(definition, namespace, name, body)
        default: throw StatusError.noSuchResource()
        }
    }

    /// Replaces the finalizers of a namespace; the last one that goes lets the namespace go.
    func finalize(name: String, _ body: JSON, context: RequestContext) async throws -> WriteResult {
        let definition = try definition(.namespaces)
        var modification = Modification(definition: definition, namespace: nil, name: name, context: context)
        // Like a status, the finalizers are not the namespace's own specification to its rules.
        modification.subresource = "finalize"
        let version = AnyObjectView(body).resourceVersion
        return try await modify(modification, isConditional: !version.isEmpty) { old in
            guard version.isEmpty || version == AnyObjectView(old).resourceVersion else {
                throw StatusError.modified(.namespaces, name)
            }
            var new = old
            new["spec", "finalizers"] = JSON(NamespaceRules.finalizers(of: body))
            return new
        }
    }

    // MARK: - Private

    private func bind(
        _ definition: ResourceDefinition,
        _ namespace: String?,
        _ name: String,
        _ body: JSON,
        _ context: RequestContext
    ) async throws -> JSON {
        guard let node = body["target", "name"]?.string, !node.isEmpty else {
            throw StatusError.badRequest("a binding must name its target: target.name is missing")
        }
        var modification = Modification(definition: definition, namespace: namespace, name: name, context: context)
        modification.subresource = "binding"
        _ = try await modify(modification) { old in
            try requireBindable(old, body)
            var pod = old
            pod["spec", "nodeName"] = .string(node)
            for (key, value) in AnyObjectView(body).annotations.sorted(by: { $0.key < $1.key }) {
                pod["metadata", "annotations", key] = .string(value)
            }
            markScheduled(&pod)
            return pod
        }
        return Self.success(code: 201)
    }

    private func requireBindable(_ pod: JSON, _ binding: JSON) throws {
        let (pod, binding) = (AnyObjectView(pod), AnyObjectView(binding))
        guard binding.uid.isEmpty || binding.uid == pod.uid else {
            throw StatusError.conflict(.pods, pod.name, "the binding is for a former pod of this name")
        }
        guard !pod.isBeingDeleted else {
            throw StatusError.conflict(
                .pods,
                pod.name,
                "pod \(pod.name) is being deleted, cannot be assigned to a host"
            )
        }
        let node = pod.spec["nodeName"]?.string ?? ""
        guard node.isEmpty else {
            throw StatusError.conflict(.pods, pod.name, "pod \(pod.name) is already assigned to node \"\(node)\"")
        }
    }

    private func markScheduled(_ pod: inout JSON) {
        var conditions = (pod["status", "conditions"]?.array ?? []).filter { $0["type"]?.string != "PodScheduled" }
        conditions.append([
            "type": "PodScheduled", "status": "True", "lastProbeTime": .null,
            "lastTransitionTime": .string(now().description),
        ])
        pod["status", "conditions"] = .array(conditions)
    }

    private func evict(
        _ definition: ResourceDefinition,
        _ namespace: String?,
        _ name: String,
        _ body: JSON,
        _ context: RequestContext
    ) async throws -> JSON {
        _ = try await delete(
            definition,
            namespace: namespace,
            name: name,
            options: try DeleteOptions(body["deleteOptions"] ?? [:]),
            isDryRun: context.options.isDryRun
        )
        return Self.success(code: 201)
    }

    private func issueToken(
        _ definition: ResourceDefinition,
        _ namespace: String?,
        _ name: String,
        _ body: JSON
    ) throws -> JSON {
        let account = try get(definition, namespace: namespace, name: name)
        return try tokens.answer(body, account: account, bound: try boundPod(body, account.key.namespace), at: now())
    }

    private func boundPod(_ request: JSON, _ namespace: String) throws -> StoredObject? {
        guard let bound = request["spec", "boundObjectRef"], !bound.isNull else { return nil }
        guard bound["kind"]?.string == "Pod", let name = bound["name"]?.string else {
            throw StatusError.badRequest("spec.boundObjectRef: tokens can be bound to pods only")
        }
        let pod = try get(definition(.pods), namespace: namespace, name: name)
        guard bound["uid"]?.string.map({ $0 == pod.uid }) ?? true else {
            throw StatusError.conflict(
                .pods,
                name,
                "the UID in the bound object reference does not match the UID in record"
            )
        }
        return pod
    }

    /// The `Status` that says that a request without an answer of its own was done.
    static func success(code: Int = 200) -> JSON {
        ["kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success", "code": JSON(code)]
    }
}

extension DeleteOptions {
    /// Reads the wire form.
    init(_ json: JSON) throws {
        let policy = json["propagationPolicy"]?.string
        let orphans = json["orphanDependents"]?.bool
        self.init(
            gracePeriodSeconds: json["gracePeriodSeconds"]?.int,
            propagationPolicy: policy.flatMap(PropagationPolicy.init) ?? orphans.map { $0 ? .orphan : .background },
            uid: json["preconditions", "uid"]?.string,
            resourceVersion: json["preconditions", "resourceVersion"]?.string
        )
        guard policy == nil || propagationPolicy != nil else {
            throw StatusError.badRequest(
                "propagationPolicy \"\(policy ?? "")\" is unknown: expected Orphan, Background or Foreground"
            )
        }
    }
}
