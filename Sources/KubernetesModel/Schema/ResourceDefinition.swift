/// One kind as the API serves it: where, with which subresources, and what its objects hold.
package struct ResourceDefinition: Sendable {
    package var resource: Resource
    package var singular: String
    package var shortNames: [String]
    /// Such as `all`, for `kubectl get all`.
    package var categories: [String]
    package var hasStatus: Bool
    package var scale: ScalePaths?
    package var printerColumns: [PrinterColumn]
    package var schema: SchemaNode
    /// The verbs of discovery; requests that are answered and not stored have only `create`.
    package var verbs: [String]
    /// Came from a CustomResourceDefinition or is served like one: strategic merge patches do not apply.
    package var isCustom: Bool
    /// How objects become those of the version that is kept; `nil` for the kept version of a kind itself.
    package var conversion: VersionConversion?

    package init(
        resource: Resource,
        singular: String? = nil,
        shortNames: [String] = [],
        categories: [String] = [],
        hasStatus: Bool = false,
        scale: ScalePaths? = nil,
        printerColumns: [PrinterColumn] = [],
        schema: SchemaNode,
        verbs: [String] = ResourceDefinition.storedVerbs,
        isCustom: Bool = false,
        conversion: VersionConversion? = nil
    ) {
        self.resource = resource
        self.singular = singular ?? resource.kind.lowercased()
        self.shortNames = shortNames
        self.categories = categories
        self.hasStatus = hasStatus
        self.scale = scale
        self.printerColumns = printerColumns
        self.schema = schema
        self.verbs = verbs
        self.isCustom = isCustom
        self.conversion = conversion
    }

    package static let storedVerbs = [
        "create", "delete", "deletecollection", "get", "list", "patch", "update", "watch",
    ]

    /// Objects of this kind are kept; the others are questions, answered at once.
    package var isStored: Bool { verbs.contains("get") }

    /// The kind of a collection of these objects.
    package var listKind: String { "\(resource.kind)List" }
}

/// Where the `scale` subresource finds its values, as paths of field names.
package struct ScalePaths: Hashable, Sendable {
    package var specReplicas: [String]
    package var statusReplicas: [String]
    /// The selector in text or object form; `nil` where the kind has none.
    package var labelSelector: [String]?

    package init(specReplicas: [String], statusReplicas: [String], labelSelector: [String]?) {
        self.specReplicas = specReplicas
        self.statusReplicas = statusReplicas
        self.labelSelector = labelSelector
    }
}

/// A column of `kubectl get` for kinds without a printer of their own.
package struct PrinterColumn: Hashable, Sendable {
    package var name: String
    /// `string`, `integer`, `number`, `boolean` or `date`.
    package var type: String
    /// The simple JSON path of the cell: `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status`.
    package var jsonPath: String
    /// Columns above zero are shown by `-o wide`.
    package var priority: Int

    package init(name: String, type: String, jsonPath: String, priority: Int = 0) {
        self.name = name
        self.type = type
        self.jsonPath = jsonPath
        self.priority = priority
    }
}
