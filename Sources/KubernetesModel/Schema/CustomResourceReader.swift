/// Turns a CustomResourceDefinition into the definitions of the versions that it serves.
enum CustomResourceReader {
    static func definitions(of object: JSON) throws(StatusError) -> [ResourceDefinition] {
        let name = object["metadata", "name"]?.string ?? ""
        var errors: [FieldError] = []
        func text(_ path: String...) -> String {
            let value = object[path: path]?.string ?? ""
            if value.isEmpty { errors.append(.required(path.joined(separator: "."))) }
            return value
        }
        let group = text("spec", "group")
        let plural = text("spec", "names", "plural")
        let kind = text("spec", "names", "kind")
        let scope = text("spec", "scope")
        if errors.isEmpty, name != "\(plural).\(group)" {
            errors.append(.invalid("metadata.name", .string(name), "must be spec.names.plural+\".\"+spec.group"))
        }
        let all = object["spec", "versions"]?.array ?? []
        let versions = all.filter { $0["served"]?.bool == true }
        guard errors.isEmpty else { throw .invalid(.customResourceDefinitions, name, errors) }
        return versions.compactMap { version in
            guard let versionName = version["name"]?.string else { return nil }
            let resource = Resource(
                group: group,
                version: versionName,
                plural: plural,
                kind: kind,
                isNamespaced: scope == "Namespaced"
            )
            var served = definition(of: resource, names: object["spec", "names"] ?? [:], version: version)
            // Objects stay as whatever version wrote them, so with several any may be met.
            if all.count > 1 { served.conversion = .renamed }
            return served
        }
    }

    private static func definition(of resource: Resource, names: JSON, version: JSON) -> ResourceDefinition {
        let subresources = version["subresources"]
        return ResourceDefinition(
            resource: resource,
            singular: names["singular"]?.string,
            shortNames: names["shortNames"]?.array?.compactMap(\.string) ?? [],
            categories: names["categories"]?.array?.compactMap(\.string) ?? [],
            hasStatus: subresources?["status"] != nil,
            scale: subresources?["scale"].flatMap(ScalePaths.init(subresource:)),
            printerColumns: version["additionalPrinterColumns"]?.array?.compactMap(PrinterColumn.init) ?? [],
            schema: schema(of: resource, version),
            isCustom: true
        )
    }

    /// Every object has `apiVersion`, `kind` and `metadata`, whether its schema says so or not.
    private static func schema(of resource: Resource, _ version: JSON) -> SchemaNode {
        var openAPI = version["schema", "openAPIV3Schema"] ?? [:]
        openAPI["type"] = "object"
        openAPI["properties", "apiVersion"] = ["type": "string"]
        openAPI["properties", "kind"] = ["type": "string"]
        openAPI["properties", "metadata"] = nil
        var builder = SchemaBuilder()
        let name = definitionName(resource)
        builder.define(name, openAPI: openAPI)
        builder.addMetadata(to: name)
        guard let node = builder.finish().definition(name) else {
            preconditionFailure("A definition that was added must be found.")
        }
        return node
    }

    private static func definitionName(_ resource: Resource) -> String {
        let parts = resource.group.split(separator: ".").reversed().map(String.init)
        return (parts + [resource.version, resource.kind]).joined(separator: ".")
    }
}
