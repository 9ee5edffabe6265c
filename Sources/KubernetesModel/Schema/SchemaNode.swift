/// What a field may hold and how it merges.
///
/// Nodes are places in the flat table of a ``SchemaLibrary``, so that definitions may refer to themselves and a node is cheap to copy.
package struct SchemaNode: Sendable {
    let library: SchemaLibrary
    let index: Int

    var facts: SchemaFacts { library.nodes[index] }
}

/// The type of value that a field holds.
package enum SchemaType: String, Hashable, Sendable {
    case object
    case array
    case string
    case integer
    case number
    case boolean
    /// An integer or a string: ports, percentages.
    case intOrString
    /// A `resource.Quantity`: a string, or a number when written by hand.
    case quantity
    /// Any JSON value.
    case any
}

/// How the elements of an array belong together.
package enum ListType: String, Hashable, Sendable {
    /// One value; it has one owner.
    case atomic
    /// Scalars, each at most once.
    case set
    /// Objects told apart by ``SchemaNode/listMapKeys``.
    case map
}

extension SchemaNode {
    package var type: SchemaType { facts.type }
    /// As in OpenAPI: `int32`, `date-time`, `byte`; empty without one.
    package var format: String { facts.format }
    /// The name of the shared definition that this node is, such as `core.v1.PodSpec`; empty for nodes without a name.
    package var definitionName: String { facts.definitionName }

    package var propertyNames: [String] { Array(facts.properties.keys) }
    package var hasProperties: Bool { !facts.properties.isEmpty }
    package func property(_ name: String) -> SchemaNode? { facts.properties[name].map(node) }
    /// The node of array elements.
    package var items: SchemaNode? { facts.items.map(node) }
    /// The node of the values of a map with free keys.
    package var additionalProperties: SchemaNode? { facts.additionalProperties.map(node) }
    /// The node for the field `name`: the property, or the value of a map.
    package func child(_ name: String) -> SchemaNode? { property(name) ?? additionalProperties }

    package var required: [String] { facts.required }
    package var allowedValues: [JSON] { facts.allowedValues }
    package var defaultValue: JSON? { facts.defaultValue }

    /// Arrays without a stated type are atomic.
    package var listType: ListType { facts.listType ?? .atomic }
    package var listMapKeys: [String] { facts.listMapKeys }
    /// Objects whose fields have one owner together.
    package var isAtomicMap: Bool { facts.isAtomicMap }
    /// Strategic merge merges the elements of this list, or the fields of this object, instead of replacing them.
    package var mergesStrategically: Bool { facts.patchStrategy.contains("merge") }
    /// Strategic merge keeps only the fields that `$retainKeys` names.
    package var retainsKeys: Bool { facts.patchStrategy.contains("retainKeys") }
    package var replacesStrategically: Bool { facts.patchStrategy.contains("replace") }
    package var patchMergeKey: String? { facts.patchMergeKey }

    package var preservesUnknownFields: Bool { facts.preservesUnknownFields }
    package var isEmbeddedResource: Bool { facts.isEmbeddedResource }
    package var isNullable: Bool { facts.isNullable }
    package var minimum: Double? { facts.minimum }
    package var maximum: Double? { facts.maximum }
    package var hasExclusiveMinimum: Bool { facts.hasExclusiveMinimum }
    package var hasExclusiveMaximum: Bool { facts.hasExclusiveMaximum }
    package var minLength: Int? { facts.minLength }
    package var maxLength: Int? { facts.maxLength }
    package var minItems: Int? { facts.minItems }
    package var maxItems: Int? { facts.maxItems }
    package var minProperties: Int? { facts.minProperties }
    package var maxProperties: Int? { facts.maxProperties }
    package var pattern: String? { facts.pattern }

    private func node(_ index: Int) -> SchemaNode { SchemaNode(library: library, index: index) }
}

/// The stored form of a node; children are indices into the table of the library.
struct SchemaFacts: Sendable {
    var type = SchemaType.any
    var format = ""
    var definitionName = ""
    var properties: OrderedDictionary<String, Int> = [:]
    var items: Int?
    var additionalProperties: Int?
    var required: [String] = []
    var allowedValues: [JSON] = []
    var defaultValue: JSON?
    var listType: ListType?
    var listMapKeys: [String] = []
    var isAtomicMap = false
    var patchStrategy: [String] = []
    var patchMergeKey: String?
    var preservesUnknownFields = false
    var isEmbeddedResource = false
    var isNullable = false
    var minimum: Double?
    var maximum: Double?
    var hasExclusiveMinimum = false
    var hasExclusiveMaximum = false
    var minLength: Int?
    var maxLength: Int?
    var minItems: Int?
    var maxItems: Int?
    var minProperties: Int?
    var maxProperties: Int?
    var pattern: String?
}

/// A table of schema nodes, immutable once built.
package final class SchemaLibrary: Sendable {
    let nodes: [SchemaFacts]
    /// The named definitions and their places.
    let definitions: OrderedDictionary<String, Int>

    init(nodes: [SchemaFacts], definitions: OrderedDictionary<String, Int>) {
        self.nodes = nodes
        self.definitions = definitions
    }

    package func definition(_ name: String) -> SchemaNode? {
        definitions[name].map { SchemaNode(library: self, index: $0) }
    }
}
