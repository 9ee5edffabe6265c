/// The kinds that come with the program, read once from the derived text.
enum BuiltinSchema {
    static let library = content.library

    static func definitions() -> [ResourceDefinition] {
        content.resources.compactMap { ResourceDefinition(derived: $0, in: library) }
    }

    private static let content: (library: SchemaLibrary, resources: [JSON]) = {
        guard let derived = try? JSON(parsing: builtinSchemaText), let definitions = derived["definitions"]?.object
        else {
            preconditionFailure("The derived schema must be valid: run Scripts/derive-schema.")
        }
        var builder = SchemaBuilder()
        for (name, definition) in definitions { builder.define(name, compact: definition) }
        return (builder.finish(), derived["resources"]?.array ?? [])
    }()
}

extension ResourceDefinition {
    /// Reads an entry of `resources` in the derived text.
    fileprivate init?(derived entry: JSON, in library: SchemaLibrary) {
        guard let plural = entry["plural"]?.string, let kind = entry["kind"]?.string,
            let schema = library.definition(entry["definition"]?.string ?? "")
        else { return nil }
        self.init(
            resource: Resource(
                group: entry["group"]?.string ?? "",
                version: entry["version"]?.string ?? "v1",
                plural: plural,
                kind: kind,
                isNamespaced: entry["namespaced"]?.bool ?? true
            ),
            shortNames: entry["shortNames"]?.array?.compactMap(\.string) ?? [],
            categories: entry["categories"]?.array?.compactMap(\.string) ?? [],
            hasStatus: entry["status"]?.bool ?? false,
            scale: entry["scale"].flatMap(ScalePaths.init(subresource:)),
            printerColumns: entry["columns"]?.array?.compactMap(PrinterColumn.init) ?? [],
            schema: schema,
            verbs: entry["verbs"]?.array?.compactMap(\.string) ?? ResourceDefinition.storedVerbs,
            isCustom: entry["custom"]?.bool ?? false,
            conversion: VersionConversion.builtin[entry["definition"]?.string ?? ""]
        )
    }
}

extension PrinterColumn {
    /// Reads an entry of `additionalPrinterColumns`.
    init?(_ json: JSON) {
        guard let name = json["name"]?.string, let path = json["jsonPath"]?.string else { return nil }
        self.init(
            name: name,
            type: json["type"]?.string ?? "string",
            jsonPath: path,
            priority: json["priority"]?.int ?? 0
        )
    }
}

extension ScalePaths {
    /// Reads `subresources.scale` of a CustomResourceDefinition; `nil` without the path of the wanted replicas.
    init?(subresource: JSON) {
        func path(_ field: String) -> [String]? {
            guard let text = subresource[field]?.string, text.hasPrefix(".") else { return nil }
            return text.split(separator: ".").map(String.init)
        }
        guard let spec = path("specReplicasPath"), let status = path("statusReplicasPath") else { return nil }
        self.init(specReplicas: spec, statusReplicas: status, labelSelector: path("labelSelectorPath"))
    }
}
