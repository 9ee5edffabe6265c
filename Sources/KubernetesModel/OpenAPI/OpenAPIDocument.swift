extension ResourceCatalog {
    /// The OpenAPI v3 document of one group version, as `/openapi/v3/apis/<group>/<version>` answers it: what `kubectl explain`, and
    /// `kubectl apply` before it sends anything, read.
    ///
    /// - Returns: `nil` for a group version without kinds.
    package func openAPIDocument(group: String, version: String) -> JSON? {
        let served = definitions.filter { $0.resource.group == group && $0.resource.version == version }
        guard !served.isEmpty else { return nil }
        var paths: JSONObject = [:]
        var renderer = OpenAPIRenderer()
        for definition in served {
            renderer.add(definition)
            for (path, item) in OpenAPIPaths.paths(of: definition) { paths[path] = item }
        }
        return [
            "openapi": "3.0.0", "info": ["title": "Kubernetes", "version": "v1.36.0"], "paths": .object(paths),
            "components": ["schemas": .object(renderer.schemas)],
        ]
    }

    /// The group versions that have kinds, in the order of discovery.
    package var groupVersions: [(group: String, version: String)] {
        var seen: Set<String> = []
        return definitions.compactMap { definition in
            let resource = definition.resource
            return seen.insert(resource.apiVersion).inserted ? (resource.group, resource.version) : nil
        }
    }
}

/// The paths and operations of a kind: as much as clients look up.
private enum OpenAPIPaths {
    static func paths(of definition: ResourceDefinition) -> [(String, JSON)] {
        let resource = definition.resource
        let namespace = resource.isNamespaced ? "{namespace}" : nil
        let collection = resource.path(namespace: namespace)
        var collectionItem: JSON = [
            "post": operation(definition, "post", body: ["application/json", "application/yaml"])
        ]
        guard definition.isStored else { return [(collection, collectionItem)] }
        collectionItem["get"] = operation(definition, "list", body: [])
        collectionItem["delete"] = operation(definition, "deletecollection", body: [])
        let object: JSON = [
            "get": operation(definition, "get", body: []),
            "put": operation(definition, "put", body: ["application/json", "application/yaml"]),
            "patch": operation(definition, "patch", body: patchTypes(definition)),
            "delete": operation(definition, "delete", body: ["application/json"]),
        ]
        return [(collection, collectionItem), ("\(collection)/{name}", object)]
    }

    private static func patchTypes(_ definition: ResourceDefinition) -> [String] {
        let types = [
            "application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json",
        ]
        return definition.isCustom ? types : types + ["application/strategic-merge-patch+json"]
    }

    private static func operation(_ definition: ResourceDefinition, _ action: String, body: [String]) -> JSON {
        let resource = definition.resource
        let writes = ["post", "put", "patch"].contains(action)
        let names = writes ? ["dryRun", "fieldManager", "fieldValidation"] : action == "delete" ? ["dryRun"] : []
        let answer: JSON = ["schema": OpenAPIRenderer.reference(definition.schema.definitionName)]
        var operation: JSON = [
            "operationId": .string("\(action)\(resource.group)\(resource.version)\(resource.kind)"),
            "parameters": .array(
                names.map { ["name": .string($0), "in": "query", "schema": ["type": "string", "uniqueItems": true]] }
            ),
            "responses": ["200": ["description": "OK", "content": ["application/json": answer]]],
            "x-kubernetes-action": .string(action),
            "x-kubernetes-group-version-kind": OpenAPIRenderer.groupVersionKind(resource),
        ]
        if !body.isEmpty {
            let schema: JSON = action == "patch" ? ["schema": ["type": "object"]] : answer
            operation["requestBody"] = [
                "content": .object(JSONObject(uniqueKeysWithValues: body.map { ($0, schema) }))
            ]
        }
        return operation
    }
}

/// Renders schema nodes as OpenAPI v3 schemas; what has a name becomes a component.
private struct OpenAPIRenderer {
    private(set) var schemas: JSONObject = [:]

