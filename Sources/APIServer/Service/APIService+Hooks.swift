import KubernetesClient
import KubernetesModel
import Logging

// MARK: - What follows a write

extension APIService {
    func didCreate(_ object: JSON, _ resource: Resource) async throws {
        switch resource {
        case .namespaces: try await publishClusterAuthority(in: AnyObjectView(object).name)
        case .customResourceDefinitions: try serve(object)
        default: return
        }
    }

    func didUpdate(_ object: JSON, _ resource: Resource) throws {
        if resource == .customResourceDefinitions { try serve(object) }
    }

    func didDelete(_ object: JSON, _ resource: Resource) async {
        if resource == .customResourceDefinitions { await stopServing(object) }
    }

    /// Serves the kinds whose definitions were stored before this start.
    func registerStoredKinds() {
        let stored = try? store.objects(Resource.customResourceDefinitions.qualifiedName).objects
        for definition in stored ?? [] {
            do {
                try serve(definition.json())
            } catch {
                logger.error(
                    "a stored custom resource definition is not served",
                    metadata: ["name": "\(definition.key.name)", "error": "\(error)"]
                )
            }
        }
    }

    // MARK: - Private

    private func serve(_ definition: JSON) throws {
        try changeCatalog { catalog throws(StatusError) in
            try catalog.register(customResourceDefinition: definition)
        }
    }

    /// Objects of a kind that is gone go with it.
    private func stopServing(_ definition: JSON) async {
        let (group, plural) = (definition["spec", "group"]?.string, definition["spec", "names", "plural"]?.string)
        let kinds = catalog.definitions.filter {
            $0.isCustom && $0.resource.group == group && $0.resource.plural == plural
        }
        for kind in kinds {
            do {
                _ = try await deleteCollection(kind, namespace: nil, list: ListOptions(), options: DeleteOptions())
            } catch {
                logger.warning("objects of a deleted kind remain", metadata: ["kind": "\(kind.resource.qualifiedName)"])
            }
        }
        changeCatalog { $0.unregister(customResourceDefinition: definition) }
    }

    private func publishClusterAuthority(in namespace: String) async throws {
        let bundle: JSON = [
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "kube-root-ca.crt"],
            "data": ["ca.crt": .string(clusterAuthority)],
        ]
        try await createIfAbsent(.configMaps, namespace, bundle)
    }
}

// MARK: - What exists from the start

extension APIService {
    /// Makes the namespaces, the roles and the `kubernetes` service that every cluster has; those that exist stay as they are.
    ///
    /// - Parameter endpoint: Where pods reach this API; without it the service has no endpoints.
    func makeBuiltinObjects(endpoint: (address: String, port: Int)?) async throws {
        for name in NamespaceRules.builtin {
            try await createIfAbsent(.namespaces, nil, ["metadata": ["name": .string(name)]])
            try await publishClusterAuthority(in: name)
        }
        for role in BuiltinRoles.clusterRoles { try await bringUpToDate(BuiltinRoles.roles, role, field: "rules") }
        try await bringUpToDate(.configMaps, kindsWithoutController.configMap, field: "data")
        try await createIfAbsent(BuiltinRoles.bindings, nil, BuiltinRoles.mastersBinding)
        let service: JSON = [
            "metadata": ["name": "kubernetes", "labels": ["component": "apiserver", "provider": "kubernetes"]],
            "spec": [
                "clusterIP": .string(addresses.first.description), "type": "ClusterIP",
                "ports": [
                    ["name": "https", "port": 443, "protocol": "TCP", "targetPort": JSON(endpoint?.port ?? 6443)]
                ],
            ],
        ]
        try await createIfAbsent(.services, "default", service)
        guard let endpoint else { return }
        try await publishEndpoint(endpoint.address, endpoint.port)
    }

    private func publishEndpoint(_ address: String, _ port: Int) async throws {
        let slice: JSON = [
            "metadata": ["name": "kubernetes", "labels": ["kubernetes.io/service-name": "kubernetes"]],
            "addressType": "IPv4",
            "endpoints": [["addresses": [.string(address)], "conditions": ["ready": true]]],
            "ports": [["name": "https", "port": JSON(port), "protocol": "TCP"]],
        ]
        let kind = try definition(.endpointSlices)
        do {
            _ = try await create(kind, namespace: "default", slice, context: RequestContext())
        } catch let error as StatusError where error.isAlreadyExists {
            _ = try await update(kind, namespace: "default", name: "kubernetes", slice, context: RequestContext())
        }
    }

    /// Gives an object of this program what this version of it says in `field`, as Kubernetes does at start with cluster roles.
    private func bringUpToDate(_ resource: Resource, _ object: JSON, field: String) async throws {
        let view = AnyObjectView(object)
        let namespace = resource.isNamespaced ? view.namespace : nil
        try await createIfAbsent(resource, namespace, object)
        let modification = Modification(
            definition: try definition(resource),
            namespace: namespace,
            name: view.name,
            context: RequestContext()
        )
        _ = try await modify(modification) { old in
            var new = old
            new[field] = object[field]
            return new
        }
    }

    private func createIfAbsent(_ resource: Resource, _ namespace: String?, _ object: JSON) async throws {
        guard store.object(key(resource, namespace: namespace, name: AnyObjectView(object).name)) == nil else { return }
        do {
            _ = try await create(definition(resource), namespace: namespace, object, context: RequestContext())
        } catch let error as StatusError where error.isAlreadyExists {
            // A controller that looks after the same object was quicker.
        }
    }
}
