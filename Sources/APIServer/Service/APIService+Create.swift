import Foundation
import KubernetesClient
import KubernetesModel

extension APIService {
    /// How often another generated name is tried when one is taken.
    private static let generatedNameAttempts = 8

    /// Admits and stores a new object: check → name → default → rules of the kind → validate → store.
    func create(
        _ definition: ResourceDefinition,
        namespace: String?,
        _ body: JSON,
        context: RequestContext,
        isApplied: Bool = false
    ) async throws -> WriteResult {
        let resource = definition.resource
        var result = WriteResult(object: body, isCreated: true)
        result.object = try decode(body, as: definition, namespace: namespace, context, &result.warnings)
        try requireNew(result.object, resource)
        try await requireOpenNamespace(result.object, resource)
        let unnamed = result.object
        for attempt in 1... {
            result.object = withIdentity(unnamed, definition)
            let admitted = try admitCreation(&result.object, definition, context)
            defer { admitted.reservation?.release() }
            if !isApplied { result.object = recordingManager(old: nil, new: result.object, definition, context, nil) }
            do {
                guard !context.options.isDryRun else { return try checkedDryRun(result, resource) }
                let mutation = Mutation.create(key(of: result.object, resource), result.object)
                result.object = try await commit(mutation, as: definition)
                try await didCreate(result.object, resource)
                return result
            } catch StoreError.alreadyExists where isGenerated(unnamed) && attempt < Self.generatedNameAttempts {
                continue
            } catch let error as StoreError {
                throw StatusError(error, resource, AnyObjectView(result.object).name)
            }
        }
        preconditionFailure("The loop above ends by returning or throwing.")
    }

    // MARK: - Steps

    /// Reads `body` as an object of the kind: its type and namespace must be those of the request; fields that the schema does not
    /// know are refused, warned of or dropped.
    func decode(
        _ body: JSON,
        as definition: ResourceDefinition,
        namespace: String?,
        _ context: RequestContext,
        _ warnings: inout [String]
    ) throws -> JSON {
        let resource = definition.resource
        guard case .object(let fields) = body else {
            throw StatusError.badRequest("the body must be an object of kind \(resource.kind), not a \(body.typeName)")
        }
        var object = typed(fields, resource)
        try requireType(of: object, resource)
        try checkUnknownFields(object, definition, context, &warnings)
        object = definition.pruned(object).withoutNulls
        if object["metadata"]?.object == nil { object["metadata"] = [:] }
        try placeInNamespace(&object, resource, namespace)
        return object
    }

    /// `apiVersion` and `kind` in front, as clients expect them, filled in when absent.
    private func typed(_ fields: JSONObject, _ resource: Resource) -> JSON {
        var typed: JSONObject = [
            "apiVersion": fields["apiVersion"] ?? .string(resource.apiVersion),
            "kind": fields["kind"] ?? .string(resource.kind),
        ]
        for (key, value) in fields { typed[key] = value }
        return .object(typed)
    }

    private func requireType(of object: JSON, _ resource: Resource) throws {
        let (apiVersion, kind) = (object["apiVersion"]?.string, object["kind"]?.string)
        guard apiVersion == resource.apiVersion, kind == resource.kind else {
            throw StatusError.badRequest(
                "the object provided is of \(apiVersion ?? "no apiVersion"), Kind=\(kind ?? "none"), and this place takes "
                    + "\(resource.apiVersion), Kind=\(resource.kind)"
            )
        }
    }

    private func checkUnknownFields(
        _ object: JSON,
        _ definition: ResourceDefinition,
        _ context: RequestContext,
        _ warnings: inout [String]
    ) throws {
        guard context.options.fieldValidation != "Ignore" else { return }
        guard context.options.fieldValidation == "Strict" else {
            warnings += definition.unknownFields(in: object).map { "unknown field \"\($0)\"" }
            return
        }
        if let error = definition.strictDecodingError(in: object) { throw error }
    }