    mutating func add(_ definition: ResourceDefinition) {
        let name = definition.schema.definitionName
        addComponent(definition.schema)
        schemas[name]?["x-kubernetes-group-version-kind"] = [
            OpenAPIRenderer.groupVersionKind(definition.resource)
        ]
    }

    static func groupVersionKind(_ resource: Resource) -> JSON {
        ["group": .string(resource.group), "version": .string(resource.version), "kind": .string(resource.kind)]
    }

    static func reference(_ name: String) -> JSON { ["$ref": .string("#/components/schemas/\(name)")] }

    private mutating func addComponent(_ node: SchemaNode) {
        guard schemas[node.definitionName] == nil else { return }
        schemas[node.definitionName] = [:]  // holds the place, for definitions that refer to themselves
        schemas[node.definitionName] = schema(node)
    }

    /// A reference for nodes with a name, with what the place adds beside it.
    private mutating func inlined(_ node: SchemaNode) -> JSON {
        guard !node.definitionName.isEmpty else { return schema(node) }
        addComponent(node.named)
        let additions = merging(node)
        guard !additions.isEmpty || node.defaultValue != nil else {
            return OpenAPIRenderer.reference(node.definitionName)
        }
        var result: JSON = ["allOf": [OpenAPIRenderer.reference(node.definitionName)]]
        result["default"] = node.defaultValue
        for (name, value) in additions { result[name] = value }
        return result
    }

    private mutating func schema(_ node: SchemaNode) -> JSON {
        var result: JSON = type(node)
        if node.hasProperties {
            var properties: JSONObject = [:]
            for name in node.propertyNames { properties[name] = node.property(name).map { inlined($0) } }
            result["properties"] = .object(properties)
        }
        result["items"] = node.items.map { inlined($0) }
        result["additionalProperties"] = node.additionalProperties.map { inlined($0) }
        if !node.required.isEmpty { result["required"] = JSON(node.required) }
        if !node.allowedValues.isEmpty { result["enum"] = .array(node.allowedValues) }
        result["default"] = node.defaultValue
        result["pattern"] = node.pattern.map(JSON.string)
        result["minimum"] = node.minimum.map(JSON.number)
        result["maximum"] = node.maximum.map(JSON.number)
        result["minLength"] = node.minLength.map { JSON($0) }
        result["maxLength"] = node.maxLength.map { JSON($0) }
        result["minItems"] = node.minItems.map { JSON($0) }
        result["maxItems"] = node.maxItems.map { JSON($0) }
        for (name, value) in merging(node) { result[name] = value }
        return result
    }

    private func type(_ node: SchemaNode) -> JSON {
        var result: JSON
        switch node.type {
        case .any: result = [:]
        case .intOrString: result = ["oneOf": [["type": "integer"], ["type": "string"]], "format": "int-or-string"]
        case .quantity: result = ["oneOf": [["type": "string"], ["type": "number"]]]
        default: result = ["type": .string(node.type.rawValue)]
        }
        if !node.format.isEmpty { result["format"] = .string(node.format) }
        return result
    }

    private func merging(_ node: SchemaNode) -> JSONObject {
        var result: JSONObject = [:]
        if node.type == .array, node.facts.listType != nil {
            result["x-kubernetes-list-type"] = .string(node.listType.rawValue)
        }
        if !node.listMapKeys.isEmpty { result["x-kubernetes-list-map-keys"] = JSON(node.listMapKeys) }
        if node.isAtomicMap { result["x-kubernetes-map-type"] = "atomic" }
        if !node.facts.patchStrategy.isEmpty {
            result["x-kubernetes-patch-strategy"] = .string(node.facts.patchStrategy.joined(separator: ","))
        }
        result["x-kubernetes-patch-merge-key"] = node.patchMergeKey.map(JSON.string)
        if node.preservesUnknownFields { result["x-kubernetes-preserve-unknown-fields"] = true }
        return result
    }
}

extension SchemaNode {
    /// The definition of this node's name, without what this place adds.
    fileprivate var named: SchemaNode { library.definition(definitionName) ?? self }
}
