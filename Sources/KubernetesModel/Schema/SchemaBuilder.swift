/// Builds a ``SchemaLibrary`` from the compact form that `Scripts/derive-schema` writes, or from OpenAPI v3 schemas.
///
/// Compact form: a text is a scalar (`string`, `int32`, `date-time`, …) or, after `@`, a reference to a definition; an object has the
/// fields read in ``add(compact:)``.
struct SchemaBuilder {
    private var nodes: [SchemaFacts] = []
    private var definitions: OrderedDictionary<String, Int> = [:]
    /// Nodes that are a definition with additions; filled in when all definitions are read.
    private var derived: [(place: Int, base: Int, additions: JSON)] = []

    mutating func define(_ name: String, compact json: JSON) {
        let place = place(of: name)
        var facts = facts(compact: json)
        facts.definitionName = name
        nodes[place] = facts
    }

    mutating func define(_ name: String, openAPI json: JSON) {
        let place = place(of: name)
        var facts = facts(openAPI: json)
        facts.definitionName = name
        nodes[place] = facts
    }

    /// Gives a custom kind the `metadata` that all objects have, copied from the built-in definitions.
    mutating func addMetadata(to name: String) {
        let builtin = BuiltinSchema.library
        guard let place = definitions[name], let metadata = builtin.definitions["meta.v1.ObjectMeta"] else { return }
        var copies: [Int: Int] = [:]
        nodes[place].properties["metadata"] = copy(metadata, of: builtin, &copies)
    }

    private mutating func copy(_ index: Int, of library: SchemaLibrary, _ copies: inout [Int: Int]) -> Int {
        if let known = copies[index] { return known }
        let place = nodes.count
        copies[index] = place
        nodes.append(library.nodes[index])
        let facts = library.nodes[index]
        if !facts.definitionName.isEmpty { definitions[facts.definitionName] = place }
        for (name, child) in facts.properties { nodes[place].properties[name] = copy(child, of: library, &copies) }
        nodes[place].items = facts.items.map { copy($0, of: library, &copies) }
        nodes[place].additionalProperties = facts.additionalProperties.map { copy($0, of: library, &copies) }
        return place
    }

    mutating func finish() -> SchemaLibrary {
        for (place, base, additions) in derived {
            nodes[place] = nodes[base]
            SchemaBuilder.readMerging(additions, into: &nodes[place])
        }
        return SchemaLibrary(nodes: nodes, definitions: definitions)
    }

    /// The place of a definition, which may come later.
    private mutating func place(of name: String) -> Int {
        if let place = definitions[name] { return place }
        nodes.append(SchemaFacts())
        definitions[name] = nodes.count - 1
        return nodes.count - 1
    }

    // MARK: - Compact form

    private static let scalars: [String: (SchemaType, String)] = [
        "string": (.string, ""), "date-time": (.string, "date-time"), "byte": (.string, "byte"),
        "integer": (.integer, ""), "int32": (.integer, "int32"), "int64": (.integer, "int64"),
        "number": (.number, ""), "double": (.number, "double"), "boolean": (.boolean, ""),
        "int-or-string": (.intOrString, ""), "quantity": (.quantity, ""), "any": (.any, ""),
        "object": (.object, ""), "array": (.array, ""),
    ]

    private mutating func add(compact json: JSON) -> Int {
        if let text = json.string, text.hasPrefix("@") { return place(of: String(text.dropFirst())) }
        let facts = facts(compact: json)
        nodes.append(facts)
        if let base = json["type"]?.string, base.hasPrefix("@") {
            let added = nodes.count - 1
            derived.append((place: added, base: place(of: String(base.dropFirst())), additions: json))
            return added
        }
        return nodes.count - 1
    }

