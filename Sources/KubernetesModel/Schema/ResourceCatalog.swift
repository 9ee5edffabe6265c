/// All kinds that are served: the built-in ones and those that CustomResourceDefinitions add at run time.
package struct ResourceCatalog: Sendable {
    /// In the order of discovery.
    package private(set) var definitions: [ResourceDefinition] = []
    private var placesByPath: [PathKey: Int] = [:]
    private var placesByKind: [KindKey: Int] = [:]

    package init() {}

    package init(_ definitions: [ResourceDefinition]) {
        self.definitions = definitions
        indexPlaces()
    }

    /// The kinds that need no CustomResourceDefinition.
    package static let builtin = ResourceCatalog(BuiltinSchema.definitions())

    package func definition(group: String, version: String, plural: String) -> ResourceDefinition? {
        placesByPath[PathKey(group: group, version: version, plural: plural)].map { definitions[$0] }
    }

    package func definition(apiVersion: String, kind: String) -> ResourceDefinition? {
        placesByKind[KindKey(apiVersion: apiVersion, kind: kind)].map { definitions[$0] }
    }

    package func definition(_ resource: Resource) -> ResourceDefinition? {
        definition(group: resource.group, version: resource.version, plural: resource.plural)
    }

    /// Serves the versions that a CustomResourceDefinition says are served; replaces what the same one registered before.
    ///
    /// - Throws: 422 when it is incomplete, or 409 when its names belong to another kind.
    package mutating func register(customResourceDefinition: JSON) throws(StatusError) {
        let added = try CustomResourceReader.definitions(of: customResourceDefinition)
        for definition in added {
            guard let taken = self.definition(definition.resource), !taken.isCustom || taken.isBuiltin else { continue }
            throw .conflict(definition.resource, definition.resource.qualifiedName, "these names are built in")
        }
        unregister(customResourceDefinition: customResourceDefinition)
        definitions += added
        indexPlaces()
    }

    package mutating func unregister(customResourceDefinition: JSON) {
        let group = customResourceDefinition["spec", "group"]?.string
        let plural = customResourceDefinition["spec", "names", "plural"]?.string
        definitions.removeAll {
            $0.isCustom && !$0.isBuiltin && $0.resource.group == group && $0.resource.plural == plural
        }
        indexPlaces()
    }

    // MARK: - Private

    private struct PathKey: Hashable { let group, version, plural: String }
    private struct KindKey: Hashable { let apiVersion, kind: String }

    private mutating func indexPlaces() {
        placesByPath = [:]
        placesByKind = [:]
        for (place, definition) in definitions.enumerated() {
            let resource = definition.resource
            placesByPath[
                PathKey(group: resource.group, version: resource.version, plural: resource.plural)
            ] = place
            placesByKind[KindKey(apiVersion: resource.apiVersion, kind: resource.kind)] = place
        }
    }
}

extension ResourceDefinition {
    fileprivate var isBuiltin: Bool { schema.library === BuiltinSchema.library }
}
