import HTTPTypes
import HummingbirdCore
import KubernetesClient
import KubernetesModel
import NIOCore

extension APIFront {
    /// Authorizes the request and answers it.
    func answer(_ request: ResourceRequest) async throws -> Answer {
        let attributes = try request.attributes()
        try authorizer.require(request.user, may: attributes)
        let path = request.path
        let definition = service.catalog.definition(
            group: path.groupVersion.group,
            version: path.groupVersion.version,
            plural: path.plural
        )
        guard let definition, path.namespace == nil || definition.resource.isNamespaced else {
            throw StatusError.noSuchResource()
        }
        guard definition.isStored else { return try await review(request, definition) }
        switch (request.head.method, path.name) {
        case (.get, nil): return try request.isWatch ? watch(request, definition) : list(request, definition)
        case (.get, let name?): return try await get(request, definition, name)
        case (.post, nil): return try await create(request, definition)
        case (.post, let name?): return try await post(request, definition, name)
        case (.put, let name?): return try await update(request, definition, name)
        case (.patch, let name?): return try await patch(request, definition, name)
        case (.delete, nil): return try await deleteCollection(request, definition)
        case (.delete, let name?): return try await delete(request, definition, name)
        default: throw StatusError.methodNotAllowed("the server does not allow this method on the requested resource")
        }
    }

    // MARK: - Reading

    private func get(
        _ request: ResourceRequest,
        _ definition: ResourceDefinition,
        _ name: String
    ) async throws
        -> Answer
    {
        let namespace = request.path.namespace
        switch request.path.subresource {
        case "", "status":
            return try encoded(service.get(definition, namespace: namespace, name: name), request, definition)
        case "scale": return .json(try service.scale(definition, namespace: namespace, name: name))
        case "log" where definition.resource == .pods: return try await logs(request, name)
        case "exec", "attach", "portforward":
            throw StatusError.badRequest("Upgrade request required")
        default: throw StatusError.noSuchResource()
        }
    }

    private func logs(_ request: ResourceRequest, _ name: String) async throws -> Answer {
        let client = InProcessClusterClient(service: service)
        let options = try request.query.logOptions()
        let bytes = try await client.logs(namespace: request.path.namespace ?? "", pod: name, options: options)
        return Answer(contentType: "text/plain", body: .stream(bytes))
    }

    private func list(_ request: ResourceRequest, _ definition: ResourceDefinition) throws -> Answer {
        let page = try service.list(
            definition,
            namespace: request.path.namespace,
            options: request.query.listOptions(),
            isExact: request.query["resourceVersionMatch"] == "Exact"
        )
        let encoding = ObjectEncoding(definition: definition, query: request.query, now: service.now())
        switch try Representation(accept: request.head.headers[.accept]) {
        case .object: return Answer(body: .chunks(encoding.list(page)))
        case .table: return .json(try encoding.table(page))
        case .metadata: return .json(try encoding.metadataList(page))
        }
    }

    private func watch(_ request: ResourceRequest, _ definition: ResourceDefinition) throws -> Answer {
        var options = WatchOptions(list: try request.query.listOptions())
        options.wantsBookmarks = request.query.bool("allowWatchBookmarks")
        options.marksInitialEvents = request.query.bool("sendInitialEvents") && options.wantsBookmarks
        if request.query.bool("sendInitialEvents") { options.list.resourceVersion = "" }
        let encoding = ObjectEncoding(definition: definition, query: request.query, now: service.now())
        let representation = try Representation(accept: request.head.headers[.accept])
        let watch = try service.watch(definition, namespace: request.path.namespace, options: options) { notification in
            encoding.line(notification, as: representation)
        }
        // A watch without events would not notice that its client is gone.
        request.channel.closeFuture.whenComplete { _ in watch.end() }
        let seconds = try request.query.int("timeoutSeconds") ?? Int.random(in: 1800...3600)
        request.channel.eventLoop.scheduleTask(in: .seconds(Int64(min(seconds, 86_400)))) { watch.end() }
        return Answer(body: .events(watch.events))
    }

    // MARK: - Writing

    private func create(_ request: ResourceRequest, _ definition: ResourceDefinition) async throws -> Answer {
        let result = try await service.create(
            definition,
            namespace: request.path.namespace,
            request.body(),
            context: request.context()
        )
        return try encoded(warned(result, request, definition), request, definition)
    }

    private func post(
        _ request: ResourceRequest,
        _ definition: ResourceDefinition,
        _ name: String
    ) async throws
        -> Answer
    {
        if ["exec", "attach", "portforward"].contains(request.path.subresource) {
            throw StatusError.badRequest("Upgrade request required")
        }
        let answer = try await service.post(
            definition,
            namespace: request.path.namespace,
            name: name,
            subresource: request.path.subresource,
            request.body(),
            context: request.context()
        )
        return .json(answer, code: 201)
    }

