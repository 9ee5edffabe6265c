import KubernetesModel

/// A kind is served as soon as its definition is stored, so the definition is established from the start.
enum CustomResourceRules: KindRules {
    static func admitCreation(_ definition: inout JSON, in service: APIService) throws -> Admitted {
        try requireServable(definition, service)
        let names = definition["spec", "names"] ?? [:]
        let stored = definition["spec", "versions"]?.array?.first { $0["storage"]?.bool == true }?["name"]?.string
        definition["status"] = [
            "acceptedNames": names,
            "conditions": [
                condition("NamesAccepted", "NoConflicts", "no conflicts found", service),
                condition("Established", "InitialNamesAccepted", "the initial names have been accepted", service),
            ],
            "storedVersions": JSON(stored.map { [$0] } ?? []),
        ]
        return Admitted()
    }

    static func admitUpdate(_ definition: inout JSON, from old: JSON, in service: APIService) throws -> Admitted {
        try requireServable(definition, service)
        return Admitted()
    }

    private static func requireServable(_ definition: JSON, _ service: APIService) throws {
        var catalog = service.catalog
        try catalog.register(customResourceDefinition: definition)
    }

    private static func condition(_ type: String, _ reason: String, _ message: String, _ service: APIService) -> JSON {
        [
            "type": .string(type), "status": "True", "reason": .string(reason), "message": .string(message),
            "lastTransitionTime": .string(service.now().description),
        ]
    }
}