    private func placeInNamespace(_ object: inout JSON, _ resource: Resource, _ namespace: String?) throws {
        guard resource.isNamespaced else {
            object["metadata", "namespace"] = nil
            return
        }
        guard let namespace, !namespace.isEmpty else {
            throw StatusError.badRequest("an empty namespace may not be set during creation")
        }
        let own = AnyObjectView(object).namespace
        guard own.isEmpty || own == namespace else {
            throw StatusError.badRequest(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        }
        object["metadata", "namespace"] = .string(namespace)
    }

    private func requireNew(_ object: JSON, _ resource: Resource) throws {
        let view = AnyObjectView(object)
        guard view.resourceVersion.isEmpty else {
            throw StatusError.badRequest("resourceVersion should not be set on objects to be created")
        }
        guard !view.name.isEmpty || isGenerated(object) else {
            throw StatusError.invalid(
                resource,
                "",
                [FieldError(path: "metadata.name", kind: .required, message: "name or generateName is required")]
            )
        }
    }

    private func requireOpenNamespace(_ object: JSON, _ resource: Resource) async throws {
        guard resource.isNamespaced else { return }
        let name = AnyObjectView(object).namespace
        guard let namespace = store.object(key(.namespaces, namespace: nil, name: name)) else {
            throw StatusError.notFound(.namespaces, name)
        }
        guard try namespace.json()["metadata", "deletionTimestamp"] == nil else {
            throw StatusError(
                code: 403,
                reason: "Forbidden",
                message:
                    "\(resource.qualifiedName) \"\(AnyObjectView(object).name)\" is forbidden: unable to create new "
                    + "content in namespace \(name) because it is being terminated",
                details: ["causes": [["reason": "NamespaceTerminating", "field": "metadata.namespace"]]]
            )
        }
    }

    private func isGenerated(_ object: JSON) -> Bool {
        AnyObjectView(object).name.isEmpty && !(object["metadata", "generateName"]?.string ?? "").isEmpty
    }

    /// Gives the object its name, uid and time of birth, and takes away what only the server may say.
    private func withIdentity(_ object: JSON, _ definition: ResourceDefinition) -> JSON {
        var object = object
        var metadata = object["metadata"]?.object ?? [:]
        if isGenerated(object) { metadata["name"] = .string(generatedName(metadata["generateName"]?.string ?? "")) }
        metadata["uid"] = .string(UUID().uuidString.lowercased())
        metadata["creationTimestamp"] = .string(now().description)
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"] {
            metadata[field] = nil
        }
        if object["spec"] != nil { metadata["generation"] = 1 }
        object["metadata"] = .object(metadata)
        if definition.hasStatus { object["status"] = nil }
        return object
    }

    /// Vowels and look-alike characters are left out, so that no words arise.
    private func generatedName(_ prefix: String) -> String {
        String(prefix.prefix(58)) + RandomName.suffix()
    }

    private func checkedDryRun(_ result: WriteResult, _ resource: Resource) throws -> WriteResult {
        let key = key(of: result.object, resource)
        guard store.object(key) == nil else { throw StatusError.alreadyExists(resource, key.name) }
        return result
    }

    func key(of object: JSON, _ resource: Resource) -> StoreKey {
        let view = AnyObjectView(object)
        return key(resource, namespace: view.namespace, name: view.name)
    }

    /// Writes down who owns the fields that differ.
    func recordingManager(
        old: JSON?,
        new: JSON,
        _ definition: ResourceDefinition,
        _ context: RequestContext,
        _ subresource: String?
    ) -> JSON {
        ServerSideApply.recordUpdate(
            old: old,
            new: new,
            manager: context.options.fieldManager,
            schema: definition.schema,
            apiVersion: definition.resource.apiVersion,
            time: now().description,
            subresource: subresource
        )
    }
}

enum RandomName {
    private static let characters = Array("bcdfghjklmnpqrstvwxz2456789")

    /// Five characters that are safe in every name.
    static func suffix() -> String {
        String((0..<5).map { _ in characters[Int.random(in: 0..<characters.count)] })
    }
}
