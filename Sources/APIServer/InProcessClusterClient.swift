package import KubernetesClient
package import KubernetesModel

/// The door to the embedded cluster for parts in the same process: no sockets, no tokens, the same answers as over HTTPS.
///
/// It may do everything. Usable as soon as the ``APIServer`` is made, before it serves.
package struct InProcessClusterClient: ClusterClient {
    let service: APIService

    package func get(_ resource: Resource, namespace: String?, name: String) async throws -> JSON {
        try service.get(service.definition(resource), namespace: namespace, name: name).json()
    }

    package func list(_ resource: Resource, namespace: String?, options: ListOptions) async throws -> ObjectList {
        let page = try service.list(service.definition(resource), namespace: namespace, options: options)
        return ObjectList(
            items: try page.objects.map { try $0.json() },
            resourceVersion: String(page.revision),
            continueToken: page.continueToken
        )
    }

    package func watch(_ resource: Resource, namespace: String?, options: ListOptions) async throws -> WatchStream {
        try service.watch(
            service.definition(resource),
            namespace: namespace,
            options: WatchOptions(list: options),
            WatchEvent.init
        ).events
    }

    package func create(
        _ resource: Resource,
        namespace: String?,
        _ object: JSON,
        options: WriteOptions
    ) async throws
        -> JSON
    {
        try await service.create(
            service.definition(resource),
            namespace: namespace,
            object,
            context: RequestContext(options: options)
        ).object
    }

    package func update(
        _ resource: Resource,
        _ object: JSON,
        subresource: String?,
        options: WriteOptions
    ) async throws
        -> JSON
    {
        let definition = try service.definition(resource)
        let view = AnyObjectView(object)
        let context = RequestContext(options: options)
        let (namespace, name) = (resource.isNamespaced ? view.namespace : nil, view.name)
        return switch subresource {
        case nil, "status"?:
            try await service.update(
                definition,
                namespace: namespace,
                name: name,
                subresource: subresource,
                object,
                context: context
            ).object
        case "scale"?:
            try await service.updateScale(definition, namespace: namespace, name: name, object, context: context).object
        case "finalize"? where resource == .namespaces:
            try await service.finalize(name: name, object, context: context).object
        default: throw StatusError.noSuchResource()
        }
    }

    package func patch(
        _ resource: Resource,
        namespace: String?,
        name: String,
        subresource: String?,
        _ patch: Patch,
        options: WriteOptions
    ) async throws -> JSON {
        let definition = try service.definition(resource)
        let context = RequestContext(options: options)
        guard subresource != "scale" else {
            return try await service.updateScale(
                definition,
                namespace: namespace,
                name: name,
                patch.body,
                patch: patch.format,
                context: context
            ).object
        }
        return try await service.patch(
            definition,
            namespace: namespace,
            name: name,
            subresource: subresource,
            patch,
            context: context
        ).object
    }

    package func delete(
        _ resource: Resource,
        namespace: String?,
        name: String,
        options: DeleteOptions
    ) async throws
        -> JSON
    {
        try await service.delete(service.definition(resource), namespace: namespace, name: name, options: options)
    }

    package func post(
        _ resource: Resource,
        namespace: String?,
        name: String,
        subresource: String,
        _ body: JSON
    ) async throws -> JSON {
        try await service.post(
            service.definition(resource),
            namespace: namespace,
            name: name,
            subresource: subresource,
            body,
            context: RequestContext()
        )
    }

    package func logs(namespace: String, pod: String, options: LogOptions) async throws -> ByteStream {
        _ = try service.get(service.definition(.pods), namespace: namespace, name: pod)
        guard let connection = service.nodeConnection else { throw StatusError.noNodeAgent() }
        return try await connection.logs(namespace: namespace, pod: pod, options: options)
    }
}

extension WatchEvent {
    init(_ notification: WatchNotification) {
        switch notification {
        case .added(_, let object): self = .added(object)
        case .modified(_, let object): self = .modified(object)
        case .deleted(_, let object): self = .deleted(object)
        case .bookmark(let revision), .initialEventsEnd(let revision):
            self = .bookmark(resourceVersion: String(revision))
        }
    }
}

extension StatusError {
    static func noNodeAgent() -> StatusError {
        .unavailable("no node agent is connected: logs and streams of containers are not available")
    }
}