    private mutating func facts(compact json: JSON) -> SchemaFacts {
        var facts = SchemaFacts()
        (facts.type, facts.format) = SchemaBuilder.scalars[json.string ?? json["type"]?.string ?? ""] ?? (.any, "")
        for (name, property) in json["fields"]?.object ?? [:] {
            facts.properties[name] = add(compact: property)
        }
        facts.items = json["of"].map { add(compact: $0) }
        facts.additionalProperties = json["values"].map { add(compact: $0) }
        SchemaBuilder.readMerging(json, into: &facts)
        SchemaBuilder.readBounds(json, into: &facts)
        return facts
    }

    private static func readMerging(_ json: JSON, into facts: inout SchemaFacts) {
        facts.defaultValue = json["default"] ?? facts.defaultValue
        if let list = json["list"]?.string { facts.listType = ListType(rawValue: list) }
        if let keys = json["keys"]?.array { facts.listMapKeys = keys.compactMap(\.string) }
        if json["map"]?.string == "atomic" { facts.isAtomicMap = true }
        if let strategy = json["strategy"]?.string {
            facts.patchStrategy = strategy.split(separator: ",").map(String.init)
        }
        if let key = json["mergeKey"]?.string { facts.patchMergeKey = key }
        if json["open"]?.bool == true { facts.preservesUnknownFields = true }
        if json["embedded"]?.bool == true { facts.isEmbeddedResource = true }
        if json["nullable"]?.bool == true { facts.isNullable = true }
    }

    private static func readBounds(_ json: JSON, into facts: inout SchemaFacts) {
        if let required = json["required"]?.array { facts.required = required.compactMap(\.string) }
        if let values = json["enum"]?.array { facts.allowedValues = values }
        facts.minimum = json["minimum"]?.double
        facts.maximum = json["maximum"]?.double
        facts.hasExclusiveMinimum = json["exclusiveMinimum"]?.bool ?? false
        facts.hasExclusiveMaximum = json["exclusiveMaximum"]?.bool ?? false
        facts.minLength = json["minLength"]?.int
        facts.maxLength = json["maxLength"]?.int
        facts.minItems = json["minItems"]?.int
        facts.maxItems = json["maxItems"]?.int
        facts.minProperties = json["minProperties"]?.int
        facts.maxProperties = json["maxProperties"]?.int
        facts.pattern = json["pattern"]?.string
    }

    // MARK: - OpenAPI v3, as in CustomResourceDefinitions

    private mutating func add(openAPI json: JSON) -> Int {
        let facts = facts(openAPI: json)
        nodes.append(facts)
        return nodes.count - 1
    }

    private mutating func facts(openAPI json: JSON) -> SchemaFacts {
        var facts = SchemaFacts()
        facts.type = SchemaType(rawValue: json["type"]?.string ?? "any") ?? .any
        facts.format = json["format"]?.string ?? ""
        if json["x-kubernetes-int-or-string"]?.bool == true { facts.type = .intOrString }
        for (name, property) in json["properties"]?.object ?? [:] {
            facts.properties[name] = add(openAPI: property)
        }
        facts.items = json["items"].map { add(openAPI: $0) }
        if let values = json["additionalProperties"] {
            if values.object != nil { facts.additionalProperties = add(openAPI: values) }
            if values.bool == true { facts.preservesUnknownFields = true }
        }
        SchemaBuilder.readExtensions(json, into: &facts)
        SchemaBuilder.readBounds(json, into: &facts)
        return facts
    }

    private static func readExtensions(_ json: JSON, into facts: inout SchemaFacts) {
        facts.defaultValue = json["default"]
        facts.listType = json["x-kubernetes-list-type"]?.string.flatMap(ListType.init)
        facts.listMapKeys = json["x-kubernetes-list-map-keys"]?.array?.compactMap(\.string) ?? []
        facts.isAtomicMap = json["x-kubernetes-map-type"]?.string == "atomic"
        facts.isEmbeddedResource = json["x-kubernetes-embedded-resource"]?.bool ?? false
        facts.isNullable = json["nullable"]?.bool ?? false
        if json["x-kubernetes-preserve-unknown-fields"]?.bool == true || facts.isEmbeddedResource {
            facts.preservesUnknownFields = true
        }
    }
}
