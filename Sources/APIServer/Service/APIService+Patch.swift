import KubernetesClient
import KubernetesModel

extension APIService {
    func patch(
        _ definition: ResourceDefinition,
        namespace: String?,
        name: String,
        subresource: String? = nil,
        _ patch: Patch,
        context: RequestContext
    ) async throws -> WriteResult {
        guard patch.format == .apply else {
            return try await edit(definition, namespace, name, subresource, patch, context)
        }
        return try await apply(definition, namespace, name, subresource, patch.body, context)
    }

    // MARK: - Patches that edit

    private func edit(
        _ definition: ResourceDefinition,
        _ namespace: String?,
        _ name: String,
        _ subresource: String?,
        _ patch: Patch,
        _ context: RequestContext
    ) async throws -> WriteResult {
        var warnings: [String] = []
        let modification = Modification(
            definition: definition,
            namespace: namespace,
            name: name,
            subresource: subresource,
            context: context
        )
        var result = try await modify(modification) { old in
            let new = try edited(old, by: patch, definition.schema)
            return try decode(new, as: definition, namespace: namespace, context, &warnings)
        }
        result.warnings = warnings + result.warnings
        return result
    }

    func edited(_ object: JSON, by patch: Patch, _ schema: SchemaNode) throws -> JSON {
        switch patch.format {
        case .json: try JSONPatch.apply(patch.body, to: object)
        case .merge: MergePatch.apply(patch.body, to: object)
        case .strategicMerge: try StrategicMergePatch.apply(patch.body, to: object, schema: schema)
        case .apply: throw StatusError.unsupportedMediaType("server-side apply is not served here")
        }
    }

    // MARK: - Server-side apply

    private func apply(
        _ definition: ResourceDefinition,
        _ namespace: String?,
        _ name: String,
        _ subresource: String?,
        _ body: JSON,
        _ context: RequestContext
    ) async throws -> WriteResult {
        var warnings: [String] = []
        let configuration = try applied(body, definition, namespace, name, context, &warnings)
        var modification = Modification(
            definition: definition,
            namespace: namespace,
            name: name,
            subresource: subresource,
            context: context
        )
        modification.isApplied = true
        var result: WriteResult
        do {
            result = try await modify(modification) { old in
                try merged(configuration, into: old, definition, subresource, context)
            }
        } catch let error as StatusError where error.isNotFound && subresource == nil {
            result = try await createByApply(configuration, definition, namespace, context)
        }
        result.warnings = warnings + result.warnings
        return result
    }

    /// A configuration without an object makes it; if another request makes it first, the two merge after all.
    private func createByApply(
        _ configuration: JSON,
        _ definition: ResourceDefinition,
        _ namespace: String?,
        _ context: RequestContext
    ) async throws -> WriteResult {
        guard AnyObjectView(configuration).uid.isEmpty else {
            throw StatusError.conflict(
                definition.resource,
                AnyObjectView(configuration).name,
                "uid mismatch: the provided object specified uid \(AnyObjectView(configuration).uid), and no existing object "
                    + "was found"
            )
        }
        let object = try merged(configuration, into: nil, definition, nil, context)
        return try await create(definition, namespace: namespace, object, context: context, isApplied: true)
    }

    private func applied(
        _ body: JSON,
        _ definition: ResourceDefinition,
        _ namespace: String?,
        _ name: String,
        _ context: RequestContext,
        _ warnings: inout [String]
    ) throws -> JSON {
        guard !context.options.fieldManager.isEmpty else {
            throw StatusError.badRequest("fieldManager is required for apply patch")
        }
        guard AnyObjectView(body).apiVersion == definition.resource.apiVersion else {
            throw StatusError.badRequest(
                "the configuration's apiVersion must be \(definition.resource.apiVersion), not "
                    + "\"\(AnyObjectView(body).apiVersion)\""
            )
        }
        guard body["metadata", "managedFields"] == nil else {
            throw StatusError.badRequest("metadata.managedFields must be nil")
        }
        var configuration = try decode(body, as: definition, namespace: namespace, context, &warnings)
        let own = AnyObjectView(configuration).name
        guard own.isEmpty || own == name else {
            throw StatusError.badRequest(
                "the name of the object (\(own)) does not match the name on the URL (\(name))"
            )
        }
        configuration["metadata", "name"] = .string(name)
        return configuration
    }

    private func merged(
        _ configuration: JSON,
        into live: JSON?,
        _ definition: ResourceDefinition,
        _ subresource: String?,
        _ context: RequestContext
    ) throws -> JSON {
        try ServerSideApply.apply(
            configuration,
            to: live,
            manager: context.options.fieldManager,
            force: context.options.force,
            schema: definition.schema,
            apiVersion: definition.resource.apiVersion,
            time: now().description,
            subresource: subresource
        )
    }
}