    private func update(
        _ request: ResourceRequest,
        _ definition: ResourceDefinition,
        _ name: String
    ) async throws
        -> Answer
    {
        let (namespace, context) = (request.path.namespace, try request.context())
        let body = try await request.body()
        let result =
            switch request.path.subresource {
            case "", "status":
                try await service.update(
                    definition,
                    namespace: namespace,
                    name: name,
                    subresource: try status(request, definition),
                    body,
                    context: context
                )
            case "scale":
                try await service.updateScale(definition, namespace: namespace, name: name, body, context: context)
            case "finalize" where definition.resource == .namespaces:
                try await service.finalize(name: name, body, context: context)
            default: throw StatusError.noSuchResource()
            }
        return try encoded(warned(result, request, definition), request, definition)
    }

    private func patch(
        _ request: ResourceRequest,
        _ definition: ResourceDefinition,
        _ name: String
    ) async throws
        -> Answer
    {
        let (namespace, context) = (request.path.namespace, try request.context())
        let patch = try await request.patch()
        guard request.path.subresource != "scale" else {
            let result = try await service.updateScale(
                definition,
                namespace: namespace,
                name: name,
                patch.body,
                patch: patch.format,
                context: context
            )
            return try encoded(result, request, definition)
        }
        let result = try await service.patch(
            definition,
            namespace: namespace,
            name: name,
            subresource: try status(request, definition),
            patch,
            context: context
        )
        return try encoded(warned(result, request, definition), request, definition)
    }

    /// With the warning that nobody acts on objects of the kind, where that is so.
    private func warned(
        _ result: WriteResult,
        _ request: ResourceRequest,
        _ definition: ResourceDefinition
    ) -> WriteResult {
        guard request.path.subresource.isEmpty,
            let warning = service.kindsWithoutController.warning(about: definition.resource)
        else { return result }
        var result = result
        result.warnings.append(warning)
        return result
    }

    /// The subresource of a write: the status, or nothing.
    private func status(_ request: ResourceRequest, _ definition: ResourceDefinition) throws -> String? {
        switch request.path.subresource {
        case "": nil
        case "status" where definition.hasStatus: "status"
        default: throw StatusError.noSuchResource()
        }
    }

    private func delete(
        _ request: ResourceRequest,
        _ definition: ResourceDefinition,
        _ name: String
    ) async throws
        -> Answer
    {
        guard request.path.subresource.isEmpty else { throw StatusError.noSuchResource() }
        let body = try await request.optionalBody()
        let deleted = try await service.delete(
            definition,
            namespace: request.path.namespace,
            name: name,
            options: request.query.deleteOptions(body),
            isDryRun: isDryRun(request, body)
        )
        return try encoded(WriteResult(object: deleted), request, definition)
    }

    private func deleteCollection(_ request: ResourceRequest, _ definition: ResourceDefinition) async throws -> Answer {
        let body = try await request.optionalBody()
        let page = try await service.deleteCollection(
            definition,
            namespace: request.path.namespace,
            list: request.query.listOptions(),
            options: request.query.deleteOptions(body),
            isDryRun: isDryRun(request, body)
        )
        let encoding = ObjectEncoding(definition: definition, query: request.query, now: service.now())
        return Answer(body: .chunks(encoding.list(page)))
    }

    private func isDryRun(_ request: ResourceRequest, _ body: JSON?) throws -> Bool {
        let inBody = body?["dryRun"]?.array?.contains("All") ?? false
        return try request.query.isDryRun() || inBody
    }

    // MARK: - Encoding

    private func encoded(
        _ stored: StoredObject,
        _ request: ResourceRequest,
        _ definition: ResourceDefinition
    ) throws
        -> Answer
    {
        guard try Representation(accept: request.head.headers[.accept]) != .object else {
            return Answer(body: .bytes(stored.bytes))
        }
        return try encoded(WriteResult(object: stored.json()), request, definition)
    }

    private func encoded(
        _ result: WriteResult,
        _ request: ResourceRequest,
        _ definition: ResourceDefinition
    ) throws
        -> Answer
    {
        let encoding = ObjectEncoding(definition: definition, query: request.query, now: service.now())
        let object =
            switch try Representation(accept: request.head.headers[.accept]) {
            case .object: result.object
            case .table: encoding.table(of: [result.object])
            case .metadata: encoding.metadata(of: result.object)
            }
        return .json(object, code: result.isCreated ? 201 : 200, warnings: result.warnings)
    }
}
